/**
 * Talks to the runner inside a kernel: one JSON object a line over its Unix socket. Lines, waiting
 * calls and unsent data are bounded, so neither side can take the other's memory.
 */
import { closeSync, constants, existsSync, fstatSync, openSync } from 'node:fs';
import type { Socket } from 'bun';
import * as v from 'valibot';
import type { Clock, Timer } from '../common/clock.ts';
import { BackendError, errorMessage } from '../common/errors.ts';
import type { ProblemName } from '../common/problems.ts';
import {
  MAX_LINE_BYTES,
  type RunnerOp,
  type RunnerReply,
  runnerReply,
  runnerResults,
} from '../common/protocol/runner.ts';
import { currentSpan, type Span } from '../common/tracing.ts';
import type { RunnerClient, RunnerResults } from './backends/backend.ts';

const DEFAULT_TIMEOUT_MS = 15_000;
const MAX_PENDING_CALLS = 256;
const MAX_UNSENT_BYTES = 4 * MAX_LINE_BYTES;
/** Linux: names a file without opening it, which is all that a socket allows. */
const O_PATH = 0o10000000;
/** A runner is there within tens of milliseconds; what takes longer is looked for less often. */
const QUICK_TRIES = 200;
const QUICK_RETRY_MS = 1;
const RETRY_MS = 10;
/** Runners reach no collector, so the agent tells of what they did. */
const RUNNER_SERVICE = 'backend.ai-kernel-runner';
const NEWLINE = 0x0a;
/** Pieces of an unfinished line that are kept apart. */
const MAX_CHUNKS = 4096;

type FailureCode = Extract<RunnerReply, { ok: false }>['error']['code'];
const problemByCode: Record<FailureCode, ProblemName> = {
  'bad-request': 'InvalidAPIParameters',
  'not-found': 'ObjectNotFound',
  forbidden: 'GenericForbidden',
  'too-large': 'InvalidAPIParameters',
  busy: 'KernelNotReady',
  failed: 'KernelExecutionFailed',
};

const lost = (detail: string): BackendError =>
  new BackendError('KernelExecutionFailed', `The connection to the session was lost: ${detail}.`);

function parseResult<N extends RunnerOp['op']>(name: N, result: unknown): RunnerResults[N] {
  const parsed = v.safeParse(runnerResults[name], result);
  // The compiler can't follow that schema and type were picked by the same name.
  if (parsed.success) return parsed.output as RunnerResults[N];
  throw new BackendError(
    'KernelExecutionFailed',
    `The session's answer to ${name} has an unknown shape.`,
  );
}

interface PendingCall {
  readonly op: RunnerOp['op'];
  /** What it is done for. */
  readonly span: Span | null;
  settle(outcome: { result: unknown } | { error: unknown }): void;
}

/** Collects bytes into lines. @throws BackendError when a line exceeds `maxBytes`. */
export class LineReader {
  #chunks: Uint8Array[] = [];
  #size = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns the lines that `data` completes, without their newlines. */
  push(data: Uint8Array): string[] {
    const lines: string[] = [];
    let rest = data;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      this.#keep(rest.subarray(0, end));
      lines.push(Buffer.concat(this.#chunks, this.#size).toString('utf8'));
      this.#chunks = [];
      this.#size = 0;
      rest = rest.subarray(end + 1);
    }
    // The socket reuses its buffer after this call.
    if (rest.length > 0) this.#keep(rest.slice());
    return lines;
  }

  #keep(part: Uint8Array): void {
    this.#size += part.length;
    if (this.#size > this.#maxBytes) throw lost(`it sent a line over ${this.#maxBytes} bytes`);
    this.#chunks.push(part);
    // A line sent byte by byte would else take a hundred times its size.
    if (this.#chunks.length >= MAX_CHUNKS) {
      this.#chunks = [Buffer.concat(this.#chunks, this.#size)];
    }
  }
}

/** Sends data in order, keeping what the socket does not take yet. */
class Outgoing {
  #queue: Uint8Array[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(data: Uint8Array): void {
    this.#queue.push(data);
    this.#size += data.length;
  }

  flush(socket: Socket<unknown>): void {
    for (let head = this.#queue[0]; head; head = this.#queue[0]) {
      const written = Math.max(0, socket.write(head));
      this.#size -= written;
      if (written < head.length) {
        this.#queue[0] = head.subarray(written);
        return;
      }
      this.#queue.shift();
    }
  }
}

