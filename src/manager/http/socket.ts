/**
 * One WebSocket as its handler sees it: messages in order, sends that wait for room, and a signal
 * that fires when the peer is gone.
 */
import type { ServerWebSocket } from 'bun';
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import { Brake, GO_ON_BYTES, HOLD_BYTES } from '../../common/http/brake.ts';
import type { SocketEvents } from '../../common/http/front.ts';
import type { SocketPeer } from './route.ts';

/** Bun's answer to a send that was dropped, and to one that had to be queued. */
const DROPPED = 0;
const QUEUED = -1;

const CLOSE_NORMAL = 1000;
const CLOSE_TOO_BIG = 1009;
const CLOSE_INTERNAL_ERROR = 1011;
/** Largest reason of a close frame. Bytes. */
const MAX_REASON_BYTES = 123;

const closed = () =>
  new BackendError('ServiceUnavailable', 'The WebSocket is closed; nothing can be sent.');

export interface SocketOptions {
  /** A peer that is more than this ahead of its handler, although slowed down, is disconnected. Bytes. */
  readonly maxQueuedBytes: number;
  /** Keeps the peer from sending more, and lets it go on. */
  brake(isHeld: boolean): void;
  readonly clock: Clock;
  run(peer: SocketPeer): Promise<void>;
  /** Told of a handler's failure; the peer only sees close code 1011. */
  onError(error: unknown): void;
}

export class SocketConnection implements SocketEvents {
  readonly #options: SocketOptions;
  readonly #brake: Brake;
  readonly #abort = new AbortController();
  #socket: ServerWebSocket<SocketEvents> | null = null;
  #queue: (string | Uint8Array)[] = [];
  #queuedBytes = 0;
  #wakeReader: (() => void) | null = null;
  #room: PromiseWithResolvers<void> | null = null;

  constructor(options: SocketOptions) {
    this.#options = options;
    this.#brake = new Brake(options.brake, options.clock);
  }

  /** Starts the handler; the connection closes when it ends. */
  opened(socket: ServerWebSocket<SocketEvents>): void {
    this.#socket = socket;
    this.#options.run(this.#peer()).then(
      () => this.close(CLOSE_NORMAL),
      (error) => {
        // After a disconnect handlers fail on their next send; that is how they end.
        if (!this.#abort.signal.aborted) this.#options.onError(error);
        this.close(CLOSE_INTERNAL_ERROR, 'internal error');
      },
    );
  }

  received(message: string | Uint8Array): void {
    if (this.#abort.signal.aborted) return;
    this.#queuedBytes += message.length;
    if (this.#queuedBytes > this.#options.maxQueuedBytes) {
      this.close(CLOSE_TOO_BIG, 'too much data ahead of its processing');
      return;
    }
    this.#queue.push(message);
    if (this.#queuedBytes > HOLD_BYTES) this.#brake.hold();
    this.#wakeReader?.();
  }

  drained(): void {
    this.#room?.resolve();
    this.#room = null;
  }

  disconnected(): void {
    this.#abort.abort(new BackendError('ServiceUnavailable', 'The peer closed the WebSocket.'));
    // What it still sends is dropped.
    this.#brake.letGo();
    this.#room?.reject(closed());
    this.#room = null;
    this.#wakeReader?.();
  }

  /** Closes once; a reason longer than a frame allows is cut. */
  close(code?: number, reason?: string): void {
    if (this.#abort.signal.aborted) return;
    const text = Buffer.from(reason ?? '')
      .subarray(0, MAX_REASON_BYTES)
      .toString('utf8');
    this.#socket?.close(code ?? CLOSE_NORMAL, text);
    this.disconnected();
  }

  #peer(): SocketPeer {
    return {
      send: (data) => this.#send(data),
      close: (code, reason) => this.close(code, reason),
      messages: { [Symbol.asyncIterator]: () => this.#read() },
      signal: this.#abort.signal,
    };
  }

  async #send(data: string | Uint8Array): Promise<void> {
    while (this.#room) await this.#room.promise;
    if (this.#abort.signal.aborted || !this.#socket) throw closed();
    const sent = this.#socket.send(data);
    if (sent === DROPPED && data.length > 0) throw closed();
    if (sent !== QUEUED) return;
    this.#room = Promise.withResolvers<void>();
    await this.#room.promise;
  }

  async *#read(): AsyncGenerator<string | Uint8Array> {
    for (;;) {
      const message = this.#queue.shift();
      if (message !== undefined) {
        this.#queuedBytes -= message.length;
        if (this.#queuedBytes <= GO_ON_BYTES) this.#brake.letGo();
        yield message;
      } else if (this.#abort.signal.aborted) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
        this.#wakeReader = null;
      }
    }
  }
}
