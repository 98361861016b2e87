/** A real runner process and a client of its socket, for tests. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import type { ExecuteRequest, ExecuteSlice } from '../../common/protocol/execution.ts';
import {
  MAX_LINE_BYTES,
  RUNNER_MEMORY_BYTES,
  RUNNER_THREADS,
  type RunnerOp,
  type RunnerReply,
  runnerEnvironment,
  runnerReply,
  runnerResults,
} from '../../common/protocol/runner.ts';
import { until } from '../../testing/until.ts';
import { LineSplitter } from '../lines.ts';

export class RunnerCallError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

type Results = { [K in keyof typeof runnerResults]: v.InferOutput<(typeof runnerResults)[K]> };

/** A connection to a runner, as the agent has one. */
export class TestClient {
  private readonly socket: Socket;
  private readonly pending = new Map<number, (reply: RunnerReply | null) => void>();
  private lastId = 0;

  static async connect(path: string): Promise<TestClient> {
    const socket = await until(() => tryConnect(path), `${path} takes connections`);
    return new TestClient(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    const lines = new LineSplitter(MAX_LINE_BYTES);
    socket.on('data', (chunk: Uint8Array) => {
      for (const line of lines.push(chunk)) {
        const reply = v.parse(runnerReply, JSON.parse(line));
        this.pending.get(reply.id)?.(reply);
        this.pending.delete(reply.id);
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      for (const resolve of this.pending.values()) resolve(null);
    });
  }

  /** Sends anything, valid or not, and returns the reply. */
  async raw(body: unknown): Promise<RunnerReply> {
    this.lastId += 1;
    const id = this.lastId;
    const answered = new Promise<RunnerReply | null>((resolve) => this.pending.set(id, resolve));
    this.socket.write(`${JSON.stringify({ id, body })}\n`);
    const reply = await answered;
    if (reply === null) throw new Error('the connection was closed');
    return reply;
  }

  writeBytes(bytes: string): void {
    this.socket.write(bytes);
  }

  get closed(): boolean {
    return this.socket.destroyed;
  }

  async call<O extends RunnerOp>(op: O): Promise<Results[O['op']]>;
  async call(op: RunnerOp): Promise<unknown> {
    const reply = await this.raw(op);
    if (!reply.ok) throw new RunnerCallError(reply.error.code, reply.error.message);
    return v.parse(runnerResults[op.op], reply.result);
  }

  /** One execute call; waits up to five seconds for its slice unless told otherwise. */
  execute(runId: string, request: Partial<ExecuteRequest>): Promise<ExecuteSlice> {
    return this.call({
      op: 'execute',
      request: {
        runId,
        mode: 'continue',
        code: '',
        options: {},
        waitMs: 5000,
        eager: true,
        ...request,
      },
    });
  }

  /** Continues a run until it finishes or waits for input; returns everything it said. */
  async finish(first: ExecuteSlice): Promise<Outcome> {
    const outcome = new Outcome();
    let slice = first;
    outcome.add(slice);
    while (slice.status !== 'finished' && slice.status !== 'waiting-input') {
      slice = await this.execute(slice.runId, {});
      outcome.add(slice);
    }
    return outcome;
  }

  /** Runs code in query mode to its end or its first prompt. */
  async query(runId: string, code: string): Promise<Outcome> {
    return await this.finish(await this.execute(runId, { mode: 'query', code }));
  }

  close(): void {
    this.socket.destroy();
  }
}

/** What a run said over all its slices. */
export class Outcome {
  readonly slices: ExecuteSlice[] = [];

  add(slice: ExecuteSlice): void {
    this.slices.push(slice);
  }

  get last(): ExecuteSlice {
    const slice = this.slices.at(-1);
    if (slice === undefined) throw new Error('no slice yet');
    return slice;
  }

  get exitCode(): number | null {
    return this.last.exitCode;
  }

  get statuses(): string[] {
    return this.slices.map((slice) => slice.status).filter((status) => status !== 'continued');
  }

  /** Everything of one kind, joined. */
  text(kind: 'stdout' | 'stderr' | 'html'): string {
    return this.records.map((item) => (item[0] === kind ? item[1] : '')).join('');
  }

  get records() {
    return this.slices.flatMap((slice) => slice.console);
  }

  get stdout(): string {
    return this.text('stdout');
  }

  get stderr(): string {
    return this.text('stderr');
  }
}

export interface TestRunner {
  readonly pid: number;
  readonly home: string;
  readonly socketPath: string;
  readonly exited: Promise<number>;
  connect(): Promise<TestClient>;
  /** Resident memory in bytes. */
  rssBytes(): number;
  /** The runner's own output so far: the container's log. */
  log(): string;
  stop(): Promise<void>;
}

/**
 * Starts a runner process on a home folder of its own.
 * @param env added to a small environment; the runner's own variables by their plain names.
 */
export function startRunner(
  options: {
    runtimeType?: string;
    runtimePath?: string;
    bootstrap?: string;
    env?: Record<string, string>;
    home?: string;
  } = {},
): TestRunner {
  const home = options.home ?? mkdtempSync(join(tmpdir(), 'runner-test-'));
  const socketPath = join(home, '.runner', 's');
  const logPath = join(home, '.runner-log');
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'start.ts')], {
    cwd: home,
    stdin: 'ignore',
    stdout: Bun.file(logPath),
    stderr: 'inherit',
    env: {
      PATH: process.env.PATH ?? '',
      HOME: home,
      [runnerEnvironment.socket]: socketPath,
      [runnerEnvironment.runtimeType]: options.runtimeType ?? 'app',
      [runnerEnvironment.runtimePath]: options.runtimePath ?? '',
      [runnerEnvironment.bootstrap]: options.bootstrap ?? '',
      [runnerEnvironment.threads]: RUNNER_THREADS,
      [runnerEnvironment.memory]: RUNNER_MEMORY_BYTES,
      ...options.env,
    },
  });
  return {
    pid: child.pid,
    home,
    socketPath,
    exited: child.exited,
    connect: () => TestClient.connect(socketPath),
    rssBytes: () => rssBytes(child.pid),
    log: () => readFileSync(logPath, 'utf8'),
    stop: async () => {
      child.kill('SIGTERM');
      await child.exited;
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function rssBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? Number.NaN) * 1024;
}

function tryConnect(path: string): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(null));
  });
}