class SocketRunnerClient implements RunnerClient {
  readonly closed: Promise<void>;
  readonly #clock: Clock;
  readonly #pending = new Map<number, PendingCall>();
  readonly #lines = new LineReader(MAX_LINE_BYTES);
  readonly #outgoing = new Outgoing();
  readonly #resolveClosed: () => void;
  #socket: Socket<undefined> | null = null;
  #failure: BackendError | null = null;
  #nextId = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
  }

  async connect(path: string): Promise<void> {
    this.#socket = await Bun.connect<undefined>({
      unix: path,
      socket: {
        data: (_, data) => this.#receive(data),
        drain: (socket) => this.#outgoing.flush(socket),
        close: () => this.#fail(lost('the session ended')),
        error: (_, error) => this.#fail(lost(errorMessage(error))),
      },
    });
  }

  async call<O extends RunnerOp>(
    op: O,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<RunnerResults[O['op']]> {
    const result = await this.#exchange(op, options);
    const name: O['op'] = op.op;
    return parseResult(name, result);
  }

  close(): void {
    this.#fail(lost('it was closed by the agent'));
  }

  #exchange(op: RunnerOp, options: { timeoutMs?: number; signal?: AbortSignal }): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    if (this.#pending.size >= MAX_PENDING_CALLS || this.#outgoing.size > MAX_UNSENT_BYTES) {
      return Promise.reject(
        new BackendError('KernelNotReady', 'The session is busy with earlier requests.'),
      );
    }
    const id = this.#nextId++;
    const span = currentSpan();
    const request = { id, body: op, ...(span && { timed: true }) };
    const line = Buffer.from(`${JSON.stringify(request)}\n`);
    if (line.length > MAX_LINE_BYTES) {
      return Promise.reject(
        new BackendError('InvalidAPIParameters', `The request exceeds ${MAX_LINE_BYTES} bytes.`),
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const abandon = (error: unknown) => this.#pending.get(id)?.settle({ error });
    const onAbort = () => abandon(options.signal?.reason);
    const timer: Timer = this.#clock.timer(timeoutMs, () =>
      abandon(
        new BackendError(
          'KernelExecutionFailed',
          `The session did not answer ${op.op} within ${timeoutMs / 1000} seconds.`,
        ),
      ),
    );
    options.signal?.addEventListener('abort', onAbort, { once: true });
    this.#pending.set(id, {
      op: op.op,
      span,
      settle: (outcome) => {
        this.#pending.delete(id);
        timer.cancel();
        options.signal?.removeEventListener('abort', onAbort);
        if ('error' in outcome) reject(outcome.error);
        else resolve(outcome.result);
      },
    });
    this.#outgoing.add(line);
    if (this.#socket) this.#outgoing.flush(this.#socket);
    return promise;
  }

  #receive(data: Uint8Array): void {
    try {
      for (const line of this.#lines.push(data)) this.#handle(line);
    } catch (error) {
      this.#fail(error instanceof BackendError ? error : lost(errorMessage(error)));
    }
  }

  #handle(line: string): void {
    const reply = v.parse(runnerReply, JSON.parse(line));
    const call = this.#pending.get(reply.id);
    // An answer to a call that was given up meanwhile.
    if (!call) return;
    if (reply.times) call.span?.addMeasured(RUNNER_SERVICE, call.op, reply.times);
    if (reply.ok) call.settle({ result: reply.result });
    else {
      const { code, message } = reply.error;
      call.settle({ error: new BackendError(problemByCode[code], message) });
    }
  }

  #fail(reason: BackendError): void {
    if (this.#failure) return;
    this.#failure = reason;
    for (const call of [...this.#pending.values()]) call.settle({ error: reason });
    // Not just the sending half: the other side may never close its own, and send on.
    this.#socket?.terminate();
    this.#resolveClosed();
  }
}

/**
 * Connects once.
 * @param path the socket's path, of any length.
 */
async function connectOnce(path: string, clock: Clock): Promise<RunnerClient> {
  // User programs may put anything in the socket's place. A link there must not lead the agent to
  // another session's runner, or to a service of the host, so what is connected to is looked at
  // first and then reached by its descriptor, which also works however long the path is.
  const place = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    if (!fstatSync(place).isSocket()) throw lost('its socket was replaced');
    const client = new SocketRunnerClient(clock);
    await client.connect(`/proc/self/fd/${place}`);
    return client;
  } finally {
    closeSync(place);
  }
}

/**
 * Connects to the runner's socket, waiting for it to appear and answer until the signal aborts.
 * @throws the signal's reason.
 */
export async function connectRunnerSocket(
  path: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<RunnerClient> {
  for (let tries = 0; ; tries += 1) {
    signal.throwIfAborted();
    const pauseMs = tries < QUICK_TRIES ? QUICK_RETRY_MS : RETRY_MS;
    if (!existsSync(path)) {
      await clock.sleep(pauseMs, signal);
      continue;
    }
    try {
      const client = await connectOnce(path, clock);
      try {
        await client.call({ op: 'status' }, { signal });
        return client;
      } catch (error) {
        client.close();
        signal.throwIfAborted();
        throw error;
      }
    } catch {
      // Not listening yet; whoever set the signal decides for how long to go on.
      await clock.sleep(pauseMs, signal);
    }
  }
}
