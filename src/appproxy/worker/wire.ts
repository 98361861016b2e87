/**
 * One end of a TCP connection, as the proxy uses it: bytes are handed to an owner, what the system
 * does not take yet waits here, and both halves can end on their own.
 */
import type { Socket, SocketHandler, TCPSocketListener } from 'bun';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import { libc } from '../../common/libc.ts';

/** What becomes of a connection. Calls stop after `closed`, which comes exactly once. */
export interface WireOwner {
  received(chunk: Buffer): void;
  /** All that waited is written. */
  drained(): void;
  /** The other side will send nothing more. */
  ended(): void;
  /** @param isBroken whether it broke off, so that what came may not be all. */
  closed(isBroken: boolean): void;
}

/** What has been moved from one connection to another. */
export interface Relayed {
  readonly bytes: number;
  /** Whether the other one took all; if not, move no more before `drained`. */
  readonly isTaken: boolean;
}

/** A piece this large says that more of its kind follows. Bytes. */
export const BULK_BYTES = 64 * 1024;
/** Moves in a row before others get their turn, of at most so many bytes. */
const MAX_MOVES = 8;
const MOVED_BYTES = 512 * 1024;
/** Shared by all, since nothing stays in it. */
let movedBytes: Buffer | null = null;

const nobody: WireOwner = { received() {}, drained() {}, ended() {}, closed() {} };

export class Wire {
  owner: WireOwner = nobody;
  #socket: Socket<Wire> | null = null;
  #waiting: Buffer | null = null;
  #isEnding = false;
  #isClosing = false;
  #isPaused = false;
  #isBroken = false;
  /** Whether what is sent is what is on the wire. */
  readonly #isPlain: boolean;

  constructor(isPlain: boolean) {
    this.#isPlain = isPlain;
  }

  get isOpen(): boolean {
    return this.#socket !== null;
  }

  /** The address of the other side; empty once the connection is gone. */
  get remoteAddress(): string {
    return this.#socket?.remoteAddress ?? '';
  }

  /** Whether nothing waits to be written. */
  get isDrained(): boolean {
    return this.#waiting === null;
  }

