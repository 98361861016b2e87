/** A byte stream to an app of a session, over a WebSocket of the manager. */
import type { Duplex } from 'node:stream';
import { BunWebSocket } from '../common/bun-websocket.ts';
import { ConnectionError } from './errors.ts';

/** What may wait for the network before senders wait. Bytes. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
/** What may wait for a reader; Bun's WebSockets can't be slowed down. Bytes. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const RETRY_MS = 2;
const CLOSE_NORMAL = 1000;
/** How the manager says that the app itself has closed the connection. */
const CLOSED_BY_APP = 1001;

export interface TunnelOptions {
  readonly headers: Record<string, string>;
  readonly tls: { rejectUnauthorized: boolean };
  /** Longest wait for the connection. Milliseconds. */
  readonly timeoutMs: number;
}

/** Iterate it for what the app sends; it ends when the app closes the connection. */
export class Tunnel implements AsyncIterable<Uint8Array> {
  readonly #socket: Bun.WebSocket;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #end: { failure: Error | null } | null = null;
  #wake: () => void = () => undefined;

  private constructor(socket: Bun.WebSocket) {
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', ({ data }) => {
      if (data instanceof ArrayBuffer) this.#take(new Uint8Array(data));
    });
    socket.addEventListener('close', ({ code, reason }) => {
      const isOver = code === CLOSE_NORMAL || code === CLOSED_BY_APP;
      const why = reason || `closed with ${code}`;
      this.#finish(
        isOver ? null : new ConnectionError('', `The connection to the app failed: ${why}.`),
      );
    });
  }

  /** @throws ConnectionError when the connection is refused or not there in time. */
  static async open(url: URL, options: TunnelOptions): Promise<Tunnel> {
    const { headers, tls, timeoutMs } = options;
    const socket = new BunWebSocket(url, { headers, tls });
    const tunnel = new Tunnel(socket);
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string) => reject(new ConnectionError(url.host, why));
      const timer = setTimeout(() => {
        socket.terminate();
        fail(`${url.host} did not answer in time.`);
      }, timeoutMs);
      socket.addEventListener('open', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.addEventListener('error', () => {
        clearTimeout(timer);
        fail('The connection to the app could not be opened.');
      });
    });
    return tunnel;
  }

  /** Resolves when there is room for more. */
  async send(message: Uint8Array | string): Promise<void> {
    if (this.#end !== null) return;
    this.#socket.send(message);
    while (this.#end === null && this.#socket.bufferedAmount > MAX_UNSENT_BYTES) {
      await Bun.sleep(RETRY_MS);
    }
  }

  close(): void {
    this.#socket.close(CLOSE_NORMAL);
    this.#finish(null);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#queuedBytes -= chunk.length;
        yield chunk;
      } else if (this.#end !== null) {
        if (this.#end.failure !== null) throw this.#end.failure;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #take(bytes: Uint8Array): void {
    if (this.#end !== null) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > MAX_WAITING_BYTES) {
      this.#socket.terminate();
      this.#finish(new ConnectionError('', 'The app sends faster than its data is taken.'));
    }
    this.#wake();
  }

  #finish(failure: Error | null): void {
    this.#end ??= { failure };
    this.#wake();
  }
}

/** Waits until a stream takes more, or is over. */
const drained = (stream: NodeJS.WritableStream): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done);
      stream.off('close', done);
      stream.off('error', done);
      resolve();
    };
    for (const event of ['drain', 'close', 'error']) stream.once(event, done);
  });

/**
 * Connects a tunnel with a local pair of streams until the app's side, or the reading side, is over.
 * @throws ConnectionError when the app's side fails.
 */
export async function relayTunnel(
  tunnel: Tunnel,
  local: { readonly input: AsyncIterable<Uint8Array>; readonly output: NodeJS.WritableStream },
): Promise<void> {
  const upward = async () => {
    for await (const chunk of local.input) await tunnel.send(chunk);
    tunnel.close();
  };
  // A local reader that goes away shows as the end of its input.
  void upward().catch(() => tunnel.close());
  for await (const chunk of tunnel) {
    if (!local.output.writable) break;
    if (!local.output.write(chunk)) await drained(local.output);
  }
  tunnel.close();
}

/** The same with one local stream, such as a socket, which is ended afterwards. */
export async function relaySocket(tunnel: Tunnel, socket: Duplex): Promise<void> {
  socket.on('error', () => tunnel.close());
  try {
    await relayTunnel(tunnel, { input: socket, output: socket });
  } finally {
    socket.end();
  }
}
