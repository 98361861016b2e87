/** Serves the client-facing API: uploads and downloads, for whoever has a manager's token. */
import { errorMessage, UserError } from '../../common/errors.ts';
import { VERSION } from '../../common/version.ts';
import type { StorageContext } from '../context.ts';
import type { Listening } from '../manager-api/server.ts';
import { isOutOfSpace, StorageError, systemFailure } from '../problems.ts';
import type { ListenSettings } from '../settings.ts';
import { preflight, withCors } from './cors.ts';
import { downloadRoutes } from './download.ts';
import { uploadRoutes } from './upload.ts';

/** Connections without traffic are closed after this long. Seconds. Clients go on where they were. */
const IDLE_SEC = 120;
const STOP_GRACE_MS = 5_000;

/** What an answer is made from may have to be let go once it is handed over. */
export type Answer = Response | { readonly response: Response; readonly release: () => void };

type ClientHandler = (request: Request, url: URL) => Promise<Answer>;

/** Handlers by path, then by method. */
export type ClientRoutes = Readonly<Record<string, Readonly<Record<string, ClientHandler>>>>;

function failure({ log }: StorageContext, request: Request, error: unknown): Response {
  let told = error;
  if (isOutOfSpace(error)) {
    told = new StorageError('NotEnoughSpace', systemFailure(error));
  }
  if (!(told instanceof StorageError)) {
    log.error('a request failed unexpectedly', {
      method: request.method,
      path: new URL(request.url).pathname,
      error: errorMessage(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    told = new StorageError('InternalError');
  }
  const problem = told instanceof StorageError ? told : new StorageError('InternalError');
  return new Response(JSON.stringify(problem.toDocument()), {
    status: problem.status,
    headers: { 'Content-Type': 'application/problem+json' },
  });
}

async function answer(
  context: StorageContext,
  routes: ClientRoutes,
  request: Request,
): Promise<Answer> {
  try {
    const url = new URL(request.url);
    const methods = routes[url.pathname];
    if (!methods) throw new StorageError('NotFound', `There is no ${url.pathname} here.`);
    const handler = methods[request.method];
    if (!handler && request.method === 'OPTIONS') return preflight();
    if (!handler) throw new StorageError('MethodNotAllowed');
    return await handler(request, url);
  } catch (error) {
    return failure(context, request, error);
  }
}

const status: ClientHandler = async () =>
  Response.json({ status: 'ok', type: 'client-facing', 'storage-proxy': VERSION });

/** @throws UserError when the address cannot be used. */
export async function serveClientApi(
  context: StorageContext,
  listen: ListenSettings,
): Promise<Listening> {
  const { hostname, port, tls } = listen;
  const routes: ClientRoutes = {
    '/': { GET: status },
    ...downloadRoutes(context),
    ...uploadRoutes(context),
  };
  try {
    const server = Bun.serve({
      ...{ hostname, port, idleTimeout: IDLE_SEC, development: false, reusePort: false },
      // How much an upload may bring is in its token.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      tls: tls ? { cert: Bun.file(tls.certFile), key: Bun.file(tls.keyFile) } : undefined,
      async fetch(request) {
        const startedMs = context.clock.monotonicMs();
        const answered = await answer(context, routes, request);
        const { status } = answered instanceof Response ? answered : answered.response;
        const { pathname } = new URL(request.url);
        context.onAnswered({
          ...{ method: request.method, status, errorCode: null },
          endpoint: Object.hasOwn(routes, pathname) ? pathname : '',
          elapsedMs: context.clock.monotonicMs() - startedMs,
        });
        if (answered instanceof Response) return withCors(request, answered);
        // Bun opens a file that it is to send when it gets the response, and so before this is run.
        setImmediate(answered.release);
        return withCors(request, answered.response);
      },
    });
    const host = hostname.includes(':') ? `[${hostname}]` : hostname;
    return {
      url: `${tls ? 'https' : 'http'}://${host}:${server.port}`,
      async stop() {
        const force = context.clock.timer(STOP_GRACE_MS, () => void server.stop(true));
        await server.stop();
        force.cancel();
      },
    };
  } catch (error) {
    throw new UserError(
      `The client API can't listen on ${hostname}:${port}: ${errorMessage(error)}`,
      { hint: 'Stop what uses the port, or set another service-addr in [api.client].' },
    );
  }
}
