/**
 * HTTP servers that receive the bodies of GET requests.
 *
 * Upstream's Python client sends parameters as JSON in the body of a GET, and `Bun.serve` throws such
 * bodies away. So `Bun.serve` listens on a socket inside this machine, and what is here stands before
 * it: it passes bytes on as they come, and makes each GET that has a body a POST that says in a header
 * what it was. (node:http keeps the bodies, but costs more than this does, and WebSockets would have
 * to be done anew.) The header also tells the connection; its name is a secret of the process, so
 * nobody else can send it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Server, ServerWebSocket, TCPSocketListener } from 'bun';
import type { Random } from '../random.ts';
import type { RequestHead } from './framing.ts';
import { Connector, Passage } from './passage.ts';

const LINE_END = Buffer.from('\r\n');
/** A WebSocket without traffic is closed after this long; it is pinged before. Seconds. */
const SOCKET_IDLE_SEC = 120;
const CLOSE_GOING_AWAY = 1001;
/** How long clients may take to read the rest of what was answered when the server closes. */
const FAREWELL_MS = 1_000;
/**
 * Idle connections are closed before the server behind: on Unix sockets Bun can't change their limit
 * for one request. Its types forget that there is such a limit on Unix sockets at all.
 */
const NEVER_IDLE: object = { idleTimeout: 0 };

/** What a request was upgraded for: it is told of what its WebSocket does. */
export interface SocketEvents {
  opened(socket: ServerWebSocket<SocketEvents>): void;
  received(message: string | Uint8Array<ArrayBuffer>): void;
  /** There is room again for what is sent. */
  drained(): void;
  disconnected(code: number, reason: string): void;
  /** Asked to end: the server stops. */
  close(code: number, reason: string): void;
}

/** What a handler may ask about a request, and do with its connection. */
export interface Front {
  /** Who sent it; null when they have left. */
  requestIP(request: Request): { address: string } | null;
  /** Sets how long the request's connection may be idle. Seconds; 0 is without limit. */
  timeout(request: Request, seconds: number): void;
  upgrade(request: Request, options: { data: SocketEvents; headers?: HeadersInit }): boolean;
  /**
   * What keeps the request's client from sending more, until it is called with false. Bun reads
   * WebSockets as fast as they deliver; this is how a server slows one down.
   */
  brake(request: Request): (isHeld: boolean) => void;
  /** The request that carries the body: another one for a GET, which can't have any in Bun. */
  carrier(request: Request): Request;
}

export interface FrontOptions {
  readonly hostname: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Serves HTTPS with these PEM files; the requests' URLs say http all the same. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** Connections without traffic are closed after this long. Seconds. */
  readonly idleSec: number;
  readonly maxBodyBytes: number;
  readonly maxMessageBytes: number;
  readonly random: Random;
  fetch(request: Request, front: Front): Promise<Response | undefined>;
}

export interface FrontListener {
  readonly port: number;
  /** Takes no more connections, ends WebSockets, and is done when running requests are answered. */
  drain(): Promise<void>;
  /** Closes everything. */
  close(): Promise<void>;
}

/** Where the server behind listens: nobody else's business, and gone with the process. */
async function innerAddress(random: Random): Promise<{ unix: string; folder: string | null }> {
  // Linux has names outside of the file system, of which a killed process leaves nothing.
  if (process.platform === 'linux') {
    return { unix: `\0backend.ai-${random.uuid()}`, folder: null };
  }
  const folder = await mkdtemp(join(tmpdir(), 'backend.ai-'));
  return { unix: join(folder, 'http.sock'), folder };
}

/** The connections that are open, and how requests tell theirs. */
class Connections implements Front {
  readonly #markName: string;
  readonly #open = new Map<string, Passage>();
  readonly #carriers = new WeakMap<Request, Request>();
  #count = 0;
  #server: Server<SocketEvents> | null = null;
  readonly #sockets = new Set<SocketEvents>();
  #onNone: (() => void) | null = null;

  constructor(random: Random) {
    this.#markName = `x-front-${Buffer.from(random.bytes(16)).toString('hex')}`;
  }

  attach(server: Server<SocketEvents>): void {
    this.#server = server;
  }

  add(passage: Passage): string {
    this.#count += 1;
    const id = this.#count.toString(36);
    this.#open.set(id, passage);
    return id;
  }

