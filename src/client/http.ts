/**
 * HTTP requests in somebody's name: picks an endpoint that answers, bounds every wait and every body, and turns
 * problem documents into `ApiError`.
 */
import * as v from 'valibot';
import { type Clock, systemClock } from '../common/clock.ts';
import { errorCode } from '../common/errors.ts';
import { type Random, systemRandom } from '../common/random.ts';
import { traceHeaders } from '../common/tracing.ts';
import type { ClientConfig } from './config.ts';
import { ApiError, ConnectionError } from './errors.ts';
import { type Identity, keypairIdentity, signInIdentity } from './identity.ts';
import { sealBody } from './sealed-body.ts';
import { SignIns } from './sign-ins.ts';

/** Longest wait for an ordinary answer when BACKEND_READ_TIMEOUT is not set. Milliseconds. */
const DEFAULT_READ_TIMEOUT_MS = 120_000;
/** Largest body that is read into memory. Bytes. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;
const NEVER_SENT = new Set(['ECONNREFUSED', 'ConnectionRefused', 'ENOTFOUND', 'EAI_AGAIN']);
const USER_AGENT = 'Backend.AI Client for TypeScript';

const serverInfo = v.object({ version: v.string(), manager: v.string() });
export type ServerInfo = v.InferOutput<typeof serverInfo>;

const problem = v.object({
  type: v.optional(v.string(), 'about:blank'),
  title: v.optional(v.string()),
  error_code: v.optional(v.string()),
  msg: v.optional(v.nullable(v.string())),
  data: v.optional(v.unknown()),
});

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Absolute path; parameters already percent-encoded. */
  readonly path: string;
  /** Undefined values are left out, lists are repeated. */
  readonly query?: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** A form is sent as multipart, anything else as JSON. */
  readonly body?: unknown;
  /** The body holds a password: web servers get it sealed over plain HTTP. */
  readonly hasPassword?: boolean;
  /** Longest wait for the answer, null for no limit; default as configured. Milliseconds. */
  readonly timeoutMs?: number | null;
  readonly signal?: AbortSignal;
}

/** A request of somebody else's that is sent in our name. */
export interface ForwardedRequest {
  readonly method: string;
  /** Path and query as they were received. */
  readonly target: string;
  /** Passed on beside those that say who we are. */
  readonly headers: Headers;
  readonly body: ReadableStream<Uint8Array> | null;
  readonly signal: AbortSignal;
}

