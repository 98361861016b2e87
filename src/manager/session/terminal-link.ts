/**
 * A connection to the terminal of a session, which speaks ttyd's protocol. Bun's WebSockets can't be
 * held back, so the terminal is asked to pause while what it sent is not taken.
 */
import { BunWebSocket } from '../../common/bun-websocket.ts';
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import type { StartedApp } from './apps.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const PROTOCOL = 'tty';

const input = { keys: '0', resize: '1', pause: '2', resume: '3', restart: '4' } as const;
const OUTPUT = 0x30;
const CLOSE_NORMAL = 1000;

/** Output that waits to be taken when the terminal is asked to pause, and at most. Bytes. */
const PAUSE_BYTES = 256 * 1024;
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** Keys on their way to the terminal; Bun's client WebSockets don't tell when they went. Bytes. */
const MAX_UNSENT_BYTES = 1024 * 1024;
const RETRY_MS = 10;
/** What the runner says when the shell itself has ended, well or not. */
const SHELL_ENDED = 'ended';

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface LinkOptions {
  readonly size: TerminalSize;
  readonly clock: Clock;
  /** The client is gone. */
  readonly signal: AbortSignal;
}

/** How the terminal's side ended: of itself, or why it broke. */
export type TerminalEnd = { readonly isOver: true } | { readonly isOver: false; why: string };

/** Resolves when the socket is open. @throws BackendError AppServiceStartFailed. */
function opened(socket: Bun.WebSocket, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (why: string) => {
    socket.terminate();
    reject(new BackendError('AppServiceStartFailed', `The session's terminal ${why}.`));
  };
  const timer = setTimeout(() => fail('did not answer in time'), CONNECT_TIMEOUT_MS);
  const left = () => fail('is not wanted any more');
  signal.addEventListener('abort', left, { once: true });
  socket.addEventListener('open', () => resolve());
  socket.addEventListener('close', () => fail('takes no connections'));
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', left);
  });
}

/** Iterate it for the output; after that `ended` tells how it came to its end. */
export class TerminalLink implements AsyncIterable<Uint8Array> {
  readonly #socket: Bun.WebSocket;
  readonly #clock: Clock;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #isPaused = false;
  #end: TerminalEnd | null = null;
  #wake: () => void = () => undefined;

  private constructor(socket: Bun.WebSocket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('message', ({ data }) => {
      if (data instanceof ArrayBuffer) this.#take(new Uint8Array(data));
    });
    socket.addEventListener('close', ({ code, reason }) =>
      this.#finish(
        code === CLOSE_NORMAL || reason === SHELL_ENDED
          ? { isOver: true }
          : { isOver: false, why: reason || `the connection to the terminal ended with ${code}` },
      ),
    );
  }

  /** Shows the terminal, in a size. @throws BackendError AppServiceStartFailed. */
  static async open(
    { host, port }: Pick<StartedApp, 'host' | 'port'>,
    { size, clock, signal }: LinkOptions,
  ): Promise<TerminalLink> {
    const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const socket = new BunWebSocket(`ws://${authority}/ws`, { protocols: [PROTOCOL] });
    const link = new TerminalLink(socket, clock);
    await opened(socket, signal);
    socket.send(Buffer.from(JSON.stringify({ AuthToken: '', ...size })));
    return link;
  }

  get ended(): TerminalEnd | null {
    return this.#end;
  }

  /** Sends keys; resolves when there is room for more. */
  async type(bytes: Uint8Array): Promise<void> {
    this.#send(Buffer.concat([Buffer.from(input.keys), bytes]));
    while (this.#end === null && this.#socket.bufferedAmount > MAX_UNSENT_BYTES) {
      await this.#clock.sleep(RETRY_MS);
    }
  }

  resize(size: TerminalSize): void {
    this.#send(Buffer.from(input.resize + JSON.stringify(size)));
  }

  /** Ends the shell and begins another. */
  restart(): void {
    this.#send(Buffer.from(input.restart));
  }

  close(): void {
    this.#socket.terminate();
    this.#finish({ isOver: true });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const bytes = this.#waiting.shift();
      if (bytes !== undefined) {
        this.#waitingBytes -= bytes.length;
        this.#flow();
        yield bytes;
      } else if (this.#end !== null) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #take(message: Uint8Array): void {
    if (message[0] !== OUTPUT || this.#end !== null) return;
    const bytes = message.subarray(1);
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > MAX_WAITING_BYTES) {
      this.#socket.terminate();
      this.#finish({ isOver: false, why: 'the terminal sends on while it is asked to pause' });
    }
    this.#flow();
    this.#wake();
  }

  #flow(): void {
    const isFull = this.#waitingBytes > PAUSE_BYTES;
    const isEmpty = this.#waitingBytes === 0;
    if (this.#isPaused ? !isEmpty : !isFull) return;
    this.#isPaused = !this.#isPaused;
    this.#send(Buffer.from(this.#isPaused ? input.pause : input.resume));
  }

  #send(message: Uint8Array): void {
    if (this.#end === null) this.#socket.send(message);
  }

  #finish(end: TerminalEnd): void {
    this.#end ??= end;
    this.#wake();
  }
}
