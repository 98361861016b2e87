/** Code execution over a WebSocket: output arrives as it is produced, prompts are answered. */
import * as v from 'valibot';
import { BunWebSocket } from '../common/bun-websocket.ts';
import { ConnectionError } from './errors.ts';
import { type ExecuteStart, type ExecutionSlice, executionSlice } from './session-schemas.ts';

/** Output held for a reader that is slower than the session. Characters. */
const MAX_QUEUED_CHARS = 64 * 1024 * 1024;

const FINAL_STATUSES = new Set(['finished', 'exec-timeout']);

type Item = { readonly slice: ExecutionSlice; readonly size: number };

function parseSlice(data: unknown): ExecutionSlice {
  let json: unknown;
  try {
    json = JSON.parse(String(data));
  } catch {
    throw new ConnectionError('', 'The session sent something that is not JSON.');
  }
  return v.parse(executionSlice, json);
}

export interface StreamOptions {
  readonly headers: Record<string, string>;
  readonly tls: { rejectUnauthorized: boolean };
  readonly start: ExecuteStart;
  /** Longest wait for the connection. Milliseconds. */
  readonly timeoutMs: number;
}

/** Iterate it for the slices; it ends after `finished` or `exec-timeout`. Leaving the loop ends the connection. */
export class ExecutionStream implements AsyncIterable<ExecutionSlice> {
  private readonly socket: Bun.WebSocket;
  private readonly queue: Item[] = [];
  private queuedChars = 0;
  private closed = false;
  private failure: Error | null = null;
  private wake: () => void = () => undefined;

  private constructor(socket: Bun.WebSocket) {
    this.socket = socket;
    socket.addEventListener('message', (event) => this.onMessage(event.data));
    socket.addEventListener('close', (event) => {
      if (event.code !== 1000 && event.reason !== '') this.fail(event.reason);
      this.closed = true;
      this.wake();
    });
  }

  /** @throws ConnectionError when the connection is refused or not there in time. */
  static async open(url: URL, options: StreamOptions): Promise<ExecutionStream> {
    const socket = new BunWebSocket(url, { headers: options.headers, tls: options.tls });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.terminate();
        reject(new ConnectionError(url.host, `${url.host} did not answer in time.`));
      }, options.timeoutMs);
      socket.addEventListener('open', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.addEventListener('error', (event) => {
        clearTimeout(timer);
        const why = 'message' in event ? `: ${event.message}` : '';
        reject(new ConnectionError(url.host, `The stream could not be opened${why}.`));
      });
    });
    const stream = new ExecutionStream(socket);
    socket.send(JSON.stringify({ ...options.start, options: options.start.options ?? {} }));
    return stream;
  }

  /** Answers a `waiting-input` slice. */
  sendInput(line: string): void {
    this.socket.send(line);
  }

  close(): void {
    this.socket.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ExecutionSlice, void, undefined> {
    try {
      for (;;) {
        const item = this.queue.shift();
        if (item !== undefined) {
          this.queuedChars -= item.size;
          yield item.slice;
          if (FINAL_STATUSES.has(item.slice.status)) return;
          continue;
        }
        if (this.failure !== null) throw this.failure;
        if (this.closed) {
          throw new ConnectionError('', 'The connection ended before the execution did.');
        }
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    } finally {
      this.close();
    }
  }

  private onMessage(data: unknown): void {
    if (this.failure !== null) return;
    try {
      const slice = parseSlice(data);
      if (slice.status === 'error' || slice.status === 'server-restarting') {
        this.fail(slice.msg ?? `The server reported '${slice.status}'.`);
        return;
      }
      const size = typeof data === 'string' ? data.length : 0;
      this.queuedChars += size;
      this.queue.push({ slice, size });
      if (this.queuedChars > MAX_QUEUED_CHARS) {
        this.fail('The session prints faster than its output is read; the run was stopped.');
      }
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error));
    }
    this.wake();
  }

  private fail(message: string): void {
    this.failure ??= new ConnectionError('', message);
    this.socket.close();
    this.wake();
  }
}
