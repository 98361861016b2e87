/** What a template of a session or of a cluster looks like, and how one is read from text. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import { parseAmount } from '../../common/slots.ts';
import { targetOf } from '../folder/mount-rules.ts';
import { describeIssues } from '../http/body.ts';
import { aliased, uuidText } from '../http/parameters.ts';

/** Longest text of a request that holds templates. Characters. */
export const MAX_PAYLOAD_CHARS = 256 * 1024;
/** Templates of one request. */
const MAX_ITEMS = 50;
const MAX_ROLES = 20;

const name = v.pipe(v.string(), v.trim(), v.nonEmpty('is empty'), v.maxLength(128));
const optionalText = v.nullish(v.string(), null);
const variables = v.nullish(
  v.record(v.pipe(v.string(), v.regex(/^[A-Za-z_]\w*$/, 'not a variable name')), v.string()),
  {},
);

/** A number in YAML is text all the same. */
const amount = v.pipe(
  v.union([v.string(), v.number()]),
  v.check((value) => parseAmount(value) !== null, 'not an amount such as 2 or 4g'),
);

/** Folder → where it appears in the session; empty: below /home/work, under its own name. */
const mounts = v.nullish(v.record(v.string(), v.nullish(v.string(), '')), {});

const git = aliased(
  { dest_dir: ['destination_dir', 'destinationDir', 'destDir'] },
  v.object({
    repository: v.pipe(v.string(), v.trim(), v.nonEmpty('name the repository to clone')),
    commit: optionalText,
    branch: optionalText,
    credential: v.nullish(v.object({ username: v.string(), password: v.string() }), null),
    dest_dir: optionalText,
  }),
);
export type GitSource = v.InferOutput<typeof git>;

const run = aliased(
  { startup_command: ['startup', 'startupCommand'] },
  v.object({ bootstrap: optionalText, startup_command: optionalText }),
);

const sessionKind = v.pipe(
  v.string(),
  v.transform((type) => type.toLowerCase()),
  v.picklist(['interactive', 'batch', 'inference', 'system']),
);

const taskSpec = aliased(
  {
    session_type: ['type', 'sessionType'],
    scaling_group: ['scalingGroup'],
    agent_list: ['agentList'],
  },
  v.object({
    session_type: v.nullish(sessionKind, 'interactive'),
    kernel: v.object({
      image: v.pipe(v.string(), v.trim(), v.nonEmpty('name the image to run')),
      architecture: v.optional(v.nullable(v.string()), 'x86_64'),
      environ: variables,
      run: v.nullish(run, null),
      git: v.nullish(git, null),
    }),
    scaling_group: optionalText,
    mounts,
    resources: v.nullish(v.record(v.string(), amount), null),
    agent_list: v.nullish(v.array(v.string()), null),
  }),
);

/** Other keys on the outside are kept, as upstream keeps them. */
export const taskTemplate = aliased(
  { api_version: ['apiVersion'] },
  v.looseObject({
    api_version: v.pipe(v.union([v.string(), v.number()]), v.transform(String)),
    kind: v.picklist(['task_template', 'taskTemplate']),
    metadata: v.object({ name, tag: optionalText }),
    spec: taskSpec,
  }),
);
export type TaskTemplate = v.InferOutput<typeof taskTemplate>;

/** An id with dashes, or without, as the answers to clients have them. Gives the first form. */
const templateId = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i, 'not the id of a template'),
  v.transform((id) =>
    id
      .replaceAll('-', '')
      .toLowerCase()
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
  ),
);

const node = aliased(
  { session_template: ['sessionTemplate'] },
  v.object({
    role: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,15}$/, 'a role is a short word')),
    session_template: templateId,
    replicas: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000)), 1),
  }),
);

const nodes = v.pipe(
  v.array(node),
  v.maxLength(MAX_ROLES),
  v.check(
    (all) => new Set(all.map(({ role }) => role)).size === all.length,
    'each role can only be defined once',
  ),
  v.check(
    (all) => all.some(({ role, replicas }) => role === 'main' && replicas === 1),
    'one node must have the role main, with one replica',
  ),
);

export const clusterTemplate = aliased(
  { api_version: ['apiVersion'] },
  v.looseObject({
    api_version: v.pipe(v.union([v.string(), v.number()]), v.transform(String)),
    kind: v.picklist(['cluster_template', 'clusterTemplate']),
    mode: v.picklist(['single-node', 'multi-node']),
    metadata: v.looseObject({ name }),
    spec: v.object({
      environ: variables,
      mounts,
      nodes,
    }),
  }),
);
export type ClusterTemplate = v.InferOutput<typeof clusterTemplate>;

/** A task template of a request, with what the sender says of it. */
const taskItem = v.object({
  template: taskTemplate,
  name: v.nullish(name, null),
  group_id: v.nullish(uuidText, null),
  user_uuid: v.nullish(uuidText, null),
});
export type TaskItem = v.InferOutput<typeof taskItem>;

const malformed = (what: string) =>
  new BackendError('InvalidAPIParameters', `Malformed payload: ${what}`);

/** The documents of a text in JSON or YAML; lists count as several documents. */
function documentsOf(text: string): unknown[] {
  if (text.length > MAX_PAYLOAD_CHARS) {
    throw malformed(`it has more than ${MAX_PAYLOAD_CHARS} characters.`);
  }
  let parsed: unknown;
  try {
    parsed = Bun.YAML.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw malformed(`it is neither JSON nor YAML (${why}).`);
  }
  const documents = Array.isArray(parsed) ? parsed.flat() : [parsed];
  if (documents.length > MAX_ITEMS) throw malformed(`at most ${MAX_ITEMS} templates at a time.`);
  return documents;
}

function read<T>(schema: v.GenericSchema<unknown, T>, value: unknown, place: string): T {
  const parsed = parseOutside(schema, value);
  if (parsed.success) return parsed.output;
  throw malformed(`${place}${describeIssues(parsed.issues)}`);
}

/** @throws BackendError InvalidAPIParameters for a place that belongs to the session's system. */
function checkMounts(mounts: Readonly<Record<string, string>>): void {
  for (const [folder, target] of Object.entries(mounts)) targetOf(folder, target);
}

const isBare = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'kind' in value && !('template' in value);

/**
 * Reads task templates: a list, or the documents of a YAML text, of `{template, name?, group_id?,
 * user_uuid?}`, or of templates themselves.
 * @throws BackendError InvalidAPIParameters saying which of them is wrong, and how.
 */
export function readTaskItems(text: string): TaskItem[] {
  const documents = documentsOf(text);
  if (documents.length === 0) throw malformed('it holds no template.');
  return documents.map((value, index) => {
    const place = documents.length > 1 ? `template ${index + 1}: ` : '';
    const item = read(taskItem, isBare(value) ? { template: value } : value, place);
    checkMounts(item.template.spec.mounts);
    return item;
  });
}

/** Reads one cluster template. @throws BackendError InvalidAPIParameters saying what is wrong. */
export function readClusterTemplate(text: string): ClusterTemplate {
  const [first, ...more] = documentsOf(text);
  if (first === undefined || more.length > 0) throw malformed('one cluster template is expected.');
  const template = read(clusterTemplate, first, '');
  checkMounts(template.spec.mounts);
  return template;
}
