/** One service's process: started, awaited until its port opens, started again when it dies. */
import { connect } from 'node:net';
import type { Clock } from '../../common/clock.ts';
import { RunnerError } from '../errors.ts';
import { describeExit } from '../languages/driver-process.ts';
import { pump } from '../process/pump.ts';
import { type Program, type ProgramExit, startProgram } from '../process/spawn.ts';
import type { ServiceLog } from './log.ts';

/** How long a service may take until its port takes connections. */
const READY_TIMEOUT_MS = 30_000;
const PROBE_PAUSE_MS = 20;
const PROBE_TIMEOUT_MS = 1000;
/** Pauses before it is started again: the first, doubled each time, at most the last. */
const FIRST_RESTART_MS = 250;
const LAST_RESTART_MS = 30_000;
/** A service that ends this often, each time soon after its start, is given up. */
const MAX_QUICK_ENDS = 5;
const QUICK_END_MS = 20_000;
const STOP_GRACE_MS = 5_000;

export interface ServiceSpec {
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where it is reached from inside the session. */
  readonly host: string;
  readonly ports: readonly number[];
}

export interface SupervisedOptions {
  readonly log: ServiceLog;
  readonly clock: Clock;
  /** Told, in one line, what happens to the service. */
  readonly note: (message: string) => void;
}

/** Whether somebody takes connections there. */
function takesConnections(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: PROBE_TIMEOUT_MS });
    const answer = (is: boolean) => () => {
      socket.destroy();
      resolve(is);
    };
    socket.once('connect', answer(true));
    socket.once('timeout', answer(false));
    socket.once('error', answer(false));
  });
}

export class Supervised {
  readonly #spec: ServiceSpec;
  readonly #options: SupervisedOptions;
  #program: Program | null = null;
  #isStopped = false;
  #hasGivenUp = false;
  #quickEnds = 0;

  constructor(spec: ServiceSpec, options: SupervisedOptions) {
    this.#spec = spec;
    this.#options = options;
  }

  /** Whether it runs, or will be started again by itself. */
  get isActive(): boolean {
    return !this.#isStopped && !this.#hasGivenUp;
  }

  /**
   * Starts it and waits until its first port takes connections.
   * @throws RunnerError with the end of its output when it fails; nothing is left running then.
   */
  async start(): Promise<void> {
    const { exited: ended } = await this.#launch();
    try {
      await this.#ready(ended);
    } catch (error) {
      await this.stop();
      throw error;
    }
    void this.#watch(ended);
  }

  /** Waits until its first port takes connections, as after a restart. @throws RunnerError. */
  async ready(): Promise<void> {
    await this.#ready(null);
  }

  /** Ends it with all its children. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const program = this.#program;
    if (program === null || !program.signal('SIGTERM')) return;
    const { clock } = this.#options;
    const isGone = await Promise.race([
      program.exited.then(() => true),
      clock.sleep(STOP_GRACE_MS).then(() => false),
    ]);
    // Children that outlive the leader of their group are ended as well.
    program.signal('SIGKILL');
    if (!isGone) await program.exited;
  }

  async #launch(): Promise<Program> {
    const { command, cwd, env, name } = this.#spec;
    const { log, clock } = this.#options;
    const [program = '', ...args] = command;
    log.forget();
    try {
      this.#program = await startProgram({ command: program, args, cwd, env, sockets: true });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RunnerError('failed', `${name} could not be started: ${reason}.`);
    }
    const { stdout, stderr, exited } = this.#program;
    const keep = (chunk: Uint8Array) => log.write(chunk);
    void Promise.all([pump(stdout, exited, keep, clock), pump(stderr, exited, keep, clock)]);
    return this.#program;
  }

  async #ready(ended: Promise<ProgramExit> | null): Promise<void> {
    const { name, host, ports } = this.#spec;
    const { clock, log } = this.#options;
    const [port] = ports;
    if (port === undefined) return;
    const deadline = clock.monotonicMs() + READY_TIMEOUT_MS;
    let failure: ProgramExit | null = null;
    // One that ends well may have put itself into the background.
    void ended?.then((exit) => {
      if (exit.exitCode !== 0) failure = exit;
    });
    while (!(await takesConnections(port, host))) {
      const said = () => (log.tail === '' ? '' : ` It said:\n${log.tail}`);
      if (failure !== null) {
        await clock.sleep(PROBE_PAUSE_MS);
        throw new RunnerError('failed', `${name} ${describeExit(failure)}.${said()}`);
      }
      if (this.#isStopped) throw new RunnerError('failed', `${name} was stopped meanwhile.`);
      if (clock.monotonicMs() > deadline) {
        throw new RunnerError(
          'failed',
          `${name} did not open port ${port} within ${READY_TIMEOUT_MS / 1000} seconds.${said()}`,
        );
      }
      await clock.sleep(PROBE_PAUSE_MS);
    }
  }

  /** Starts it again, as long as it is wanted and stays up for a while in between. */
  async #watch(first: Promise<ProgramExit>): Promise<void> {
    const { clock, note } = this.#options;
    const { name, host, ports } = this.#spec;
    let ended = first;
    for (;;) {
      const startedAtMs = clock.monotonicMs();
      const exit = await ended;
      if (this.#isStopped) return;
      const [port] = ports;
      const isInBackground =
        exit.exitCode === 0 && port !== undefined && (await takesConnections(port, host));
      if (isInBackground) return;
      this.#program?.signal('SIGKILL');
      const wasQuick = clock.monotonicMs() - startedAtMs < QUICK_END_MS;
      this.#quickEnds = wasQuick ? this.#quickEnds + 1 : 0;
      if (this.#quickEnds > MAX_QUICK_ENDS) {
        this.#hasGivenUp = true;
        note(`${name} ${describeExit(exit)} again and again; it stays down until asked for.`);
        return;
      }
      note(`${name} ${describeExit(exit)}; starting it again.`);
      await clock.sleep(Math.min(LAST_RESTART_MS, FIRST_RESTART_MS * 2 ** this.#quickEnds));
      if (this.#isStopped) return;
      try {
        ended = (await this.#launch()).exited;
      } catch (error) {
        this.#hasGivenUp = true;
        note(error instanceof Error ? error.message : String(error));
        return;
      }
    }
  }
}