export interface ClientDependencies {
  readonly clock?: Clock;
  readonly random?: Random;
  /** Sign-ins at web servers, for clients of those; none by default. */
  readonly signIns?: SignIns;
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const keys = random.bytes(items.length);
  return items
    .map((item, index) => ({ item, key: keys[index] ?? 0 }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

/** Why a connection failed, in words that help more than the code. */
function failureReason(error: unknown): string {
  const code = errorCode(error);
  if (code === 'ECONNREFUSED' || code === 'ConnectionRefused') {
    return 'nothing listens there. Is the server running?';
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'the host name is not known.';
  if (/CERT|SELF_SIGNED/i.test(code)) {
    return `its certificate is not trusted (${code}). BACKEND_SKIP_SSLCERT_VALIDATION=yes skips this check.`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** Reads a whole body. @throws ConnectionError when it is larger than this client accepts. */
export async function readBody(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) {
      throw new ConnectionError(response.url, `The answer is larger than ${MAX_BODY_BYTES} bytes.`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/** The error that the body of a failed answer describes. */
export function problemOf(response: Response, bytes: Uint8Array): ApiError {
  const parsed = v.safeParse(problem, parseJson(bytes));
  const reason = response.statusText;
  if (!parsed.success) {
    const text = new TextDecoder().decode(bytes.subarray(0, 200)).trim();
    const title = text === '' ? reason : text;
    return new ApiError(response.status, reason, { type: 'about:blank', title });
  }
  const { type, title = reason, error_code, msg, data } = parsed.output;
  return new ApiError(response.status, reason, {
    type,
    title,
    errorCode: error_code,
    msg: msg ?? undefined,
    data,
  });
}

/** The error that a failed answer describes. */
export async function apiErrorOf(response: Response): Promise<ApiError> {
  return problemOf(response, await readBody(response));
}

/** A body as it is sent. */
interface PackedBody {
  readonly contentType: string;
  readonly content: string | FormData | undefined;
  /** What to send beside Content-Type; null when fetch itself writes the headers of the body. */
  readonly headers: Record<string, string> | null;
}

export class HttpClient {
  readonly config: ClientConfig;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly signIns: SignIns;
  private readonly identity: Identity;
  private readonly candidates: readonly string[];
  private connected: Promise<{ endpoint: string; server: ServerInfo }> | null = null;

  constructor(config: ClientConfig, dependencies: ClientDependencies = {}) {
    this.config = config;
    this.clock = dependencies.clock ?? systemClock;
    this.random = dependencies.random ?? systemRandom;
    this.signIns = dependencies.signIns ?? new SignIns();
    this.identity =
      config.endpointType === 'api' ? keypairIdentity(config) : signInIdentity(this.signIns);
    // A server that knows us comes first: the others need not have heard of the sign-in.
    this.candidates = shuffled(config.endpoints, this.random).sort(
      (a, b) => Number(this.signIns.has(b)) - Number(this.signIns.has(a)),
    );
  }

  /** What the server says about itself. @throws ConnectionError when no endpoint answers. */
  async serverInfo(): Promise<ServerInfo> {
    return (await this.connection()).server;
  }

  /** The endpoint in use. @throws ConnectionError when no endpoint answers. */
  async endpoint(): Promise<string> {
    return (await this.connection()).endpoint;
  }

  /**
   * Sends a request and returns the successful answer.
   * @throws ApiError when the server refuses; ConnectionError when it cannot be reached in time.
   */
  async send(request: ApiRequest): Promise<Response> {
    const response = await this.exchange(request);
    if (response.status < 400) return response;
    const error = await apiErrorOf(response);
    const advice = response.status === 401 ? this.identity.adviceWhenUnknown : null;
    throw advice === null ? error : error.withAdvice(advice);
  }

  /**
   * Sends a request and returns the answer, whatever its status.
   * @throws ConnectionError when the server cannot be reached in time.
   */
  async exchange(request: ApiRequest): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      const endpoint = await this.endpoint();
      try {
        const response = await this.fetchAs(endpoint, request);
        this.signIns.update(endpoint, response.headers.getSetCookie(), this.clock.now());
        return response;
      } catch (error) {
        if (request.signal?.aborted) throw request.signal.reason;
        const safeToRepeat = request.method === 'GET' || NEVER_SENT.has(errorCode(error));
        if (!safeToRepeat || attempt >= this.candidates.length || isTimeout(error)) {
          throw this.connectionError(endpoint, error);
        }
        this.connected = null;
      }
    }
  }

  /** Sends a request and parses its JSON answer. @throws as `send`. */
  async json<S extends v.GenericSchema>(schema: S, request: ApiRequest): Promise<v.InferOutput<S>> {
    const response = await this.send(request);
    const parsed = v.safeParse(schema, parseJson(await readBody(response)));
    if (!parsed.success) {
      const where = v.getDotPath(parsed.issues[0]);
      throw new ConnectionError(
        response.url,
        `${request.method} ${request.path}: the answer is not what this client understands` +
          ` (${where === null ? '' : `${where}: `}${parsed.issues[0].message}).`,
      );
    }
    return parsed.output;
  }

  /** Sends a request whose answer does not matter. @throws as `send`. */
  async done(request: ApiRequest): Promise<void> {
    const response = await this.send(request);
    await response.body?.cancel();
  }

  /**
   * Sends a request and hands its answer out as it comes, however long that takes.
   * @param idleTimeoutMs longest wait for the next part.
   * @throws as `send`; ConnectionError when the next part does not come.
   */
  async *bytes(
    request: ApiRequest,
    idleTimeoutMs: number,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const silence = new AbortController();
    const giveUp = () =>
      silence.abort(new ConnectionError('', `${request.path}: the server has fallen silent.`));
    let timer = setTimeout(giveUp, idleTimeoutMs);
    try {
      const response = await this.send({ ...request, timeoutMs: null, signal: silence.signal });
      for await (const chunk of response.body ?? []) {
        clearTimeout(timer);
        yield chunk;
        timer = setTimeout(giveUp, idleTimeoutMs);
      }
    } catch (error) {
      throw silence.signal.aborted ? silence.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * URL and signed headers for a stream. Streams sign `application/octet-stream` without sending it.
   */
  async stream(path: string, query: ApiRequest['query'], scheme: 'http' | 'ws') {
    const endpoint = await this.endpoint();
    const url = this.url(endpoint, { method: 'GET', path, query });
    if (scheme === 'ws') url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const headers = this.headers('GET', url, 'application/octet-stream', endpoint);
    return { url, headers };
  }

  /**
   * Sends a request as it came, signed, and returns the answer as it comes: neither unpacked nor
   * followed where it points to.
   * @throws ConnectionError when the server cannot be reached.
   */
  async forward({ method, target, headers, body, signal }: ForwardedRequest): Promise<Response> {
    const endpoint = await this.endpoint();
    const url = new URL(`${endpoint}${this.identity.path(target)}`);
    const type = headers.get('content-type');
    const [contentType = ''] = (type ?? 'application/octet-stream').toLowerCase().split(';');
    const own = this.headers(method, url, contentType.trim(), endpoint);
    try {
      return await fetch(url, {
        ...{ method, body, redirect: 'manual', tls: this.tls, signal },
        headers: { ...Object.fromEntries(headers), ...lowered(own) },
        decompress: false,
        timeout: false,
      });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      this.connected = null;
      throw this.connectionError(endpoint, error);
    }
  }

  /** TLS options of Bun's fetch and WebSocket. */
  get tls(): { rejectUnauthorized: boolean } {
    return { rejectUnauthorized: !this.config.skipSslCertValidation };
  }

  private connection(): Promise<{ endpoint: string; server: ServerInfo }> {
    this.connected ??= this.handshake().catch((error) => {
      this.connected = null;
      throw error;
    });
    return this.connected;
  }

  private async handshake(): Promise<{ endpoint: string; server: ServerInfo }> {
    const failures: ConnectionError[] = [];
    for (const endpoint of this.candidates) {
      try {
        const response = await fetch(`${endpoint}${this.identity.path('/')}`, {
          headers: { 'User-Agent': USER_AGENT },
          redirect: 'manual',
          tls: this.tls,
          signal: AbortSignal.timeout(this.config.connectionTimeoutMs),
        });
        const parsed = v.safeParse(serverInfo, parseJson(await readBody(response)));
        if (parsed.success) return { endpoint, server: parsed.output };
        failures.push(new ConnectionError(endpoint, this.notOurServer(endpoint)));
      } catch (error) {
        failures.push(this.connectionError(endpoint, error));
      }
    }
    const message = failures.map((failure) => failure.message).join('\n');
    throw new ConnectionError(this.candidates.join(','), message, { cause: failures[0]?.cause });
  }

  private notOurServer(endpoint: string): string {
    const [kind, other] = this.config.endpointType === 'api' ? ['API', 'session'] : ['web', 'api'];
    return (
      `${endpoint} answers, but is not a Backend.AI ${kind} server. ` +
      `(For the other kind set BACKEND_ENDPOINT_TYPE=${other}.)`
    );
  }

  private url(endpoint: string, request: ApiRequest): URL {
    const url = new URL(`${endpoint}${this.identity.path(request.path)}`);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      const values = value === undefined ? [] : [value].flat();
      for (const one of values) url.searchParams.append(name, one);
    }
    return url;
  }

  private headers(
    method: string,
    url: URL,
    contentType: string,
    endpoint: string,
  ): Record<string, string> {
    return {
      'User-Agent': USER_AGENT,
      'X-BackendAI-Domain': this.config.domain,
      ...traceHeaders(),
      ...this.identity.headers({ method, url, contentType }, endpoint, this.clock.now()),
    };
  }

  private packed({ body, hasPassword }: ApiRequest, endpoint: string): PackedBody {
    if (body === undefined) return { contentType: 'text/plain', content: undefined, headers: {} };
    if (body instanceof FormData) {
      // fetch adds the boundary parameter of a form itself.
      return { contentType: 'multipart/form-data', content: body, headers: null };
    }
    const json = JSON.stringify(body);
    if (hasPassword && this.identity.sealsPasswords && endpoint.startsWith('http:')) {
      return {
        contentType: 'application/octet-stream',
        content: sealBody(endpoint, json, this.random),
        headers: { 'X-BackendAI-Encoded': 'true' },
      };
    }
    return { contentType: 'application/json', content: json, headers: {} };
  }

  private async fetchAs(endpoint: string, request: ApiRequest): Promise<Response> {
    const url = this.url(endpoint, request);
    const { contentType, content, headers: extra } = this.packed(request, endpoint);
    const headers = {
      ...this.headers(request.method, url, contentType, endpoint),
      ...(extra === null ? {} : { 'Content-Type': contentType, ...extra }),
    };
    const limitMs =
      request.timeoutMs === undefined
        ? (this.config.readTimeoutMs ?? DEFAULT_READ_TIMEOUT_MS)
        : request.timeoutMs;
    const signals = [
      ...(request.signal ? [request.signal] : []),
      ...(limitMs === null ? [] : [AbortSignal.timeout(limitMs)]),
    ];
    return await fetch(url, {
      method: request.method,
      headers,
      body: content,
      redirect: 'manual',
      tls: this.tls,
      signal: signals.length === 0 ? undefined : AbortSignal.any(signals),
      // Bun's own limit of five minutes would cut off a wait for a session.
      timeout: false,
    });
  }

  private connectionError(endpoint: string, error: unknown): ConnectionError {
    if (error instanceof ConnectionError) return error;
    const why = isTimeout(error) ? 'it did not answer in time.' : failureReason(error);
    return new ConnectionError(endpoint, `Cannot reach ${endpoint}: ${why}`, { cause: error });
  }
}

/** Names in small letters, so that each is there once. */
const lowered = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError';
}
