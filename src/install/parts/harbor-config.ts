/** Harbor's own configuration, made from the template that its installer brings. */
import * as v from 'valibot';
import { UserError } from '../../common/errors.ts';

export interface HarborSettings {
  /** By which clients reach it, not only those of this machine. */
  readonly hostname: string;
  readonly httpPort: number;
  readonly adminPassword: string;
  /** Of its own PostgreSQL. */
  readonly databasePassword: string;
  readonly dataFolder: string;
  readonly logFolder: string;
}

/** What has to come of it; Harbor takes many more. */
const written = v.object({
  hostname: v.string(),
  http: v.object({ port: v.number() }),
  https: v.optional(v.undefined()),
  harbor_admin_password: v.string(),
  database: v.object({ password: v.string() }),
  data_volume: v.string(),
  log: v.object({ local: v.object({ location: v.string() }) }),
});

const indentOf = (line: string): number => line.length - line.trimStart().length;

/**
 * The lines of a template with the values of some keys replaced and some keys, with all below them, commented
 * out. Whatever else it says stays, with its remarks.
 * @param values by path, such as `log.local.location`; texts are written so that YAML takes them as such.
 */
function edited(
  template: string,
  values: ReadonlyMap<string, string>,
  removed: ReadonlySet<string>,
): string {
  const parents: { readonly key: string; readonly indent: number }[] = [];
  let removedBelow: number | null = null;
  const lines = template.split('\n').map((line) => {
    const key = /^ *([A-Za-z_]+):/.exec(line)?.[1];
    const indent = indentOf(line);
    const isContent = line.trim() !== '' && !line.trimStart().startsWith('#');
    if (removedBelow !== null && isContent && indent <= removedBelow) removedBelow = null;
    if (removedBelow !== null) return isContent ? `# ${line}` : line;
    if (key === undefined) return line;
    while ((parents.at(-1)?.indent ?? -1) >= indent) parents.pop();
    parents.push({ key, indent });
    const path = parents.map((parent) => parent.key).join('.');
    if (removed.has(path)) {
      removedBelow = indent;
      return `# ${line}`;
    }
    const value = values.get(path);
    return value === undefined ? line : `${' '.repeat(indent)}${key}: ${value}`;
  });
  return lines.join('\n');
}

/**
 * `harbor.yml`: over HTTP, with all data and logs in folders of ours.
 * @param template the text of `harbor.yml.tmpl`.
 * @throws UserError when it lacks a place for one of the settings.
 */
export function harborYaml(template: string, settings: HarborSettings): string {
  const { hostname, httpPort, adminPassword, databasePassword, dataFolder, logFolder } = settings;
  const text = edited(
    template,
    new Map([
      ['hostname', hostname],
      ['http.port', String(httpPort)],
      ['harbor_admin_password', JSON.stringify(adminPassword)],
      ['database.password', JSON.stringify(databasePassword)],
      // Bare: Harbor's script reads this line with grep and awk.
      ['data_volume', dataFolder],
      ['log.local.location', logFolder],
    ]),
    new Set(['https']),
  );
  const found = v.safeParse(written, parsed(text));
  const isRight =
    found.success &&
    found.output.hostname === hostname &&
    found.output.http.port === httpPort &&
    found.output.harbor_admin_password === adminPassword &&
    found.output.database.password === databasePassword &&
    found.output.data_volume === dataFolder &&
    found.output.log.local.location === logFolder;
  if (isRight) return text;
  const missing = found.success ? '' : `: ${v.getDotPath(found.issues[0]) ?? 'a key'} is missing`;
  throw new UserError(
    `The template harbor.yml.tmpl is not like that of a Harbor we know${missing}.`,
    {
      hint: 'Take an offline installer of Harbor 2.x: --harbor-download-uri.',
    },
  );
}

function parsed(text: string): unknown {
  try {
    return Bun.YAML.parse(text);
  } catch (error) {
    throw new UserError('The template harbor.yml.tmpl is no YAML.', {
      hint: 'Take an offline installer of Harbor 2.x: --harbor-download-uri.',
      cause: error,
    });
  }
}
