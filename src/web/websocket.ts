/**
 * Connects a browser's WebSocket with a manager's. A browser that sends faster than the manager takes
 * is slowed down. The manager cannot be (Bun reads what it connects to as fast as that delivers): a
 * browser that does not keep up is, beyond a bound, disconnected.
 */
import type { ServerWebSocket } from 'bun';
import { BunWebSocket } from '../common/bun-websocket.ts';
import type { Clock, Timer } from '../common/clock.ts';
import { Brake, GO_ON_BYTES, HOLD_BYTES } from '../common/http/brake.ts';
import type { SocketEvents } from '../common/http/front.ts';
import { WebProblem } from './problems.ts';

const CONNECT_TIMEOUT_MS = 15_000;
/** How often it is looked whether the manager has taken enough; nothing tells. Milliseconds. */
const LOOK_MS = 20;
/** What may wait for the slower side. Bytes. */
const MAX_WAITING_BYTES = 32 * 1024 * 1024;
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

const CLOSE_NORMAL = 1000;
const CLOSE_TRY_LATER = 1013;
/** Codes that an application may send; others stand for what happened to the connection. */
const isSendable = (code: number) => code === CLOSE_NORMAL || (code >= 3000 && code < 5000);

export interface BridgeOptions {
  /** The manager's, with what signs the request. */
  readonly url: URL;
  readonly headers: Headers;
  readonly protocols: readonly string[];
  /** Told once when both sides are over. */
  onEnd(): void;
  /** Keeps the browser from sending more, and lets it go on. */
  brake(isHeld: boolean): void;
  readonly clock: Clock;
}

/** A pair of sockets: the browser's, once it is upgraded, and the manager's, which is open. */
export class SocketBridge implements SocketEvents {
  readonly #upstream: Bun.WebSocket;
  readonly #onEnd: () => void;
  readonly #clock: Clock;
  readonly #brake: Brake;
  #look: Timer | null = null;
  /** What the manager said before the browser's side was ready. */
  readonly #early: (string | ArrayBuffer)[] = [];
  #browser: ServerWebSocket<SocketEvents> | null = null;
  #ended: { code: number; reason: string } | null = null;

  private constructor(
    upstream: Bun.WebSocket,
    { onEnd, brake, clock }: Pick<BridgeOptions, 'onEnd' | 'brake' | 'clock'>,
  ) {
    this.#upstream = upstream;
    this.#onEnd = onEnd;
    this.#clock = clock;
    this.#brake = new Brake(brake, clock);
    upstream.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) =>
      this.#deliver(data),
    );
    upstream.addEventListener('close', ({ code, reason }) => this.#end(code, reason));
  }

  /**
   * Opens the manager's side.
   * @throws WebProblem bad-gateway when the manager does not take it.
   */
  static async connect(options: BridgeOptions): Promise<SocketBridge> {
    const { url, headers, protocols } = options;
    const upstream = new BunWebSocket(url.href, {
      headers: Object.fromEntries(headers),
      ...(protocols.length > 0 ? { protocols: [...protocols] } : {}),
    });
    upstream.binaryType = 'arraybuffer';
    const bridge = new SocketBridge(upstream, options);
    const opened = Promise.withResolvers<void>();
    upstream.addEventListener('open', () => opened.resolve());
    const refused = () =>
      opened.reject(new WebProblem('bad-gateway', 'The manager did not open the WebSocket.'));
    upstream.addEventListener('error', refused);
    upstream.addEventListener('close', refused);
    const timer = setTimeout(refused, CONNECT_TIMEOUT_MS);
    try {
      await opened.promise;
    } catch (error) {
      upstream.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return bridge;
  }

  /** The subprotocol that the manager chose; empty for none. */
  get protocol(): string {
    return this.#upstream.protocol;
  }

  opened(browser: ServerWebSocket<SocketEvents>): void {
    this.#browser = browser;
    for (const data of this.#early.splice(0)) this.#deliver(data);
    if (this.#ended) browser.close(this.#ended.code, this.#ended.reason);
  }

  received(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.#upstream.readyState !== WebSocket.OPEN) return;
    this.#upstream.send(data);
    const waiting = this.#upstream.bufferedAmount;
    if (waiting > MAX_WAITING_BYTES) this.close();
    else if (waiting > HOLD_BYTES) {
      this.#brake.hold();
      this.#look ??= this.#clock.timer(LOOK_MS, () => this.#lookAgain());
    }
  }

  #lookAgain(): void {
    this.#look = null;
    const isOver = this.#browser === null || this.#upstream.readyState !== WebSocket.OPEN;
    if (isOver || this.#upstream.bufferedAmount <= GO_ON_BYTES) this.#brake.letGo();
    else this.#look = this.#clock.timer(LOOK_MS, () => this.#lookAgain());
  }

  drained(): void {
    // What waits is bounded when it is sent.
  }

  disconnected(code: number, reason: string): void {
    this.#browser = null;
    this.#upstream.close(isSendable(code) ? code : CLOSE_NORMAL, reason);
    this.#onEnd();
  }

  /** Ends both sides: this server stops, or one side cannot keep up. */
  close(): void {
    this.#end(CLOSE_TRY_LATER, 'too much data at once, or the server is stopping');
    this.#upstream.close(CLOSE_NORMAL);
  }

  #deliver(data: string | ArrayBuffer): void {
    if (this.#browser === null) {
      this.#early.push(data);
      return;
    }
    this.#browser.send(data);
    if (this.#browser.getBufferedAmount() > MAX_WAITING_BYTES) this.close();
  }

  #end(code: number, reason: string): void {
    if (this.#ended) return;
    this.#ended = { code: isSendable(code) ? code : CLOSE_TRY_LATER, reason };
    if (this.#browser) this.#browser.close(this.#ended.code, reason);
    else this.#onEnd();
  }
}
