/** What the web server reads off a request: where it was sent, by whom, and its body. */
import * as v from 'valibot';
import { parseOutside } from '../common/parse.ts';
import { WebProblem } from './problems.ts';

/** Largest body that is read as a whole. Bytes. */
const MAX_READ_BYTES = 16 * 1024 * 1024;

/** A request with what the listening server knows about it. */
export interface Incoming {
  readonly request: Request;
  /** What the body comes with: differs from `request` for a GET, which has none in Bun. */
  readonly carrier: Request;
  /** How it came to this server; a proxy in front may have another. */
  readonly scheme: 'http' | 'https';
  readonly peerAddress: string | null;
  /** Lets the request's connection be idle for as long as its answer takes. */
  waitForever(): void;
}

/** Path and query as they came, percent-encoding untouched. */
export function targetOf(request: Request): string {
  const { url } = request;
  const at = url.indexOf('/', url.indexOf('://') + 3);
  if (at < 0) return '/';
  const hash = url.indexOf('#', at);
  return url.slice(at, hash < 0 ? undefined : hash);
}

/**
 * The address under which the browser sees this server, `<scheme>://<Host header>`.
 * @param forcedScheme what a TLS-terminating proxy in front makes of it.
 */
export function publicOrigin(request: Request, forcedScheme: 'http' | 'https' | null): string {
  const url = new URL(request.url);
  const scheme = forcedScheme ?? url.protocol.replace(':', '');
  return `${scheme}://${request.headers.get('host') ?? url.host}`;
}

/** @throws WebProblem generic-bad-request for a body beyond 16 MiB. */
export async function readBody(request: Request): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () => new WebProblem('generic-bad-request', 'The request body is too large.');
  if (Number(request.headers.get('content-length') ?? 0) > MAX_READ_BYTES) throw tooLarge();
  const body = new Uint8Array(await request.arrayBuffer());
  if (body.length > MAX_READ_BYTES) throw tooLarge();
  return body;
}

/** @throws WebProblem invalid-api-params when it is not JSON of that shape. */
export function parseJson<S extends v.GenericSchema<unknown, unknown>>(
  schema: S,
  body: Uint8Array,
): v.InferOutput<S> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw new WebProblem('invalid-api-params', 'The request body is not JSON.');
  }
  const parsed = parseOutside(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const path = issue ? v.getDotPath(issue) : null;
  throw new WebProblem(
    'invalid-api-params',
    `Invalid or missing parameter: ${path ?? 'an object is expected'}`,
  );
}
