/** The terminal of a session over a WebSocket. Who leaves and comes back finds the same shell. */
import * as v from 'valibot';
import { ConnectionError } from './errors.ts';
import { Tunnel, type TunnelOptions } from './tunnel.ts';

/** Keys in one message. Bytes. */
const MAX_KEYS_BYTES = 64 * 1024;

const output = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ type: v.literal('out'), data: v.pipe(v.string(), v.base64()) }),
);

/** Iterate it for what the terminal shows; it ends when the shell does, or after `close`. */
export class Terminal implements AsyncIterable<Uint8Array> {
  readonly #tunnel: Tunnel;

  private constructor(tunnel: Tunnel) {
    this.#tunnel = tunnel;
  }

  /** @throws ConnectionError when the connection is refused or not there in time. */
  static async open(url: URL, options: TunnelOptions): Promise<Terminal> {
    return new Terminal(await Tunnel.open(url, options));
  }

  /** Sends keys; resolves when there is room for more. */
  async type(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += MAX_KEYS_BYTES) {
      const chars = Buffer.from(bytes.subarray(at, at + MAX_KEYS_BYTES)).toString('base64');
      await this.#say({ type: 'stdin', chars });
    }
  }

  /** Tells the size of the window. Characters. */
  resize(size: { readonly rows: number; readonly cols: number }): Promise<void> {
    return this.#say({ type: 'resize', ...size });
  }

  /** Ends the shell and begins another. */
  restart(): Promise<void> {
    return this.#say({ type: 'restart' });
  }

  /** Shows that somebody is there though nothing is typed, so that the session does not count as idle. */
  ping(): Promise<void> {
    return this.#say({ type: 'ping' });
  }

  close(): void {
    this.#tunnel.close();
  }

  /** @throws ConnectionError when the connection breaks, with the server's reason. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const frame of this.#tunnel) {
      const parsed = v.safeParse(output, new TextDecoder().decode(frame));
      if (!parsed.success) {
        this.close();
        throw new ConnectionError('', 'The terminal sent something that is not its output.');
      }
      yield Buffer.from(parsed.output.data, 'base64');
    }
  }

  #say(message: object): Promise<void> {
    return this.#tunnel.send(JSON.stringify(message));
  }
}
