/**
 * The web terminal: a page, and a WebSocket that speaks the protocol of ttyd, so that its page and
 * other clients of it work as well. Who may come here is the app proxy's business; pages of other
 * sites are kept out.
 */
import { hostname } from 'node:os';
import { basename } from 'node:path';
import type { Server, ServerWebSocket } from 'bun';
import * as v from 'valibot';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { TerminalSize } from '../process/terminal.ts';
import { SharedTerminal, type ShellPlace } from './shared.ts';
import type { Viewer } from './viewer.ts';

const MAX_SOCKETS = 64;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const PROTOCOL = 'tty';

const server = { output: 0x30, title: 0x31, preferences: 0x32 } as const;
const client = { input: 0x30, resize: 0x31, pause: 0x32, resume: 0x33, hello: 0x7b } as const;
/** Beyond ttyd's protocol: ends the shell and begins another, which all viewers see. */
const RESTART = 0x34;

const close = { done: 1000, policy: 1008, tooBig: 1009, failure: 1011, busy: 1013 } as const;

const windowSize = v.object({ columns: v.number(), rows: v.number() });

/** What is known of one socket. */
interface Peer {
  viewer: Viewer | null;
  hasGreeted: boolean;
  /** The window's, as told last. */
  size: TerminalSize | null;
  /** The client, and the socket's buffer, each take more output. */
  isWilling: boolean;
  hasRoom: boolean;
}
type Socket = ServerWebSocket<Peer>;

export interface TerminalOptions extends ShellPlace {
  readonly listen: { readonly host: string; readonly port: number };
}

export interface TerminalService {
  stop(): Promise<void>;
}

function framed(kind: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(payload.length + 1);
  frame[0] = kind;
  frame.set(payload, 1);
  return frame;
}

const encoder = new TextEncoder();

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

class TerminalSockets {
  readonly #terminal: SharedTerminal;
  readonly #title: string;

  constructor(place: ShellPlace) {
    this.#terminal = new SharedTerminal(place);
    this.#title = `${basename(place.shell)} (${hostname()})`;
  }

  async take(socket: Socket, message: Uint8Array): Promise<void> {
    const { viewer } = socket.data;
    const payload = message.subarray(1);
    switch (message[0]) {
      case client.hello:
        await this.#greet(socket, message);
        return;
      case client.input:
        // Keys that come while the shell starts wait for it.
        if (socket.data.hasGreeted && !this.#terminal.input(payload)) {
          socket.close(close.tooBig, 'too much input at once');
        }
        return;
      case client.resize: {
        const size = v.safeParse(windowSize, parseJson(payload));
        if (!size.success) return;
        socket.data.size = size.output;
        if (viewer) this.#terminal.resize(viewer, size.output);
        return;
      }
      case client.pause:
      case client.resume:
        socket.data.isWilling = message[0] === client.resume;
        this.flow(socket);
        return;
      case RESTART:
        if (viewer) this.#terminal.restart();
        return;
      default:
        // A command of a later version.
        return;
    }
  }

  /** Tells the terminal whether a socket takes output. */
  flow({ data }: Socket): void {
    if (data.viewer) this.#terminal.flow(data.viewer, data.isWilling && data.hasRoom);
  }

  leave(socket: Socket): void {
    if (socket.data.viewer) this.#terminal.leave(socket.data.viewer);
    socket.data.viewer = null;
  }

  stop(): Promise<void> {
    return this.#terminal.stop();
  }

