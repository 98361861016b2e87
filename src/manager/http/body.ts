/** Reads what a request carries, its JSON body and its query, and tells what is wrong with it. */
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorMessage } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';

/** Largest JSON body. Bytes. */
const MAX_JSON_BYTES = 16 * 1024 * 1024;
/** How long a client may take to send it. Milliseconds. */
const READ_TIMEOUT_MS = 60_000;
const MAX_ISSUES_SHOWN = 5;

/**
 * What is wrong with a value, with the path of each part; the first few problems.
 * @param leftOut how many names at the start of each path say nothing to the reader.
 */
export function describeIssues(issues: readonly v.BaseIssue<unknown>[], leftOut = 0): string {
  return issues
    .slice(0, MAX_ISSUES_SHOWN)
    .map((issue) => {
      const path = v.getDotPath(issue)?.split('.').slice(leftOut).join('.') ?? '';
      if (path !== '' && issue.received === 'undefined') return `${path} is missing`;
      return path === '' ? issue.message : `${path}: ${issue.message}`;
    })
    .join('; ');
}

/**
 * Parses the input of an operation, given as `{ params, query, body, fields }`.
 * @throws BackendError InvalidAPIParameters naming each invalid part, without the place it came in.
 */
export function parseInput<S extends v.GenericSchema<unknown, unknown>>(
  schema: S,
  value: unknown,
): v.InferOutput<S> {
  const parsed = parseOutside(schema, value);
  if (!parsed.success) {
    throw new BackendError('InvalidAPIParameters', describeIssues(parsed.issues, 1));
  }
  return parsed.output;
}

/** The body's text; a GET comes with it in another request, its carrier. @throws BackendError MalformedRequestBody when it does not come in time. */
async function readText(request: Request, clock: Clock): Promise<string> {
  if (request.method === 'GET' || request.method === 'HEAD') return '';
  const late = Promise.withResolvers<never>();
  const timer = clock.timer(READ_TIMEOUT_MS, () =>
    late.reject(
      new BackendError(
        'MalformedRequestBody',
        `Malformed request body. It did not arrive within ${READ_TIMEOUT_MS / 1000} seconds.`,
      ),
    ),
  );
  try {
    return await Promise.race([request.text(), late.promise]);
  } finally {
    timer.cancel();
  }
}

/**
 * The body as JSON, whatever its declared content type.
 * @param options optional: gives undefined instead of failing when there is no body.
 * @throws BackendError MalformedRequestBody when it is absent, too large or not JSON.
 */
export async function readJson(
  request: Request,
  clock: Clock,
  options: { optional?: boolean } = {},
): Promise<unknown> {
  const declared = Number(request.headers.get('content-length') ?? 0);
  if (declared > MAX_JSON_BYTES) {
    throw new BackendError(
      'MalformedRequestBody',
      `Malformed request body. It has ${declared} bytes; at most ${MAX_JSON_BYTES} are accepted.`,
    );
  }
  const text = await readText(request, clock);
  if (text.length === 0) {
    if (options.optional) return undefined;
    // The title says it all; clients match on it.
    throw new BackendError('MalformedRequestBody');
  }
  if (text.length > MAX_JSON_BYTES) {
    throw new BackendError(
      'MalformedRequestBody',
      `Malformed request body. At most ${MAX_JSON_BYTES} bytes are accepted.`,
    );
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BackendError(
      'MalformedRequestBody',
      `Malformed request body. ${errorMessage(error)}`,
    );
  }
}

/** A query string's values by key: the first, or a list of all for the keys that may repeat. */
export function queryValues(
  query: URLSearchParams,
  repeats: readonly string[],
): Record<string, string | string[]> {
  const values: Record<string, string | string[]> = {};
  for (const key of new Set(query.keys())) {
    values[key] = repeats.includes(key) ? query.getAll(key) : (query.get(key) ?? '');
  }
  return values;
}