  remove(id: string): void {
    this.#open.delete(id);
    if (this.#open.size === 0) this.#onNone?.();
  }

  /** Waits until all are closed, for a moment at the most. */
  async farewell(): Promise<void> {
    if (this.#open.size === 0) return;
    const done = Promise.withResolvers<void>();
    this.#onNone = done.resolve;
    const timer = setTimeout(done.resolve, FAREWELL_MS);
    await done.promise;
    clearTimeout(timer);
  }

  /** The head as the server behind gets it: with a mark, and as a POST when a GET has a body. */
  mark({ method, bytes, hasBody }: RequestHead, id: string): Buffer {
    const lineEnd = bytes.indexOf(LINE_END) + LINE_END.length;
    const isCarried = method === 'GET' && hasBody;
    return Buffer.concat([
      isCarried ? Buffer.from('POST') : bytes.subarray(0, method.length),
      bytes.subarray(method.length, lineEnd),
      Buffer.from(`${this.#markName}: ${id}${isCarried ? ' GET' : ''}\r\n`),
      bytes.subarray(lineEnd),
    ]);
  }

  /** The request that was sent: of a GET that came as a POST, one without its body. */
  sent(request: Request): Request {
    if (!request.headers.get(this.#markName)?.endsWith(' GET')) return request;
    const { url, headers, signal } = request;
    const get = new Request(url, { method: 'GET', headers, signal });
    this.#carriers.set(get, request);
    return get;
  }

  carrier(request: Request): Request {
    return this.#carriers.get(request) ?? request;
  }

  #passage(request: Request): Passage | null {
    const id = request.headers.get(this.#markName)?.split(' ', 1)[0];
    return this.#open.get(id ?? '') ?? null;
  }

  opened(socket: ServerWebSocket<SocketEvents>): void {
    this.#sockets.add(socket.data);
    socket.data.opened(socket);
  }

  disconnected(events: SocketEvents, code: number, reason: string): void {
    this.#sockets.delete(events);
    events.disconnected(code, reason);
  }

  closeSockets(): void {
    for (const events of this.#sockets) events.close(CLOSE_GOING_AWAY, 'server-restarting');
  }

  requestIP(request: Request): { address: string } | null {
    const passage = this.#passage(request);
    return passage && { address: passage.peer };
  }

  timeout(request: Request, seconds: number): void {
    this.#passage(request)?.allowIdle(seconds);
  }

  brake(request: Request): (isHeld: boolean) => void {
    const passage = this.#passage(request);
    return (isHeld) => passage?.toServer.hold(isHeld);
  }

  upgrade(request: Request, options: { data: SocketEvents; headers?: HeadersInit }): boolean {
    return this.#server?.upgrade(request, options) ?? false;
  }
}

function serveBehind(
  { maxBodyBytes, maxMessageBytes, fetch }: FrontOptions,
  unix: string,
  connections: Connections,
): Server<SocketEvents> {
  return Bun.serve<SocketEvents>({
    unix,
    ...NEVER_IDLE,
    maxRequestBodySize: maxBodyBytes,
    development: false,
    websocket: {
      maxPayloadLength: maxMessageBytes,
      backpressureLimit: 4 * maxMessageBytes,
      closeOnBackpressureLimit: false,
      idleTimeout: SOCKET_IDLE_SEC,
      sendPings: true,
      perMessageDeflate: false,
      open: (socket) => connections.opened(socket),
      message: (socket, message) =>
        socket.data.received(typeof message === 'string' ? message : new Uint8Array(message)),
      drain: (socket) => socket.data.drained(),
      close: ({ data }, code, reason) => connections.disconnected(data, code, reason),
    },
    fetch: (request) => fetch(connections.sent(request), connections),
  });
}

function listen(
  { hostname, port, tls, idleSec }: FrontOptions,
  connector: Connector,
  connections: Connections,
): TCPSocketListener<Passage> {
  return Bun.listen<Passage>({
    ...{ hostname, port },
    tls: tls && { cert: Bun.file(tls.certFile), key: Bun.file(tls.keyFile) },
    socket: {
      open(client) {
        const passage = new Passage(client, {
          idleSec,
          rewrite: (head) => connections.mark(head, id),
          onEnd: () => connections.remove(id),
        });
        const id = connections.add(passage);
        client.data = passage;
        connector.connect(passage);
      },
      data: ({ data: passage }, bytes) => passage.received(bytes),
      drain: ({ data: passage }) => passage.toClient.drained(),
      timeout: ({ data: passage }) => passage.toClient.end(),
      // A client that leaves before its handshake is over has no passage yet.
      close: ({ data: passage }: { data?: Passage }) => passage?.ended(),
      // close() follows, and is what matters.
      error() {},
    },
  });
}

/**
 * Starts serving.
 * @throws what the system says when the address cannot be bound.
 */
export async function serveFront(options: FrontOptions): Promise<FrontListener> {
  const { random } = options;
  const connections = new Connections(random);
  const { unix, folder } = await innerAddress(random);
  const server = serveBehind(options, unix, connections);
  connections.attach(server);
  const closeBehind = async () => {
    await server.stop(true);
    if (folder !== null) await rm(folder, { recursive: true, force: true });
  };
  try {
    const listener = listen(options, new Connector(unix), connections);
    return {
      port: listener.port,
      async drain() {
        listener.stop(false);
        connections.closeSockets();
        await server.stop(false);
      },
      async close() {
        listener.stop(false);
        await closeBehind();
        await connections.farewell();
        listener.stop(true);
      },
    };
  } catch (error) {
    await closeBehind();
    throw error;
  }
}
