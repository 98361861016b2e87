/** `/spec`: the description of this very API, for those whom the configuration allows to see it. */
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { route } from './declare.ts';
import type { OpenApiDocument } from './openapi.ts';
import { saysYes } from './parameters.ts';
import type { Route } from './route.ts';

const ALLOWED_KEY = 'config/api/allow-openapi-schema-introspection';

async function checkAllowed({ config }: Pick<ManagerContext, 'config'>): Promise<void> {
  if (saysYes(await config.get(ALLOWED_KEY))) return;
  throw new BackendError(
    'GenericForbidden',
    `The description of the API is not shown. A superadmin can allow it: set ${ALLOWED_KEY} to yes.`,
  );
}

/** A page that lists the operations of a document. */
function pageOf({ info, paths }: OpenApiDocument): string {
  const rows = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => {
      const cells = [`${method.toUpperCase()} ${path}`, operation['x-role'], operation.summary];
      return `<tr>${cells.map((cell) => `<td>${Bun.escapeHTML(cell)}</td>`).join('')}</tr>`;
    }),
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${info.title}</title>
<h1>${info.title} ${info.version}</h1>
<p>For programs: <a href="openapi/spec.json">spec.json</a></p>
<table><tr><th>operation</th><th>role</th><th>summary</th></tr>
${rows.join('\n')}
</table>
</html>
`;
}

/** @param describe makes the document, which describes these operations too. */
export function specRoutes(
  ctx: Pick<ManagerContext, 'config'>,
  describe: () => OpenApiDocument,
): Route[] {
  const common = { method: 'GET', gate: 'any', auth: 'user', takes: {} } as const;
  let document: OpenApiDocument | undefined;
  const shown = async () => {
    await checkAllowed(ctx);
    document ??= describe();
    return document;
  };
  return [
    route(
      { ...common, path: '/spec/openapi', summary: 'Show the operations of this API as a page.' },
      async () =>
        new Response(pageOf(await shown()), {
          headers: { 'Content-Type': 'text/html; charset=utf-8' },
        }),
    ),
    route(
      {
        ...common,
        path: '/spec/openapi/spec.json',
        summary: 'Describe the operations of this API as an OpenAPI document.',
      },
      async () => ({ json: await shown() }),
    ),
  ];
}