  /**
   * Writes, keeping what the system does not take.
   * @returns whether all was taken; if not, send no more before `drained`.
   */
  write(chunk: Buffer): boolean {
    if (this.#socket === null || this.#isEnding) return true;
    if (this.#waiting !== null) {
      this.#waiting = Buffer.concat([this.#waiting, chunk]);
      return false;
    }
    const written = Math.max(0, this.#socket.write(chunk));
    if (written === chunk.length) return true;
    this.#waiting = written === 0 ? chunk : chunk.subarray(written);
    return false;
  }

  /**
   * Moves what has come meanwhile straight to another connection: bulk data need not become
   * objects on the way. Nothing is moved where one of them is encrypted.
   * @param most bytes that may be moved.
   */
  relayTo(target: Wire, most: number): Relayed {
    const c = libc();
    let [bytes, isTaken] = [0, true];
    for (let move = 0; move < MAX_MOVES && isTaken && bytes < most; move += 1) {
      const [from, to] = [this.#descriptor, target.#descriptor];
      if (c === null || from < 0 || to < 0 || this.#isPaused || target.#isBusy) break;
      movedBytes ??= Buffer.alloc(MOVED_BYTES);
      const received = c.receive(from, movedBytes.subarray(0, Math.min(MOVED_BYTES, most - bytes)));
      if (received === -2) {
        this.#isBroken = true;
        this.destroy();
      }
      // Its end is for the runtime to notice.
      if (received <= 0) break;
      bytes += received;
      const sent = Math.max(0, c.send(to, movedBytes, received));
      isTaken = sent === received || target.write(Buffer.from(movedBytes.subarray(sent, received)));
    }
    return { bytes, isTaken };
  }

  /** The socket's number in the system while bytes can be moved past the runtime; else -1. */
  get #descriptor(): number {
    const socket = this.#socket;
    if (socket === null || !this.#isPlain || !('fd' in socket)) return -1;
    return typeof socket.fd === 'number' ? socket.fd : -1;
  }

  get #isBusy(): boolean {
    return this.#waiting !== null || this.#isEnding;
  }

  /** Tells the other side that nothing more comes, once all is written. */
  end(): void {
    if (this.#isEnding && !this.#isClosing) return;
    this.#isEnding = true;
    if (this.#waiting === null) this.#finish();
  }

  /** Stops reading, so that the other side is slowed down. */
  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#socket?.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket?.resume();
  }

  /** Closes both halves, once all is written. */
  close(): void {
    this.#isClosing = true;
    this.end();
  }

  /** Breaks the connection off without telling its owner. */
  abandon(): void {
    this.owner = nobody;
    this.destroy();
  }

  /** Breaks the connection off; what waits is lost. */
  destroy(): void {
    this.#socket?.terminate();
  }

  /** Breaks the connection off, once all is written: the other side is not to take that for all. */
  breakOff(): void {
    this.#isBroken = true;
    this.close();
  }

  #finish(): void {
    if (this.#isBroken) this.destroy();
    else if (this.#isClosing) this.#socket?.end();
    else this.#socket?.shutdown();
  }

  opened(socket: Socket<Wire>): void {
    this.#socket = socket;
    socket.setNoDelay(true);
    if (this.#isPaused) socket.pause();
  }

  writable(): void {
    const chunk = this.#waiting;
    if (chunk !== null && this.#socket !== null) {
      const written = Math.max(0, this.#socket.write(chunk));
      if (written < chunk.length) {
        this.#waiting = chunk.subarray(written);
        return;
      }
      this.#waiting = null;
      if (this.#isEnding) this.#finish();
    }
    if (!this.#isEnding) this.owner.drained();
  }

  gone(isBroken: boolean): void {
    if (this.#socket === null) return;
    this.#socket = null;
    this.#waiting = null;
    const { owner } = this;
    this.owner = nobody;
    owner.closed(isBroken || this.#isBroken);
  }
}

const events: Omit<SocketHandler<Wire>, 'open'> = {
  data: (socket, chunk) => socket.data.owner.received(chunk),
  drain: (socket) => socket.data.writable(),
  end: (socket) => socket.data.owner.ended(),
  close: (socket, error) => socket.data.gone(error !== undefined && error !== null),
  // `close` follows, and says the same.
  error() {},
};

export interface WireTls {
  readonly certFile: string;
  readonly keyFile: string;
}

/** What is offered to clients that ask for a protocol (ALPN); HTTP/1.1 only to be told what is spoken. */
const HTTP2_OFFER = Buffer.from('\x02h2\x08http/1.1', 'latin1');

/**
 * Listens for connections.
 * @param address `hasHttp2`: clients that use TLS are told that HTTP/2 is spoken.
 * @param accept gives each new connection its owner.
 * @throws Error of the system when the address cannot be bound.
 */
export function listenForWires(
  address: { hostname: string; port: number; tls: WireTls | null; hasHttp2?: boolean },
  accept: (wire: Wire) => void,
): TCPSocketListener<Wire> {
  return Bun.listen<Wire>({
    hostname: address.hostname,
    port: address.port,
    exclusive: true,
    allowHalfOpen: true,
    ...(address.tls === null
      ? {}
      : {
          tls: {
            cert: Bun.file(address.tls.certFile),
            key: Bun.file(address.tls.keyFile),
            ...(address.hasHttp2 ? { ALPNProtocols: HTTP2_OFFER } : {}),
          },
        }),
    socket: {
      ...events,
      open(socket) {
        const wire = new Wire(address.tls === null);
        socket.data = wire;
        wire.opened(socket);
        accept(wire);
      },
    },
  });
}

/**
 * Opens a connection. Its owner is told `closed` when that fails later on.
 * @throws Error saying why it cannot be opened; within `timeoutMs`.
 */
export async function connectWire(
  hostname: string,
  port: number,
  { clock, timeoutMs }: { clock: Clock; timeoutMs: number },
): Promise<Wire> {
  const wire = new Wire(true);
  const opened = Promise.withResolvers<Wire>();
  const late = clock.timer(timeoutMs, () =>
    opened.reject(new Error(`no connection within ${timeoutMs / 1000} seconds`)),
  );
  let isAwaited = true;
  Bun.connect<Wire>({
    hostname,
    port,
    allowHalfOpen: true,
    data: wire,
    socket: {
      ...events,
      open(socket) {
        if (!isAwaited) {
          socket.terminate();
          return;
        }
        wire.opened(socket);
        opened.resolve(wire);
      },
      connectError: (_socket, error) => opened.reject(error),
    },
  }).catch((error: unknown) => opened.reject(new Error(errorMessage(error))));
  try {
    return await opened.promise;
  } finally {
    isAwaited = false;
    late.cancel();
  }
}
