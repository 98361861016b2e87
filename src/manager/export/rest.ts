/** `/export` and `/v2/export`: reports as CSV, of all rows for superadmins, of their own for others. */
import * as v from 'valibot';
import { requirePermission } from '../authz/service.ts';
import type { ManagerContext } from '../context.ts';
import { requireDomainAdmin } from '../graphql/scope.ts';
import { route } from '../http/declare.ts';
import { uuidText } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
import { type ExportBody, exportBody } from './filter.ts';
import type { Owner, Report } from './report.ts';
import { keypairs, reports, sessions, users } from './report-store.ts';
import * as service from './service.ts';

const FILENAME_HEADER = 'x-export-filename';

/** `users-20260102030405.csv` unless the client names it; only characters that need no quoting. */
function fileName(key: string, given: string | null, now: Date): string {
  const wanted = given?.replace(/[^\w.\- ]/g, '_').slice(0, 128);
  if (wanted) return wanted;
  return `${key}-${now.toISOString().slice(0, 19).replace(/[-:T]/g, '')}.csv`;
}

const open = { gate: 'any', auth: 'superadmin' } as const;

type Rows = Pick<AuthenticatedRequest, 'request'>;

async function csvOf(
  ctx: ManagerContext,
  load: service.ExportLoad,
  report: Report,
  { request }: Rows,
  body: ExportBody,
  owned: service.OwnedRows | null = null,
): Promise<Response> {
  const stream = await service.exportCsv(ctx, report, body, load, owned);
  const name = fileName(report.key, request.headers.get(FILENAME_HEADER), ctx.clock.now());
  return new Response(stream, {
    headers: {
      'Content-Type': `text/csv; charset=${body.encoding}`,
      'Content-Disposition': `attachment; filename="${name}"`,
    },
  });
}

/** Reports, and exports of all rows, below `prefix`. */
const adminRoutes = (ctx: ManagerContext, load: service.ExportLoad, prefix: string): Route[] => [
  route(
    { ...open, method: 'GET', path: `${prefix}/reports`, summary: 'List the reports.', takes: {} },
    async () => ({ json: { reports: service.listReports() } }),
  ),
  route(
    {
      ...open,
      method: 'GET',
      path: `${prefix}/reports/:report_key`,
      summary: 'Tell the fields of a report.',
      takes: { params: v.object({ report_key: v.string() }) },
    },
    async (_, { params }) => ({ json: { report: service.getReport(params.report_key) } }),
  ),
  ...[...reports.values()].map((report) =>
    route(
      {
        ...open,
        method: 'POST',
        path: `${prefix}/${report.key}/csv`,
        summary: `Export as CSV: ${report.name.toLowerCase()}.`,
        takes: { body: exportBody(report) },
      },
      (request, { body }) => csvOf(ctx, load, report, request, body),
    ),
  ),
];

/** An export of the rows of whom the path, or nothing but the caller, names. */
interface OwnedExport {
  readonly path: string;
  readonly report: Report;
  readonly params: v.ObjectSchema<Record<string, v.GenericSchema<string, string>>, undefined>;
  /** @throws BackendError unless the caller may read these rows. */
  readonly owner: (
    request: AuthenticatedRequest,
    params: Readonly<Record<string, string>>,
  ) => Promise<Owner>;
  readonly what: string;
}

const ownedExports = (ctx: ManagerContext): OwnedExport[] => [
  ...([sessions, keypairs] as const).map(
    (report): OwnedExport => ({
      path: `${report.key}/my`,
      report,
      params: v.object({}),
      owner: async ({ caller }) => ({ kind: 'user', id: caller.userId }),
      what: `${report.key} of yours`,
    }),
  ),
  {
    path: 'sessions/projects/:project_id',
    report: sessions,
    params: v.object({ project_id: uuidText }),
    owner: async ({ caller }, { project_id: id = '' }) => {
      await requirePermission({ ctx, caller }, 'read', 'session', { type: 'project', id });
      return { kind: 'project', id };
    },
    what: 'sessions of a project',
  },
  {
    path: 'users/domains/:domain_name',
    report: users,
    params: v.object({ domain_name: v.string() }),
    owner: async ({ caller }, { domain_name: id = '' }) => {
      requireDomainAdmin(caller, id);
      return { kind: 'domain', id };
    },
    what: 'users of a domain',
  },
];

export function exportRoutes(ctx: ManagerContext): Route[] {
  const load = new service.ExportLoad();
  return [
    ...adminRoutes(ctx, load, '/export'),
    ...adminRoutes(ctx, load, '/v2/export'),
    ...ownedExports(ctx).map(({ path, report, params, owner, what }) =>
      route(
        {
          ...{ gate: 'any', auth: 'user', method: 'POST', path: `/v2/export/${path}/csv` },
          summary: `Export as CSV: ${what}.`,
          takes: { params, body: exportBody(report) },
        },
        async (request, input) => {
          const { userId } = request.caller;
          const owned = { owner: await owner(request, input.params), userId };
          return csvOf(ctx, load, report, request, input.body, owned);
        },
      ),
    ),
  ];
}
