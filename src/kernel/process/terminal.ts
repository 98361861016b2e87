/**
 * Runs a program on a pseudo-terminal of its own. Its output is read at our own pace, so a full
 * terminal holds the program back; Bun's own terminals read ahead without a bound.
 */
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync, write } from 'node:fs';
import type { Clock } from '../../common/clock.ts';
import { errorCode } from '../../common/errors.ts';
import { type Libc, libc } from '../../common/libc.ts';
import { startOnBunTerminal } from './fallback-terminal.ts';
import { keepFromReaper } from './reaper.ts';
import {
  type ByteSource,
  exitOf,
  PipeSource,
  type ProgramExit,
  preferAsVictim,
  signalGroup,
  started,
} from './spawn.ts';

/** Linux: requests of ioctl(2), and a flag that `constants` lacks. */
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const TIOCSWINSZ = 0x5414;
const O_CLOEXEC = 0o2000000;
/** A terminal that takes no input is tried again. */
const RETRY_MS = 5;
const MAX_SIDE = 4096;

/** A terminal's size in characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface TerminalProgram {
  readonly pid: number;
  readonly output: ByteSource;
  readonly exited: Promise<ProgramExit>;
  /** Resolves when the terminal took all of it, or is gone. */
  write(bytes: Uint8Array): Promise<void>;
  resize(size: TerminalSize): void;
  /** Sends a signal to the program's process group; false when it is gone. */
  signal(name: NodeJS.Signals): boolean;
  /** Takes the terminal away, which hangs up on whoever still uses it. */
  close(): void;
}

export interface TerminalSpec {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly size: TerminalSize;
}

/** Reading fails with EIO when no program holds the terminal any more: its end. */
class TerminalSource implements ByteSource {
  readonly #pipe: PipeSource;

  constructor(fd: number) {
    this.#pipe = new PipeSource(fd);
  }

  async read(): Promise<Uint8Array | null> {
    try {
      return await this.#pipe.read();
    } catch (error) {
      if (errorCode(error) !== 'EIO') throw error;
      return null;
    }
  }

  cancel(): void {
    this.#pipe.cancel();
  }
}

const side = (length: number): number => Math.max(1, Math.min(MAX_SIDE, Math.floor(length) || 1));
/** A size that terminals can have. */
const clamped = ({ columns, rows }: TerminalSize): TerminalSize => ({
  columns: side(columns),
  rows: side(rows),
});

const winsize = (size: TerminalSize): Uint16Array => {
  const { columns, rows } = clamped(size);
  return new Uint16Array([rows, columns, 0, 0]);
};

/** Opens a new terminal. @returns our end of it, and the path of the program's end. */
function openTerminal(c: Libc): { fd: number; path: string } {
  const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;
  const fd = openSync('/dev/ptmx', O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  const number = new Int32Array(1);
  if (c.ioctl(fd, TIOCSPTLCK, number) === 0 && c.ioctl(fd, TIOCGPTN, number) === 0) {
    return { fd, path: `/dev/pts/${number[0]}` };
  }
  closeSync(fd);
  throw new Error('the system gave no terminal');
}

function writeSome(fd: number, bytes: Uint8Array): Promise<number | 'again' | 'gone'> {
  return new Promise((resolve) => {
    write(fd, bytes, 0, bytes.length, null, (error, written) => {
      if (error === null) resolve(written);
      else resolve(error.code === 'EAGAIN' ? 'again' : 'gone');
    });
  });
}

/** Our end of a terminal: writes in order, closed once. */
class Master {
  readonly #fd: number;
  readonly #clock: Clock;
  #queue: Promise<void> = Promise.resolve();
  #isOpen = true;

  constructor(fd: number, clock: Clock) {
    this.#fd = fd;
    this.#clock = clock;
  }

  write(bytes: Uint8Array): Promise<void> {
    this.#queue = this.#queue.then(() => this.#writeAll(bytes));
    return this.#queue;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 && this.#isOpen) {
      const outcome = await writeSome(this.#fd, rest);
      if (outcome === 'gone') return;
      if (outcome === 'again') await this.#clock.sleep(RETRY_MS);
      else rest = rest.subarray(outcome);
    }
  }

  resize(size: TerminalSize): void {
    if (this.#isOpen) libc()?.ioctl(this.#fd, TIOCSWINSZ, winsize(size));
  }

  /** The descriptor itself is closed by whoever reads from it. */
  close(): void {
    this.#isOpen = false;
  }
}

/**
 * Starts a program as the leader of a new session whose terminal is its own.
 * @throws when there are no terminals, or the program can't be started.
 */
export async function startOnTerminal(given: TerminalSpec, clock: Clock): Promise<TerminalProgram> {
  const spec = { ...given, size: clamped(given.size) };
  const c = libc();
  if (c === null) return startOnBunTerminal(spec);
  const { fd, path } = openTerminal(c);
  const master = new Master(fd, clock);
  master.resize(spec.size);
  let slave: number | null = null;
  try {
    slave = openSync(path, constants.O_RDWR | constants.O_NOCTTY | O_CLOEXEC);
    // Opening its terminal once more makes it the one that Ctrl-C and job control go by.
    const child = spawn(
      '/bin/sh',
      ['-c', 'exec <"$0" >"$0" 2>&1; exec "$@"', path, spec.command, ...spec.args],
      { cwd: spec.cwd, env: { ...spec.env }, detached: true, stdio: [slave, slave, slave] },
    );
    const exited = new Promise<ProgramExit>((resolve) => {
      child.once('exit', (code, signal) => resolve(exitOf(code, signal)));
    });
    const pid = await started(child);
    keepFromReaper(pid, exited);
    preferAsVictim(pid);
    const output = new TerminalSource(fd);
    return {
      pid,
      output,
      exited,
      write: (bytes) => master.write(bytes),
      resize: (size) => master.resize(size),
      signal: (name) => signalGroup(pid, name),
      close: () => {
        master.close();
        output.cancel();
      },
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  } finally {
    if (slave !== null) closeSync(slave);
  }
}
