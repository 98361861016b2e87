/**
 * A program on a terminal of Bun's own making, for where system calls can't be made directly. It reads
 * ahead of its reader, so what a slow reader leaves beyond a bound is lost.
 */
import type { ByteSource, ProgramExit } from './spawn.ts';
import { exitOf, preferAsVictim, signalGroup } from './spawn.ts';
import type { TerminalProgram, TerminalSize, TerminalSpec } from './terminal.ts';

const MAX_WAITING_BYTES = 4 * 1024 * 1024;
const LOST = new TextEncoder().encode('\r\n[some output was lost]\r\n');

class BoundedQueue implements ByteSource {
  #chunks: Uint8Array[] = [];
  #size = 0;
  #isOver = false;
  #wake: () => void = () => undefined;

  add(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size > MAX_WAITING_BYTES) {
      this.#chunks = [LOST];
      this.#size = LOST.length;
    }
    this.#wake();
  }

  cancel(): void {
    this.#isOver = true;
    this.#wake();
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#size -= chunk.length;
        return chunk;
      }
      if (this.#isOver) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** @throws when there are no terminals, or the program can't be started. */
export function startOnBunTerminal(spec: TerminalSpec): TerminalProgram {
  const output = new BoundedQueue();
  const { columns: cols, rows } = spec.size;
  const terminal = new Bun.Terminal({
    cols,
    rows,
    data: (_, data) => output.add(data.slice()),
    exit: () => output.cancel(),
  });
  const child = Bun.spawn([spec.command, ...spec.args], {
    cwd: spec.cwd,
    env: { ...spec.env },
    terminal,
  });
  preferAsVictim(child.pid);
  const exited = child.exited.then((): ProgramExit => {
    const { exitCode, signalCode } = child;
    return exitOf(exitCode, typeof signalCode === 'string' ? signalCode : null);
  });
  return {
    pid: child.pid,
    output,
    exited,
    write: async (bytes) => {
      if (!terminal.closed) terminal.write(bytes);
    },
    resize: (size: TerminalSize) => {
      if (!terminal.closed) terminal.resize(size.columns, size.rows);
    },
    signal: (name) => signalGroup(child.pid, name),
    close: () => {
      terminal.close();
      output.cancel();
    },
  };
}
