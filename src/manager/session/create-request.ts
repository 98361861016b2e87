/** The body of `POST /session`: every name clients use for a field, its defaults and its checks. */
import * as v from 'valibot';
import { parseDurationMs } from '../../common/sizes.ts';
import { aliased, lenientBoolean, lenientInteger } from '../http/parameters.ts';

/** Field → the other names under which clients send it. */
export const creationAliases = {
  session_name: ['name', 'clientSessionToken'],
  image: ['lang'],
  architecture: ['arch'],
  session_type: ['type', 'sessionType'],
  group: ['groupName', 'group_name'],
  domain: ['domainName', 'domain_name'],
  cluster_size: ['clusterSize'],
  cluster_mode: ['clusterMode'],
  enqueue_only: ['enqueueOnly'],
  max_wait_seconds: ['maxWaitSeconds'],
  starts_at: ['startsAt'],
  batch_timeout: ['batchTimeout'],
  reuse: ['reuseIfExists'],
  startup_command: ['startupCommand'],
  bootstrap_script: ['bootstrapScript'],
  callback_url: ['callbackUrl', 'callbackURL'],
};

/** Longest bootstrap script; `sessions.bootstrap_script` holds no more. Characters. */
export const MAX_BOOTSTRAP_CHARS = 16_384;

export const sessionName = v.pipe(
  v.string(),
  v.maxLength(64, 'a session name has at most 64 characters'),
  v.regex(
    /^[\p{L}\p{M}\p{N}_][\p{L}\p{M}\p{N}_.-]*$/u,
    'a session name consists of letters, digits, ".", "_" and "-" and starts with a letter, a digit or "_"',
  ),
  v.check(
    (name) => name !== 'from-template' && name !== '_',
    'this name is reserved; choose another session name',
  ),
);

const clusterMode = v.pipe(
  v.string(),
  v.examples(['single-node', 'multi-node']),
  v.transform((mode) => mode.toLowerCase().replaceAll('_', '-')),
  v.picklist(['single-node', 'multi-node']),
);

const sessionType = v.pipe(
  v.string(),
  v.examples(['interactive', 'batch', 'inference', 'system']),
  v.transform((type) => type.toLowerCase()),
  v.picklist(['interactive', 'batch', 'inference', 'system']),
);

/** Seconds as a number, or text such as `30s`, `5m`, `1h`, `2d`, `1w`. Gives milliseconds. */
const duration = v.pipe(
  v.union([v.number(), v.string()]),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const ms = parseDurationMs(dataset.value);
    if (ms !== null && ms > 0) return ms;
    addIssue({ message: 'write a duration as seconds or as 30s, 5m, 1h, 2d or 1w' });
    return NEVER;
  }),
);

/** Text that holds base64. Gives the decoded text; empty text counts as absent. */
const base64Script = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const bytes = Buffer.from(dataset.value, 'base64');
    const canonical = (text: string) =>
      text.replace(/\s+/g, '').replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, '');
    if (canonical(bytes.toString('base64')) !== canonical(dataset.value)) {
      addIssue({ message: 'the bootstrap script must be encoded in base64' });
      return NEVER;
    }
    return bytes.toString('utf8');
  }),
  v.maxLength(MAX_BOOTSTRAP_CHARS, 'the bootstrap script is longer than 16384 characters'),
);

const callbackUrl = v.pipe(
  v.string(),
  v.url('the callback URL must be absolute'),
  v.regex(/^https?:/i, 'the callback URL must begin with http:// or https://'),
  v.maxLength(2048, 'the callback URL has more than 2048 characters'),
);

/** Absent and null mean the default: the Python client sends every field it knows. */
export const createSessionBody = aliased(
  creationAliases,
  v.object({
    session_name: sessionName,
    image: v.pipe(v.string(), v.trim(), v.nonEmpty('name the image to run')),
    architecture: v.nullish(v.string(), null),
    session_type: v.nullish(sessionType, 'interactive'),
    group: v.nullish(v.string(), 'default'),
    /** Empty: the owner's domain. */
    domain: v.nullish(v.string(), ''),
    cluster_size: v.nullish(v.pipe(lenientInteger, v.minValue(1)), 1),
    cluster_mode: v.nullish(clusterMode, 'single-node'),
    /** Read according to the API version, by creation-config.ts. */
    config: v.nullish(v.record(v.string(), v.unknown()), {}),
    tag: v.nullish(v.pipe(v.string(), v.maxLength(64)), null),
    priority: v.nullish(v.pipe(lenientInteger, v.minValue(0), v.maxValue(100)), 10),
    is_preemptible: v.nullish(lenientBoolean, true),
    enqueue_only: v.nullish(lenientBoolean, false),
    max_wait_seconds: v.nullish(v.pipe(lenientInteger, v.minValue(0)), 0),
    starts_at: v.nullish(v.string(), null),
    batch_timeout: v.nullish(duration, null),
    reuse: v.nullish(lenientBoolean, true),
    startup_command: v.nullish(v.string(), null),
    bootstrap_script: v.nullish(base64Script, null),
    dependencies: v.nullish(v.pipe(v.array(v.string()), v.maxLength(100)), []),
    callback_url: v.nullish(callbackUrl, null),
    owner_access_key: v.nullish(v.string(), null),
  }),
);
export type CreateSessionBody = v.InferOutput<typeof createSessionBody>;

/**
 * When a session may start: an ISO-8601 time or a duration from now such as `1h`.
 * @returns null when the text is neither.
 */
export function parseStartsAt(text: string, now: Date): Date | null {
  const delayMs = parseDurationMs(text);
  if (delayMs !== null) return new Date(now.getTime() + delayMs);
  if (
    !/^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?\s*(Z|[+-]\d{2}:?\d{2})?$/i.test(text)
  ) {
    return null;
  }
  const zoned = /(Z|[+-]\d{2}:?\d{2})$/i.test(text.slice(10)) ? text : `${text}Z`;
  const time = new Date(zoned);
  return Number.isNaN(time.getTime()) ? null : time;
}
