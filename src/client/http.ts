/**
 * Signed HTTP requests: picks an endpoint that answers, bounds every wait and every body, and turns
 * problem documents into `ApiError`.
 */
import * as v from 'valibot';
import { type Credential, requestHeaders } from '../common/api-signing.ts';
import { type Clock, systemClock } from '../common/clock.ts';
import { errorCode } from '../common/errors.ts';
import { type Random, systemRandom } from '../common/random.ts';
import type { ClientConfig } from './config.ts';
import { ApiError, ConnectionError } from './errors.ts';

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
  /** Undefined values are left out. */
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** A form is sent as multipart, anything else as JSON. */
  readonly body?: unknown;
  /** Longest wait for the answer, null for no limit; default as configured. Milliseconds. */
  readonly timeoutMs?: number | null;
  readonly signal?: AbortSignal;
}

export interface ClientDependencies {
  readonly clock?: Clock;
  readonly random?: Random;
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

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/** The error that a failed answer describes. */
export async function apiErrorOf(response: Response): Promise<ApiError> {
  const bytes = await readBody(response);
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

export class HttpClient {
  readonly config: ClientConfig;
  private readonly clock: Clock;
  private readonly candidates: readonly string[];
  private connected: Promise<{ endpoint: string; server: ServerInfo }> | null = null;

  constructor(config: ClientConfig, dependencies: ClientDependencies = {}) {
    this.config = config;
    this.clock = dependencies.clock ?? systemClock;
    this.candidates = shuffled(config.endpoints, dependencies.random ?? systemRandom);
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
    for (let attempt = 1; ; attempt++) {
      const endpoint = await this.endpoint();
      const url = this.url(endpoint, request);
      let response: Response;
      try {
        response = await this.fetchSigned(url, request);
      } catch (error) {
        if (request.signal?.aborted) throw request.signal.reason;
        const safeToRepeat = request.method === 'GET' || NEVER_SENT.has(errorCode(error));
        if (!safeToRepeat || attempt >= this.candidates.length || isTimeout(error)) {
          throw this.connectionError(endpoint, error);
        }
        this.connected = null;
        continue;
      }
      if (response.status >= 400) throw await apiErrorOf(response);
      return response;
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
   * URL and signed headers for a stream. Streams sign `application/octet-stream` without sending it.
   */
  async stream(path: string, query: ApiRequest['query'], scheme: 'http' | 'ws') {
    const url = this.url(await this.endpoint(), { method: 'GET', path, query });
    if (scheme === 'ws') url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const headers = this.headers('GET', url, 'application/octet-stream');
    return { url, headers };
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
        const response = await fetch(`${endpoint}/`, {
          headers: { 'User-Agent': USER_AGENT },
          redirect: 'manual',
          tls: this.tls,
          signal: AbortSignal.timeout(this.config.connectionTimeoutMs),
        });
        const parsed = v.safeParse(serverInfo, parseJson(await readBody(response)));
        if (parsed.success) return { endpoint, server: parsed.output };
        failures.push(
          new ConnectionError(endpoint, `${endpoint} answers, but is not a Backend.AI API server.`),
        );
      } catch (error) {
        failures.push(this.connectionError(endpoint, error));
      }
    }
    const message = failures.map((failure) => failure.message).join('\n');
    throw new ConnectionError(this.candidates.join(','), message, { cause: failures[0]?.cause });
  }

  private url(endpoint: string, request: ApiRequest): URL {
    const url = new URL(`${endpoint}${request.path}`);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.append(name, value);
    }
    return url;
  }

  private headers(method: string, url: URL, contentType: string): Record<string, string> {
    const { accessKey, secretKey, domain } = this.config;
    const credential: Credential | null = accessKey === '' ? null : { accessKey, secretKey };
    return {
      'User-Agent': USER_AGENT,
      'X-BackendAI-Domain': domain,
      ...requestHeaders({ method, url, contentType }, credential, this.clock.now()),
    };
  }

  private async fetchSigned(url: URL, request: ApiRequest): Promise<Response> {
    const { method, body } = request;
    const isForm = body instanceof FormData;
    const contentType =
      body === undefined ? 'text/plain' : isForm ? 'multipart/form-data' : 'application/json';
    const headers = this.headers(method, url, contentType);
    // fetch adds the boundary parameter of a form itself.
    if (!isForm) headers['Content-Type'] = contentType;
    const limitMs =
      request.timeoutMs === undefined
        ? (this.config.readTimeoutMs ?? DEFAULT_READ_TIMEOUT_MS)
        : request.timeoutMs;
    const signals = [
      ...(request.signal ? [request.signal] : []),
      ...(limitMs === null ? [] : [AbortSignal.timeout(limitMs)]),
    ];
    return await fetch(url, {
      method,
      headers,
      body: body === undefined || isForm ? body : JSON.stringify(body),
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

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError';
}
