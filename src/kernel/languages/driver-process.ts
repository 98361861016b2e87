/** A running language process with a driver inside, that answers over file descriptor 3. */
import type { Socket } from 'node:net';
import * as v from 'valibot';
import { MAX_LINE_BYTES } from '../../common/protocol/runner.ts';
import { LineSplitter } from '../lines.ts';
import { MarkScanner } from '../process/markers.ts';
import { pump } from '../process/pump.ts';
import { type Program, type ProgramExit, startProgram } from '../process/spawn.ts';
import { Barrier } from './barrier.ts';
import type { Workplace } from './language.ts';
import { type DriverCommand, driverMessage, type OrderedMessage } from './messages.ts';

/** Events read ahead of their place in the output before the driver is held back. */
const MAX_EVENTS_AHEAD = 8;
/** How long a language may take to start. */
const START_TIMEOUT_MS = 30_000;

export interface DriverSource {
  readonly command: string;
  readonly args: readonly string[];
  /** Sent on file descriptor 3 before the first command: the driver's own text, if not in args. */
  readonly preamble: string;
  /** Whether an interrupt is said as a command, and with a signal only when that is not heard. */
  readonly hearsInterrupts: boolean;
}

export interface DriverListener {
  output(stream: 'stdout' | 'stderr', chunk: Uint8Array): Promise<void>;
  event(message: OrderedMessage): Promise<void>;
  completion(id: number, suggestions: string[]): void;
}

export class DriverProcess {
  /** Resolves when the process has ended and all its output was delivered. */
  readonly ended: Promise<ProgramExit>;
  private readonly program: Program;
  private readonly control: Socket;
  private readonly listener: DriverListener;
  private readonly workplace: Workplace;
  private readonly events: OrderedMessage[] = [];
  private readonly barrier: Barrier;
  private readonly nonce: string;
  private wakeEventReader: () => void = () => undefined;
  private wakeControlReader: () => void = () => undefined;
  private controlClosed = false;
  private becomeReady: () => void = () => undefined;
  private readonly ready: Promise<void>;

  /** Starts the process and waits for its driver. Rejects when either fails. */
  static async start(
    source: DriverSource,
    listener: DriverListener,
    workplace: Workplace,
    nonce: string,
  ): Promise<DriverProcess> {
    const program = await startProgram({
      command: source.command,
      args: source.args,
      cwd: workplace.cwd,
      env: workplace.env,
      control: true,
    });
    if (program.control === null) {
      program.signal('SIGKILL');
      throw new Error('no control channel to the language process');
    }
    const started = new DriverProcess(program, program.control, listener, workplace, nonce);
    started.control.write(source.preamble);
    started.send({ op: 'init', nonce });
    const timeout = workplace.clock.sleep(START_TIMEOUT_MS).then(() => 'timeout' as const);
    const outcome = await Promise.race([started.ready, started.ended, timeout]);
    if (outcome === undefined) return started;
    program.signal('SIGKILL');
    const why = outcome === 'timeout' ? 'did not start in time' : describeExit(outcome);
    throw new Error(`${source.command} ${why}`);
  }

  private constructor(
    program: Program,
    control: Socket,
    listener: DriverListener,
    workplace: Workplace,
    nonce: string,
  ) {
    this.program = program;
    this.control = control;
    this.listener = listener;
    this.workplace = workplace;
    this.nonce = nonce;
    this.barrier = new Barrier((mark) => this.deliver(mark));
    this.ready = new Promise((resolve) => {
      this.becomeReady = resolve;
    });
    this.ended = this.watch();
  }

  send(command: DriverCommand): void {
    if (!this.controlClosed) this.control.write(`${JSON.stringify(command)}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.program.signal(name);
  }

  private async watch(): Promise<ProgramExit> {
    this.control.on('error', () => {
      // The process has ended; `exited` tells how.
    });
    const [exit] = await Promise.all([
      this.program.exited,
      this.readStream('stdout'),
      this.readStream('stderr'),
      this.readControl(),
    ]);
    return exit;
  }

  private async readStream(stream: 'stdout' | 'stderr'): Promise<void> {
    const scanner = new MarkScanner(this.nonce);
    const consume = async (chunk: Uint8Array) => {
      for (const token of scanner.push(chunk)) {
        if (token.kind === 'bytes') await this.listener.output(stream, token.bytes);
        else await this.barrier.arrive(stream, token.text);
      }
    };
    await pump(this.program[stream], this.program.exited, consume, this.workplace.clock);
    this.barrier.abandon();
    const rest = scanner.flush();
    if (rest.length > 0) await this.listener.output(stream, rest);
  }

  private async readControl(): Promise<void> {
    const lines = new LineSplitter(MAX_LINE_BYTES);
    this.program.exited.then(() => this.control.end());
    try {
      for await (const chunk of this.control) {
        for (const line of lines.push(chunk)) await this.accept(line);
      }
    } catch {
      // Broken off or not our protocol any more: user code may have written to the descriptor.
      this.program.signal('SIGKILL');
    } finally {
      this.controlClosed = true;
      this.control.destroy();
      this.wakeEventReader();
    }
  }

  private async accept(line: string): Promise<void> {
    const message = v.parse(driverMessage, JSON.parse(line));
    if (message.type === 'ready') {
      this.becomeReady();
    } else if (message.type === 'completion') {
      this.listener.completion(message.id, message.suggestions);
    } else {
      this.events.push(message);
      this.wakeEventReader();
      while (this.events.length >= MAX_EVENTS_AHEAD) {
        await new Promise<void>((resolve) => {
          this.wakeControlReader = resolve;
        });
      }
    }
  }

  /** Both output streams have reached `mark`: passes on the event it stands for. */
  private async deliver(mark: string): Promise<void> {
    const sequence = Number(mark);
    while (true) {
      const message = this.events.shift();
      this.wakeControlReader();
      if (message === undefined) {
        if (this.controlClosed) return;
        await new Promise<void>((resolve) => {
          this.wakeEventReader = resolve;
        });
      } else if (message.seq >= sequence) {
        await this.listener.event(message);
        return;
      }
    }
  }
}

/** How a process ended, as the second half of a sentence. */
export function describeExit(exit: ProgramExit): string {
  if (exit.signal === null) return `ended with exit code ${exit.exitCode}`;
  const hint = exit.signal === 'SIGKILL' ? ' (out of memory?)' : '';
  return `was killed by ${exit.signal}${hint}`;
}
