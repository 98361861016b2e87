/**
 * Serves the manager-facing API. Managers send their parameters as a JSON body also with GET, which
 * Bun's own server drops; Node's keeps it. Parameters of a GET may be in the query as well.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errorCode, errorMessage, UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { parseTraceparent, type Tracer } from '../../common/tracing.ts';
import type { AnsweredRequest } from '../../metrics/requests.ts';
import { StorageError, systemFailure } from '../problems.ts';
import type { ListenSettings } from '../settings.ts';
import type { ManagerRoute, Reply } from './route.ts';
import { Router } from './router.ts';

const MAX_BODY_BYTES = 16 * 1024 * 1024;
const AUTH_HEADER = 'x-backendai-storage-auth-token';
const STOP_GRACE_MS = 5_000;
const octets = { 'Content-Type': 'application/octet-stream' };

export interface ManagerApiOptions {
  readonly routes: readonly ManagerRoute[];
  readonly secret: string;
  readonly listen: ListenSettings;
  readonly log: Logger;
  readonly tracer: Tracer;
  /** Told of every answer. */
  readonly onAnswered: (answered: AnsweredRequest) => void;
}

export interface Listening {
  /** `http://host:port` (or https) without a trailing slash. */
  readonly url: string;
  stop(): Promise<void>;
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    const part = Buffer.from(chunk);
    bytes += part.length;
    if (bytes > MAX_BODY_BYTES) {
      throw new StorageError('InvalidParameters', `A body may have up to ${MAX_BODY_BYTES} bytes.`);
    }
    chunks.push(part);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new StorageError('InvalidParameters', 'The body is not valid JSON.');
  }
}

const isTable = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const problemOf = (error: StorageError): Reply => ({
  status: error.status,
  problem: error.toDocument(),
});

class ManagerApi {
  readonly #router: Router;
  readonly #secret: Buffer;
  readonly #log: Logger;
  readonly #tracer: Tracer;
  readonly #onAnswered: ManagerApiOptions['onAnswered'];

  constructor({ routes, secret, log, tracer, onAnswered }: ManagerApiOptions) {
    this.#router = new Router(routes);
    this.#secret = digest(secret);
    this.#log = log;
    this.#tracer = tracer;
    this.#onAnswered = onAnswered;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = performance.now();
    response.once('close', () => this.#count(request, response, performance.now() - startedMs));
    try {
      const given = request.headers.traceparent;
      const reply = await this.#tracer.run(
        {
          name: `${request.method} ${request.url?.split('?', 1)[0]}`,
          kind: 'server',
          onlyWithin: true,
          parent: parseTraceparent(typeof given === 'string' ? given : null),
        },
        () => this.#answer(request),
      );
      await this.#send(response, reply);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else await this.#send(response, this.#failure(request, error));
    }
  }

  #count({ method = '', url }: IncomingMessage, { statusCode }: ServerResponse, elapsedMs: number) {
    const path = url?.split('?', 1)[0] ?? '';
    // Unknown paths are whatever somebody tries; as labels they would be without end.
    const endpoint = this.#router.find(method, path)?.route.path ?? '';
    this.#onAnswered({ method, endpoint, status: statusCode, errorCode: null, elapsedMs });
  }

  async #answer(request: IncomingMessage): Promise<Reply> {
    const url = new URL(request.url ?? '/', 'http://storage-proxy');
    const found = this.#router.find(request.method ?? 'GET', url.pathname);
    if (!found?.route.isOpen) this.#checkSecret(request);
    if (!found) {
      if (this.#router.knows(url.pathname)) throw new StorageError('MethodNotAllowed');
      throw new StorageError('NotFound', `There is no ${url.pathname} here.`);
    }
    const { route, parts } = found;
    const query = Object.fromEntries(url.searchParams);
    if (route.receive) return await route.receive(request, { ...query, ...parts });
    const text = await bodyOf(request);
    const params = text === '' ? query : parseBody(text);
    return await route.run(isTable(params) ? { ...params, ...parts } : params);
  }

  #checkSecret(request: IncomingMessage): void {
    const given = request.headers[AUTH_HEADER];
    if (typeof given === 'string' && timingSafeEqual(digest(given), this.#secret)) return;
    throw new StorageError(
      'Forbidden',
      'The secret is missing or wrong. Managers and this proxy must have the same one.',
    );
  }

  /** A full disk, a name that is too long: the manager shows what the system said. */
  #failure(request: IncomingMessage, error: unknown): Reply {
    if (error instanceof StorageError) return problemOf(error);
    if (errorCode(error) !== '' && error instanceof Error && 'errno' in error) {
      const errno = Math.abs(Number(error.errno));
      return { status: 400, json: { msg: systemFailure(error), errno, paths: [] } };
    }
    this.#log.error('a request failed unexpectedly', {
      method: request.method,
      path: request.url?.split('?', 1)[0],
      error: errorMessage(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    return problemOf(new StorageError('InternalError'));
  }

  async #send(response: ServerResponse, reply: Reply): Promise<void> {
    if ('file' in reply) return await this.#sendFile(response, reply);
    if ('body' in reply) {
      response.writeHead(200, { ...octets, 'Content-Length': reply.sizeBytes });
      return await pipeline(Readable.from(reply.body, { objectMode: false }), response);
    }
    const isProblem = 'problem' in reply;
    const document = isProblem ? reply.problem : reply.json;
    if (document === undefined) {
      response.writeHead(reply.status).end();
      return;
    }
    const type = isProblem ? 'application/problem+json' : 'application/json';
    response.writeHead(reply.status, { 'Content-Type': type }).end(JSON.stringify(document));
  }

  async #sendFile(
    response: ServerResponse,
    { file, sizeBytes }: Extract<Reply, { file: unknown }>,
  ): Promise<void> {
    response.writeHead(200, { ...octets, 'Content-Length': sizeBytes });
    if (sizeBytes === 0) {
      response.end();
      await file.close();
      return;
    }
    // A file that grows meanwhile is cut at the length that was announced. The stream closes it.
    await pipeline(createReadStream('', { fd: file, end: sizeBytes - 1 }), response);
  }
}

/** @throws UserError when the address or the certificate cannot be used. */
export async function serveManagerApi(options: ManagerApiOptions): Promise<Listening> {
  const { hostname, port, tls } = options.listen;
  const api = new ManagerApi(options);
  const handle = (request: IncomingMessage, response: ServerResponse) =>
    void api.handle(request, response);
  const server = tls
    ? createTlsServer({ cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) }, handle)
    : createServer(handle);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ port, host: hostname, exclusive: true }, resolve);
  try {
    await promise;
  } catch (error) {
    throw new UserError(
      `The manager API can't listen on ${hostname}:${port}: ${errorMessage(error)}`,
      { hint: 'Stop what uses the port, or set another service-addr in [api.manager].' },
    );
  }
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  const host = hostname.includes(':') ? `[${hostname}]` : hostname;
  return {
    url: `${tls ? 'https' : 'http'}://${host}:${bound}`,
    async stop() {
      const closed = new Promise<void>((done) => server.close(() => done()));
      const force = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
      server.closeIdleConnections();
      await closed;
      clearTimeout(force);
    },
  };
}
