/** A code runner that runs nothing: it keeps the protocol and the configured delays, no more. */
import type { Clock } from '../../../common/clock.ts';
import { BackendError } from '../../../common/errors.ts';
import type { ExecuteRequest, ExecuteSlice } from '../../../common/protocol/execution.ts';
import { RUNNER_PROTOCOL_VERSION, type RunnerOp } from '../../../common/protocol/runner.ts';
import type { Random } from '../../../common/random.ts';
import type { RunnerClient, RunnerResults } from '../backend.ts';
import { type Delay, type DummyConfig, pickDelayMs } from './config.ts';

export interface FakeRunnerOptions {
  config: DummyConfig;
  clock: Clock;
  random: Random;
  /** Called when the runner is told to end. */
  onShutdown: () => void;
  /** Text for the kernel's log. */
  print: (text: string) => void;
}

const unsupported = (what: string): BackendError =>
  new BackendError('NotImplementedAPI', `A simulated kernel can't ${what}.`);

export class FakeRunner implements RunnerClient {
  readonly closed: Promise<void>;
  readonly #options: FakeRunnerOptions;
  readonly #startedAt: string;
  readonly #resolveClosed: () => void;
  #isClosed = false;

  constructor(options: FakeRunnerOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now().toISOString();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
  }

  async call<O extends RunnerOp>(op: O, options: { signal?: AbortSignal } = {}) {
    if (this.#isClosed) throw new BackendError('KernelExecutionFailed', 'The session has ended.');
    const { config, clock, random } = this.#options;
    await clock.sleep(pickDelayMs(delayOf(op, config), random), options.signal);
    const name: O['op'] = op.op;
    // Each branch of the table answers the operation of its own name.
    return this.#answer(op)[name]() as RunnerResults[O['op']];
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#resolveClosed();
  }

  #answer(op: RunnerOp): { [K in RunnerOp['op']]: () => RunnerResults[K] } {
    const refuse = (what: string) => () => {
      throw unsupported(what);
    };
    return {
      status: () => ({
        protocol: RUNNER_PROTOCOL_VERSION,
        startedAt: this.#startedAt,
        languages: ['shell'],
      }),
      execute: () => {
        if (op.op !== 'execute') throw unsupported(op.op);
        return this.#execute(op.request);
      },
      interrupt: () => null,
      complete: () => ({ suggestions: [] }),
      'list-files': () => ({ entries: [], errors: '', abspath: '/home/work' }),
      'write-file': refuse('keep files'),
      'read-file': refuse('keep files'),
      'open-archive': refuse('keep files'),
      'read-archive': refuse('keep files'),
      'close-archive': refuse('keep files'),
      'list-services': () => ({ services: [] }),
      'start-service': refuse('run services'),
      'stop-service': refuse('run services'),
      shutdown: () => {
        this.#options.onShutdown();
        return null;
      },
    };
  }

  #execute({ runId, mode }: ExecuteRequest): ExecuteSlice {
    if (mode === 'continue' || mode === 'input') {
      throw new BackendError('ObjectNotFound', `There is no run ${runId}.`);
    }
    const text = 'not-implemented: this kernel is simulated and runs no code\n';
    this.#options.print(text);
    return {
      runId,
      status: 'finished',
      exitCode: 0,
      isPassword: false,
      console: [['stdout', text]],
    };
  }
}

function delayOf(op: RunnerOp, config: DummyConfig): Delay {
  const { delay } = config.kernel;
  switch (op.op) {
    case 'status':
      return delay['check-status'];
    case 'interrupt':
      return delay['interrupt-kernel'];
    case 'complete':
      return delay['get-completions'];
    case 'list-files':
      return delay['list-files'];
    case 'write-file':
      return delay['accept-file'];
    case 'read-file':
      return delay['download-single'];
    case 'open-archive':
    case 'read-archive':
    case 'close-archive':
      return delay['download-file'];
    case 'start-service':
    case 'stop-service':
    case 'list-services':
    case 'execute':
    case 'shutdown':
      return 0;
    default:
      return op satisfies never;
  }
}