  /** The first message: the size; with it the terminal is shown. */
  async #greet(socket: Socket, message: Uint8Array): Promise<void> {
    if (socket.data.hasGreeted) return;
    socket.data.hasGreeted = true;
    const size = v.safeParse(windowSize, parseJson(message));
    if (!size.success) {
      socket.close(close.policy, 'the first message must be JSON with columns and rows');
      return;
    }
    socket.sendBinary(framed(server.title, encoder.encode(this.#title)));
    socket.sendBinary(framed(server.preferences, encoder.encode('{}')));
    try {
      const viewer = await this.#terminal.join({
        size: size.output,
        send: (bytes) => {
          socket.data.hasRoom = socket.sendBinary(framed(server.output, bytes)) > 0;
          return socket.data.hasRoom && socket.data.isWilling;
        },
        ended: (exitCode) => socket.close(exitCode === 0 ? close.done : close.failure, 'ended'),
      });
      socket.data.viewer = viewer;
      // It may have changed while the shell started.
      if (socket.data.size !== null) this.#terminal.resize(viewer, socket.data.size);
      if (socket.readyState !== WebSocket.OPEN) this.leave(socket);
    } catch (error) {
      socket.close(close.failure, errorMessage(error).slice(0, 100));
    }
  }
}

/** A page of another site would else reach a terminal on its visitor's own machine. */
function isOwnPage(request: Request): boolean {
  const origin = request.headers.get('origin');
  if (origin === null) return true;
  const hosts = [request.headers.get('host'), request.headers.get('x-forwarded-host')];
  return URL.canParse(origin) && hosts.includes(new URL(origin).host);
}

function upgrade(request: Request, bun: Server<Peer>): Response | undefined {
  const offered = (request.headers.get('sec-websocket-protocol') ?? '').split(/\s*,\s*/);
  if (!offered.includes(PROTOCOL))
    return new Response(`the subprotocol is ${PROTOCOL}\n`, { status: 400 });
  if (!isOwnPage(request)) return new Response('not from other sites\n', { status: 403 });
  if (bun.pendingWebSockets >= MAX_SOCKETS)
    return new Response('too many viewers\n', { status: 503 });
  const data: Peer = {
    ...{ viewer: null, hasGreeted: false, size: null },
    ...{ isWilling: true, hasRoom: true },
  };
  const headers = { 'Sec-WebSocket-Protocol': PROTOCOL };
  return bun.upgrade(request, { data, headers })
    ? undefined
    : new Response('a WebSocket\n', { status: 426 });
}

async function page(request: Request): Promise<Response> {
  const { compressedPage, plainPage } = await import('./page.ts');
  const takesGzip = /\bgzip\b/.test(request.headers.get('accept-encoding') ?? '');
  const headers = {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-cache',
    Vary: 'Accept-Encoding',
  };
  return takesGzip
    ? new Response(compressedPage(), { headers: { ...headers, 'Content-Encoding': 'gzip' } })
    : new Response(plainPage(), { headers });
}

/** Serves the terminal from now on. @throws UserError when the port can't be had. */
export function startTerminal(options: TerminalOptions): TerminalService {
  const { listen } = options;
  const sockets = new TerminalSockets(options);
  try {
    const bun = Bun.serve<Peer>({
      hostname: listen.host,
      port: listen.port,
      development: false,
      reusePort: false,
      fetch: (request, own) => {
        const { pathname } = new URL(request.url);
        if (pathname === '/ws') return upgrade(request, own);
        if (request.method !== 'GET' && request.method !== 'HEAD')
          return new Response(null, { status: 405 });
        if (pathname === '/') return page(request);
        if (pathname === '/token') return Response.json({ token: '' });
        return new Response('not found\n', { status: 404 });
      },
      websocket: {
        maxPayloadLength: MAX_MESSAGE_BYTES,
        perMessageDeflate: false,
        // Text works like bytes, as with ttyd.
        message: (socket, message) =>
          sockets.take(socket, typeof message === 'string' ? encoder.encode(message) : message),
        drain: (socket) => {
          socket.data.hasRoom = true;
          sockets.flow(socket);
        },
        close: (socket) => sockets.leave(socket),
      },
    });
    return {
      stop: async () => {
        await sockets.stop();
        await bun.stop(true);
      },
    };
  } catch (error) {
    throw new UserError(`Port ${listen.port} can't be listened on: ${errorMessage(error)}`);
  }
}
