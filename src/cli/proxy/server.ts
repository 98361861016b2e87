/**
 * A server on this machine that passes requests and WebSockets on to the API in the name of the
 * configured account, for programs that cannot sign. Whoever reaches it acts as that account.
 */
import type { Server, ServerWebSocket } from 'bun';
import type { Client } from '../../client/index.ts';
import { BunWebSocket } from '../../common/bun-websocket.ts';
import { errorMessage, UserError } from '../../common/errors.ts';

/** What may wait for the slower side of a WebSocket before both are closed. Bytes. */
const MAX_WAITING_BYTES = 32 * 1024 * 1024;
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const TOO_SLOW = 1013;
const FAILED = 1011;
/** Codes that say that there was none cannot be sent. */
const WITHOUT_CODE = new Set([1005, 1006, 1015]);
const CLOSE_NORMAL = 1000;

const HOP_BY_HOP = [
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'host', 'content-length'],
];

/** The headers that concern the message itself and not one connection. */
function endToEnd(headers: Headers, but: readonly string[] = []): Headers {
  const result = new Headers(headers);
  const named = (headers.get('connection') ?? '').split(',').map((name) => name.trim());
  for (const name of [...HOP_BY_HOP, ...named, ...but]) if (name !== '') result.delete(name);
  return result;
}

/** The API's path without the version that old clients put before it. */
const withoutVersion = (path: string): string => path.replace(/^\/?v\d+(?=\/)/, '');
const isStream = (path: string): boolean => /^\/(stream|wsproxy)\//.test(path);

/** A client's WebSocket and the server's that it is joined with. */
interface Joined {
  readonly upstream: Bun.WebSocket;
}

function takeFromServer(socket: ServerWebSocket<Joined>, data: unknown): void {
  if (typeof data === 'string') socket.sendText(data);
  else if (data instanceof ArrayBuffer) socket.sendBinary(new Uint8Array(data));
  if (socket.getBufferedAmount() <= MAX_WAITING_BYTES) return;
  socket.data.upstream.close(CLOSE_NORMAL);
  socket.close(TOO_SLOW, 'the client does not take what is sent');
}

const sendable = (code: number): number => (WITHOUT_CODE.has(code) ? CLOSE_NORMAL : code);

const websocket: Bun.WebSocketHandler<Joined> = {
  maxPayloadLength: MAX_MESSAGE_BYTES,
  idleTimeout: 0,
  backpressureLimit: 2 * MAX_WAITING_BYTES,
  open(socket) {
    const { upstream } = socket.data;
    upstream.addEventListener('message', ({ data }) => takeFromServer(socket, data));
    upstream.addEventListener('close', ({ code, reason }) => socket.close(sendable(code), reason));
    if (upstream.readyState !== WebSocket.OPEN) socket.close(FAILED, 'the server has closed it');
  },
  message(socket, message) {
    const { upstream } = socket.data;
    if (upstream.readyState !== WebSocket.OPEN) return;
    upstream.send(message);
    if (upstream.bufferedAmount <= MAX_WAITING_BYTES) return;
    upstream.close(CLOSE_NORMAL);
    socket.close(TOO_SLOW, 'the server does not take what is sent');
  },
  close(socket, code, reason) {
    socket.data.upstream.close(sendable(code), reason);
  },
};

/** Opens the server's WebSocket. @throws Error when it refuses. */
/** Until a server that took the connection must have opened the WebSocket. */
const OPEN_TIMEOUT_MS = 30_000;

async function openUpstream(client: Client, path: string, url: URL): Promise<Bun.WebSocket> {
  const { url: target, headers, tls } = await client.socketTarget(path, url.searchParams);
  const socket = new BunWebSocket(target, { headers, tls });
  socket.binaryType = 'arraybuffer';
  const opened = Promise.withResolvers<void>();
  const refuse = () =>
    opened.reject(new Error(`${target.host} did not open the WebSocket ${path}.`));
  const timer = setTimeout(refuse, OPEN_TIMEOUT_MS);
  socket.addEventListener('open', () => opened.resolve());
  socket.addEventListener('error', refuse);
  try {
    await opened.promise;
  } catch (error) {
    socket.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return socket;
}

async function answer(client: Client, request: Request, server: Server<Joined>) {
  const url = new URL(request.url);
  const path = withoutVersion(url.pathname);
  if (isStream(path) && request.headers.get('upgrade')?.toLowerCase() === 'websocket') {
    const upstream = await openUpstream(client, path, url);
    if (server.upgrade(request, { data: { upstream } })) return undefined;
    upstream.close(CLOSE_NORMAL);
    return new Response('This is no WebSocket.\n', { status: 400 });
  }
  const response = await client.forward({
    method: request.method,
    target: `${path}${url.search}`,
    headers: endToEnd(request.headers, ['authorization', 'cookie', 'date']),
    body: request.body,
    signal: request.signal,
  });
  const headers = endToEnd(response.headers, ['set-cookie']);
  headers.set('Access-Control-Allow-Origin', '*');
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

export interface ApiProxy {
  readonly url: URL;
  stop(): Promise<void>;
}

/** @param complain told of each request that could not be passed on. @throws UserError. */
export function startApiProxy(
  client: Client,
  where: { readonly hostname: string; readonly port: number },
  complain: (message: string) => void,
): ApiProxy {
  let server: Server<Joined>;
  try {
    server = Bun.serve<Joined>({
      ...{ ...where, idleTimeout: 0, maxRequestBodySize: Number.MAX_SAFE_INTEGER, websocket },
      async fetch(request, self) {
        try {
          return await answer(client, request, self);
        } catch (error) {
          complain(errorMessage(error));
          const text = `The request could not be passed on: ${errorMessage(error)}\n`;
          return new Response(text, { status: 502 });
        }
      },
    });
  } catch (error) {
    throw new UserError(`${where.hostname}:${where.port} can't be listened on.`, {
      hint: 'Choose another address with --bind and --port.',
      cause: error,
    });
  }
  return { url: server.url, stop: () => server.stop(true) };
}
