/**
 * A shell on a terminal that all viewers share, as tmux would have it: it starts with the first
 * viewer, lives on when all have left, and is looked at again by whoever comes next.
 */
import type { Clock } from '../../common/clock.ts';
import { pump } from '../process/pump.ts';
import { startOnTerminal, type TerminalProgram, type TerminalSize } from '../process/terminal.ts';
import { History, RESET } from './history.ts';
import { Viewer, type ViewerOptions } from './viewer.ts';

/** Input that the shell has not read yet, at most. Bytes. */
const MAX_INPUT_BYTES = 4 * 1024 * 1024;

const FAILED = 1;
/** The size of a terminal that nobody looks at. */
const UNSEEN: TerminalSize = { columns: 80, rows: 24 };

function kill(program: TerminalProgram): void {
  program.close();
  program.signal('SIGKILL');
}

export interface ShellPlace {
  readonly shell: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

export class SharedTerminal {
  readonly #place: ShellPlace;
  readonly #viewers = new Set<Viewer>();
  #program: Promise<TerminalProgram> | null = null;
  #history = new History();
  #inputBytes = 0;
  #isRestarting = false;
  /** Until the output of the shell has ended. */
  #running: Promise<void> = Promise.resolve();
  #changed: () => void = () => undefined;

  constructor(place: ShellPlace) {
    this.#place = place;
  }

  /** Shows the terminal to one more; starts the shell unless it runs. @throws when it can't. */
  async join(options: ViewerOptions): Promise<Viewer> {
    const isNew = this.#program === null;
    this.#program ??= this.#start(options.size);
    const program = await this.#program;
    const viewer = new Viewer(options);
    this.#viewers.add(viewer);
    if (!isNew) viewer.offer(this.#history.replay());
    this.#resize(program);
    if (!isNew) redraw(program, this.#size());
    return viewer;
  }

  leave(viewer: Viewer): void {
    this.#viewers.delete(viewer);
    this.#changed();
    void this.#program?.then((program) => this.#resize(program));
  }

  /** @returns false when so much input waits that no more is taken. */
  input(bytes: Uint8Array): boolean {
    const { length } = bytes;
    const program = this.#program;
    if (program === null) return true;
    if (this.#inputBytes + length > MAX_INPUT_BYTES) return false;
    this.#inputBytes += length;
    const done = () => {
      this.#inputBytes -= length;
    };
    // Without a shell there is nobody to type to; whoever wanted one is told.
    void program.then((running) => running.write(bytes)).then(done, done);
    return true;
  }

  resize(viewer: Viewer, size: TerminalSize): void {
    viewer.size = size;
    void this.#program?.then((program) => this.#resize(program));
  }

  /** A viewer takes output, or no more for now. */
  flow(viewer: Viewer, isOpen: boolean): void {
    viewer.flow(isOpen, () => this.#history.replay());
    this.#changed();
  }

  /** Ends the shell; those who look at it are given a new one, and so are keys from now on. */
  restart(): void {
    if (this.#isRestarting || this.#program === null) return;
    this.#isRestarting = true;
    const again = this.#startAgain(this.#program);
    this.#program = again;
    // A node that has no room for it now ends the terminal as a shell that fails does.
    again.catch(() => this.#end(FAILED));
  }

  /** Ends the shell. */
  async stop(): Promise<void> {
    const program = await this.#program?.catch(() => null);
    if (program) kill(program);
  }

  async #start(size: TerminalSize): Promise<TerminalProgram> {
    const { shell, cwd, env, clock } = this.#place;
    this.#history = new History();
    try {
      const program = await startOnTerminal(
        {
          ...{ command: shell, args: [], cwd, size },
          env: { ...env, SHELL: shell, TERM: 'xterm-256color', COLORTERM: 'truecolor' },
        },
        clock,
      );
      this.#running = this.#run(program);
      return program;
    } catch (error) {
      this.#program = null;
      throw error;
    }
  }

  async #run(program: TerminalProgram): Promise<void> {
    const show = async (chunk: Uint8Array) => {
      this.#history.add(chunk);
      for (const viewer of this.#viewers) viewer.offer(chunk);
      await this.#room();
    };
    await pump(program.output, program.exited, show, this.#place.clock);
    program.close();
    const { exitCode } = await program.exited;
    if (this.#isRestarting) return;
    this.#program = null;
    this.#end(exitCode);
  }

  async #startAgain(old: Promise<TerminalProgram>): Promise<TerminalProgram> {
    try {
      kill(await old);
      await this.#running;
    } finally {
      this.#isRestarting = false;
    }
    for (const viewer of this.#viewers) viewer.offer(RESET);
    return await this.#start(this.#viewers.size > 0 ? this.#size() : UNSEEN);
  }

  #end(exitCode: number): void {
    const viewers = [...this.#viewers];
    this.#viewers.clear();
    for (const viewer of viewers) viewer.end(exitCode);
  }

  /** Resolves once somebody can take output, or nobody looks. */
  async #room(): Promise<void> {
    while (this.#viewers.size > 0 && [...this.#viewers].every(({ isFull }) => isFull)) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** The largest that all can see whole. */
  #size(): TerminalSize {
    const sizes = [...this.#viewers].map(({ size }) => size);
    return {
      columns: Math.min(...sizes.map(({ columns }) => columns)),
      rows: Math.min(...sizes.map(({ rows }) => rows)),
    };
  }

  #resize(program: TerminalProgram): void {
    if (this.#viewers.size > 0) program.resize(this.#size());
  }
}

/** Programs that fill the screen draw it again when its size changes. */
function redraw(program: TerminalProgram, size: TerminalSize): void {
  program.resize({ ...size, rows: size.rows + 1 });
  program.resize(size);
}
