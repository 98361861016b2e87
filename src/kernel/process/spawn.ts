/** Starts a user program in its own process group, with its output readable at our own pace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { BlockingPipe, hasThreadForPipe } from './blocking-pipe.ts';
import { openPipe } from './pipes.ts';
import { keepFromReaper } from './reaper.ts';

/** Output of a program. Nothing is read ahead of `read`, so a full pipe holds the program back. */
export interface ByteSource {
  /** The next bytes; null at the end. */
  read(): Promise<Uint8Array | null>;
  /** Stops reading; a pending `read` answers null. */
  cancel(): void;
}

export interface ProgramExit {
  /** 128 + signal number when ended by a signal. */
  readonly exitCode: number;
  readonly signal: string | null;
}

export interface Program {
  readonly pid: number;
  readonly stdout: ByteSource;
  readonly stderr: ByteSource;
  /** File descriptor 3 of the program, both ways; null unless asked for. */
  readonly control: Socket | null;
  readonly stdin: NodeJS.WritableStream | null;
  readonly exited: Promise<ProgramExit>;
  /** Sends a signal to the program's whole process group; false when it is gone. */
  signal(name: NodeJS.Signals): boolean;
}

export interface ProgramSpec {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Connect file descriptor 3 both ways. */
  readonly control?: boolean;
  /** Connect the output through sockets instead of pipes, which takes no thread to read. */
  readonly sockets?: boolean;
  /** Connect standard input; else it is /dev/null. */
  readonly stdin?: boolean;
}

export class PipeSource implements ByteSource {
  private readonly fd: number;
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private open = true;

  constructor(fd: number) {
    this.fd = fd;
    this.reader = Bun.file(fd).stream().getReader();
  }

  async read(): Promise<Uint8Array | null> {
    const { done, value } = await this.reader.read();
    if (!done) return value;
    this.close();
    return null;
  }

  cancel(): void {
    if (!this.open) return;
    const close = () => this.close();
    this.reader.cancel().then(close, close);
  }

  /** Bun leaves descriptors that it was given open. */
  private close(): void {
    if (this.open) closeSync(this.fd);
    this.open = false;
  }
}

class StreamSource implements ByteSource {
  private readonly stream: Readable;
  private readonly iterator: AsyncIterator<Uint8Array>;

  constructor(stream: Readable) {
    this.stream = stream;
    this.iterator = stream[Symbol.asyncIterator]();
  }

  async read(): Promise<Uint8Array | null> {
    const { done, value } = await this.iterator.next();
    return done ? null : value;
  }

  cancel(): void {
    this.stream.destroy();
  }
}

const emptySource: ByteSource = { read: () => Promise.resolve(null), cancel: () => undefined };

function sourceOf(fd: number | undefined, stream: Readable | null): ByteSource {
  if (fd !== undefined) return hasThreadForPipe() ? new BlockingPipe(fd) : new PipeSource(fd);
  return stream === null ? emptySource : new StreamSource(stream);
}

export function exitOf(code: number | null, signal: NodeJS.Signals | null): ProgramExit {
  if (signal !== null) return { exitCode: 128 + (constants.signals[signal] ?? 0), signal };
  return { exitCode: code ?? 1, signal: null };
}

/** Resolves with the process id. Rejects when the program can't be started. */
export function started(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => resolve(child.pid ?? 0));
  });
}

/**
 * Starts a program as the leader of a new session, so that signals reach all its children and
 * signals for us do not reach it.
 * @throws when the program cannot be started, e.g. because it does not exist.
 */
export async function startProgram(spec: ProgramSpec): Promise<Program> {
  const out = spec.sockets ? null : openPipe();
  const err = spec.sockets ? null : openPipe();
  const child = spawn(spec.command, [...spec.args], {
    cwd: spec.cwd,
    env: { ...spec.env },
    detached: true,
    stdio: [
      spec.stdin ? 'pipe' : 'ignore',
      out?.writeFd ?? 'pipe',
      err?.writeFd ?? 'pipe',
      ...(spec.control ? (['pipe'] as const) : []),
    ],
  });
  const exited = new Promise<ProgramExit>((resolve) => {
    child.once('exit', (code, signal) => resolve(exitOf(code, signal)));
  });
  const running = started(child);
  for (const pipe of [out, err]) if (pipe) closeSync(pipe.writeFd);
  let pid: number;
  try {
    pid = await running;
  } catch (error) {
    for (const pipe of [out, err]) if (pipe) closeSync(pipe.readFd);
    throw error;
  }
  keepFromReaper(pid, exited);
  preferAsVictim(pid);
  const control = child.stdio[3];
  return {
    pid,
    stdout: sourceOf(out?.readFd, child.stdout),
    stderr: sourceOf(err?.readFd, child.stderr),
    control: control instanceof Socket ? control : null,
    stdin: child.stdin,
    exited,
    signal: (name) => signalGroup(pid, name),
  };
}

/** When memory runs out the system shall end the user's program, not the session with it. */
export function preferAsVictim(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, '500');
  } catch {
    // Not Linux, or the program is gone already.
  }
}

export function signalGroup(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(-pid, name);
    return true;
  } catch {
    // ESRCH: the whole group has ended already.
    return false;
  }
}
