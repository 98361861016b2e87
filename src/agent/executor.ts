/**
 * Performs the steps that bring kernels to what they should be. Each kernel has one loop, so its
 * steps never overlap; only a few kernels are created at a time.
 */
import type { Clock } from '../common/clock.ts';
import { BackendError, errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import type { KernelCreationInfo, TerminationReason } from '../common/protocol/kernel.ts';
import { formatSize } from '../common/sizes.ts';
import { parseTraceparent, type Tracer, withoutSpan } from '../common/tracing.ts';
import type { Backend, KernelExit, RunnerClient } from './backends/backend.ts';
import { runBatch } from './batch.ts';
import type { Kernel, KernelRegistry } from './kernels.ts';
import type { Outbox } from './outbox.ts';
import type { KernelEnd } from './outbox-store.ts';
import { Permits } from './permits.ts';
import {
  breaksOff,
  nextStep,
  type Phase,
  type Step,
  type StepName,
  type Wish,
} from './reconcile.ts';
import { AllocationError } from './resources/allocation-map.ts';
import { totalSlots } from './resources/allocations.ts';
import type { Allocator } from './resources/allocator.ts';
import { attachedDevicesOf, grantOf } from './resources/grant.ts';
import { withOffers } from './services.ts';

/** Tail of the kernel's log that is kept when it ends. */
const LOG_TAIL_BYTES = 64 * 1024;
/** Tail of the log shown in the message of a failed start. */
const MESSAGE_TAIL_BYTES = 2000;
/** How long a kernel may take to end after it was asked to. */
const DESTROY_GRACE_MS = 10_000;
/** It was asked before; what is left is ended by force. */
const FORCE_GRACE_MS = 0;
/** How long a new kernel waits for the devices of ending ones. */
const ALLOCATE_TIMEOUT_MS = 30_000;
const RECONNECT_TIMEOUT_MS = 30_000;
const PULL_TIMEOUT_MS = 2 * 3600 * 1000;
/** The exit code of what was ended by SIGKILL. */
const KILLED = 137;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 60_000;

export interface ExecutorOptions {
  backend: Backend;
  registry: KernelRegistry;
  outbox: Outbox;
  allocator: Allocator;
  clock: Clock;
  log: Logger;
  /** Of the steps by which kernels start. */
  tracer: Tracer;
  creationConcurrency: number;
  /** How long a new kernel's runner may take to answer. Milliseconds. */
  initTimeoutMs: number;
  /** Called when the set of kernels or a state changed. */
  onChange: () => void;
}

type StepExecutors = {
  [S in StepName]: (
    kernel: Kernel,
    step: Extract<Step, { step: S }>,
    signal: AbortSignal,
  ) => Promise<void>;
};

const failureReasons: Record<StepName, TerminationReason> = {
  'provide-image': 'failed-to-create',
  allocate: 'failed-to-create',
  create: 'failed-to-create',
  connect: 'failed-to-start',
  reconnect: 'failed-to-start',
  'run-batch': 'task-failed',
  destroy: 'unknown',
};

/** What happens once in the life of a kernel, until it runs. */
const startSteps: ReadonlySet<StepName> = new Set([
  'provide-image',
  'allocate',
  'create',
  'connect',
]);

/** A failure that ends the kernel, with the reason that is reported. */
const failed = (
  reason: TerminationReason,
  message: string,
  exitCode: number | null = null,
): Phase => ({ at: 'failed', reason, message, exitCode });

export class Executor {
  readonly #options: ExecutorOptions;
  readonly #creations: Permits;
  readonly #pulls = new Map<string, Promise<void>>();
  readonly #stopping = new AbortController();
  readonly #loops = new Set<Promise<void>>();
  readonly #steps: StepExecutors;

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#creations = new Permits(options.creationConcurrency);
    this.#steps = {
      'provide-image': (kernel, step, signal) => this.#provideImage(kernel, step, signal),
      allocate: (kernel, step, signal) => this.#allocate(kernel, step, signal),
      create: (kernel, step, signal) => this.#create(kernel, step, signal),
      connect: (kernel, step, signal) => this.#connect(kernel, step, signal),
      reconnect: (kernel, _, signal) => this.#reconnect(kernel, signal),
      'run-batch': (kernel, step, signal) => this.#runBatch(kernel, step, signal),
      destroy: (kernel, step) => this.#destroy(kernel, step),
    };
    options.backend.onExit((exit) => this.#exited(exit));
  }

  /** Sets going whatever the kernel needs. Harmless when it needs nothing. */
  wake(kernel: Kernel): void {
    if (kernel.isBusy || this.#stopping.signal.aborted) return;
    kernel.isBusy = true;
    // It goes on long after the call that woke it.
    const loop = withoutSpan(() => this.#drive(kernel)).finally(() => {
      kernel.isBusy = false;
      this.#loops.delete(loop);
      // A wish may have come just when the loop had found nothing more to do.
      if (nextStep(kernel)) this.wake(kernel);
    });
    this.#loops.add(loop);
  }

  /** Records a wish and breaks off what contradicts it. */
  wish(kernel: Kernel, wish: Wish): void {
    // The first reason to end a kernel stands, and an ended kernel is not revived.
    if (kernel.wish.desired === 'terminated') return;
    kernel.wish = wish;
    if (kernel.current && breaksOff(wish, kernel.current.step)) {
      kernel.current.abort.abort(new Error('the kernel is to be terminated'));
    }
    this.wake(kernel);
  }

  /** Tells the manager once more of a kernel that runs; it may have forgotten meanwhile. */
  reportAgain(kernel: Kernel): void {
    if (kernel.phase.at !== 'running') return;
    this.#options.outbox.add(kernel, {
      kind: 'kernel-started',
      info: creationInfo(kernel, this.#options.allocator),
    });
  }

  /** Breaks off everything; kernels that run keep running. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the agent stops'));
    for (const kernel of this.#options.registry.all()) {
      kernel.current?.abort.abort(this.#stopping.signal.reason);
    }
    await Promise.allSettled([...this.#loops]);
    for (const kernel of this.#options.registry.all()) kernel.runner?.close();
  }

  async #drive(kernel: Kernel): Promise<void> {
    for (let step = nextStep(kernel); step; step = nextStep(kernel)) {
      if (this.#stopping.signal.aborted) return;
      await this.#perform(kernel, step);
    }
  }

  async #perform(kernel: Kernel, step: Step): Promise<void> {
    const abort = new AbortController();
    kernel.current = { step: step.step, abort };
    this.#options.onChange();
    const before = kernel.phase;
    try {
      await this.#traced(kernel, step, () => this.#dispatch(kernel, step, abort.signal));
    } catch (error) {
      // A step that was broken off leaves the kernel where it was; the next step follows from that.
      if (!abort.signal.aborted) this.#fail(kernel, step.step, error);
    } finally {
      kernel.current = null;
      if (kernel.phase !== before && kernel.phase.at !== 'created') kernel.releasePermit?.();
      this.#options.onChange();
    }
  }

  /** Does a step, as a span where it belongs to the start of a session that is traced. */
  async #traced(kernel: Kernel, step: Step, work: () => Promise<void>): Promise<void> {
    const parent = parseTraceparent(kernel.spec?.traceparent);
    if (parent === null || !startSteps.has(step.step)) return await work();
    const attributes = {
      'backendai.session_id': kernel.sessionId,
      'backendai.kernel_id': kernel.kernelId,
    };
    const name = `kernel ${step.step}`;
    await this.#options.tracer.run({ name, kind: 'internal', parent, attributes }, async () => {
      await work();
    });
  }

  #dispatch<S extends StepName>(
    kernel: Kernel,
    step: Extract<Step, { step: S }>,
    signal: AbortSignal,
  ): Promise<void> {
    const execute: StepExecutors[S] = this.#steps[step.step as S];
    return execute(kernel, step, signal);
  }

  #fail(kernel: Kernel, step: StepName, error: unknown): void {
    const { log } = this.#options;
    log.warn(`A kernel failed at ${step}`, {
      kernelId: kernel.kernelId,
      error: errorMessage(error),
    });
    if (kernel.phase.at === 'exited') return;
    kernel.phase = failed(failureReasons[step], errorMessage(error));
  }

  async #provideImage(
    kernel: Kernel,
    { spec }: Extract<Step, { step: 'provide-image' }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { backend, outbox } = this.#options;
    outbox.add(kernel, { kind: 'kernel-preparing' });
    if (!(await backend.hasImage(spec))) {
      const image = spec.image.canonical;
      outbox.add(kernel, { kind: 'kernel-pulling', image });
      await this.#pullOnce(kernel, image, signal);
      outbox.add(kernel, { kind: 'kernel-pulled', image });
    }
    kernel.phase = { at: 'image-ready' };
  }

  /** Kernels that need the same image wait for one pull, which goes on when one of them is ended. */
  async #pullOnce(kernel: Kernel, image: string, signal: AbortSignal): Promise<void> {
    const { backend } = this.#options;
    const { spec } = kernel;
    if (!spec) return;
    let pull = this.#pulls.get(image);
    if (!pull) {
      const limit = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(PULL_TIMEOUT_MS)]);
      pull = backend.pullImage(spec, limit).finally(() => this.#pulls.delete(image));
      this.#pulls.set(image, pull);
    }
    await Promise.race([pull, rejectOnAbort(signal)]);
  }

  /** Waits for kernels that are ending: one ended by force is over for the manager before it is here. */
  async #allocate(
    kernel: Kernel,
    { spec }: Extract<Step, { step: 'allocate' }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { allocator, registry } = this.#options;
    const mayFragment = spec.allowFractionalResourceFragmentation;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ALLOCATE_TIMEOUT_MS)]);
    const givenUp = rejectOnAbort(limit).catch(() => undefined);
    for (;;) {
      const released = allocator.nextRelease();
      try {
        kernel.allocations = allocator.allocate(kernel.kernelId, spec.slots, { mayFragment });
        kernel.phase = { at: 'allocated' };
        return;
      } catch (error) {
        const isEnding = ({ wish }: Kernel) => wish.desired === 'terminated';
        const isPassing = error instanceof AllocationError && error.isPassing;
        if (!isPassing || limit.aborted || !registry.all().some(isEnding)) throw error;
      }
      await Promise.race([released, givenUp]);
    }
  }

  async #create(
    kernel: Kernel,
    { spec }: Extract<Step, { step: 'create' }>,
    signal: AbortSignal,
  ): Promise<void> {
    kernel.releasePermit = await this.#creations.acquire(signal);
    try {
      const { backend, outbox, allocator } = this.#options;
      outbox.add(kernel, { kind: 'kernel-creating' });
      const grant = grantOf(allocator.families, kernel.allocations);
      kernel.created = await backend.create(spec, grant, signal);
      if (kernel.phase.at === 'allocated') kernel.phase = { at: 'created' };
    } catch (error) {
      kernel.releasePermit();
      throw error;
    }
  }

  async #connect(
    kernel: Kernel,
    { spec }: Extract<Step, { step: 'connect' }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { backend, initTimeoutMs } = this.#options;
    const timeout = AbortSignal.timeout(initTimeoutMs);
    try {
      const limit = AbortSignal.any([signal, timeout]);
      const runner = await backend.connectRunner(spec.kernelId, limit);
      const { services } = await runner.call({ op: 'list-services' }, { signal: limit });
      if (kernel.created) {
        const servicePorts = withOffers(kernel.created.servicePorts, services);
        kernel.created = { ...kernel.created, servicePorts };
      }
      this.#attach(kernel, runner);
    } catch (error) {
      signal.throwIfAborted();
      const tail = await backend.logs(kernel.kernelId, MESSAGE_TAIL_BYTES).catch(() => '');
      const cause = timeout.aborted
        ? `The kernel did not answer within ${initTimeoutMs / 1000} seconds.`
        : errorMessage(error);
      const exitCode = kernel.phase.at === 'exited' ? kernel.phase.exitCode : null;
      const message = tail.trim() === '' ? cause : `${cause} The end of its log:\n${tail.trim()}`;
      kernel.phase = failed('failed-to-start', message, exitCode);
    }
  }

  async #reconnect(kernel: Kernel, signal: AbortSignal): Promise<void> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(RECONNECT_TIMEOUT_MS)]);
    this.#attach(kernel, await this.#options.backend.connectRunner(kernel.kernelId, limit));
  }

  #attach(kernel: Kernel, runner: RunnerClient): void {
    // It ended while being connected to.
    if (kernel.phase.at === 'exited') {
      runner.close();
      return;
    }
    kernel.runner = runner;
    kernel.phase = { at: 'running' };
    this.#options.outbox.addStarted(kernel, {
      kind: 'kernel-started',
      info: creationInfo(kernel, this.#options.allocator),
    });
    runner.closed.then(() => {
      if (kernel.runner !== runner) return;
      kernel.runner = null;
      if (kernel.phase.at !== 'running') return;
      kernel.phase = { at: 'detached' };
      this.wake(kernel);
    });
  }

  async #runBatch(
    kernel: Kernel,
    { spec, command }: Extract<Step, { step: 'run-batch' }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, outbox } = this.#options;
    const { runner } = kernel;
    if (!runner) return;
    try {
      const result = await runBatch(runner, command, {
        timeoutMs: spec.batchTimeoutMs,
        clock,
        signal,
      });
      kernel.batchDone = true;
      outbox.add(kernel, { kind: 'batch-finished', ...result });
      kernel.wish = { desired: 'terminated', reason: result.reason };
    } catch (error) {
      signal.throwIfAborted();
      // The connection broke or the kernel ended: both are phases of their own by now.
      if (kernel.phase.at !== 'running') return;
      const reason = 'task-failed';
      outbox.add(kernel, { kind: 'batch-finished', result: 'failure', reason, exitCode: -1 });
      throw error;
    }
  }

  /** Tries for as long as the agent runs; a kernel that can't be removed stays visible meanwhile. */
  async #destroy(kernel: Kernel, step: Extract<Step, { step: 'destroy' }>): Promise<void> {
    const { allocator, registry, clock, log } = this.#options;
    // Before the log is read, so that nothing printed at the end is missing.
    if (step.isAlive) await this.#shutDown(kernel);
    for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(LAST_RETRY_MS, retryMs * 2)) {
      try {
        await this.#removeAndReport(kernel, step);
        break;
      } catch (error) {
        log.error('A kernel could not be destroyed; trying again', {
          kernelId: kernel.kernelId,
          error: errorMessage(error),
          retryMs,
        });
      }
      await clock.sleep(retryMs, this.#stopping.signal);
    }
    kernel.runner?.close();
    allocator.release(kernel.kernelId);
    registry.remove(kernel.kernelId);
    kernel.phase = { at: 'gone' };
  }

  async #removeAndReport(
    kernel: Kernel,
    { reason, message, exitCode }: Extract<Step, { step: 'destroy' }>,
  ): Promise<void> {
    const { backend, outbox } = this.#options;
    const logs = await backend.logs(kernel.kernelId, LOG_TAIL_BYTES).catch((error) => {
      this.#options.log.warn('The log of a kernel is lost', { error: errorMessage(error) });
      return '';
    });
    const end: KernelEnd = {
      kind: 'kernel-terminated',
      reason,
      exitCode,
      message: await this.#withMemoryNote(kernel, { reason, message, exitCode }),
      logs: logs === '' ? null : logs,
    };
    outbox.beginEnd({ kernelId: kernel.kernelId, sessionId: kernel.sessionId, end });
    const lastExitCode = await backend.destroy(kernel.kernelId, FORCE_GRACE_MS);
    outbox.finishEnd(kernel, { ...end, exitCode: exitCode ?? lastExitCode });
  }

  /**
   * Says so first where memory ran out. Sessions go on after programs of theirs were killed for it, so
   * that it happened once is not why a session ends, unless it never came up or was killed itself.
   */
  async #withMemoryNote(
    { kernelId, spec }: Kernel,
    { reason, message, exitCode }: Pick<KernelEnd, 'reason' | 'message' | 'exitCode'>,
  ): Promise<string | null> {
    const { backend, log } = this.#options;
    const mayBe =
      reason === 'failed-to-start' || (reason === 'self-terminated' && exitCode === KILLED);
    if (!mayBe || backend.ranOutOfMemory === undefined) return message;
    try {
      if (!(await backend.ranOutOfMemory(kernelId))) return message;
    } catch (error) {
      log.warn('Whether a kernel ran out of memory is not known', { error: errorMessage(error) });
      return message;
    }
    const given = spec?.slots.mem === undefined ? '' : ` of ${formatSize(BigInt(spec.slots.mem))}`;
    const note = `The session ran out of its memory${given}. Start it with more.`;
    return message === null ? note : `${note} ${message}`;
  }

  /** Asks the runner to end its programs and itself, and gives it some time. */
  async #shutDown(kernel: Kernel): Promise<void> {
    const { clock, log } = this.#options;
    if (!kernel.runner) return;
    const waiting = new AbortController();
    const limit = AbortSignal.any([waiting.signal, this.#stopping.signal]);
    try {
      await kernel.runner.call({ op: 'shutdown' }, { timeoutMs: DESTROY_GRACE_MS });
      const pause = clock.sleep(DESTROY_GRACE_MS, limit).catch(() => null);
      await Promise.race([kernel.ended.promise, pause]);
    } catch (error) {
      log.debug('A kernel did not end politely', { error: errorMessage(error) });
    } finally {
      waiting.abort();
    }
  }

  #exited({ kernelId, exitCode }: KernelExit): void {
    const kernel = this.#options.registry.get(kernelId);
    kernel?.ended.resolve(exitCode);
    if (!kernel || kernel.phase.at === 'failed' || kernel.current?.step === 'destroy') return;
    const wasStarted = kernel.phase.at === 'running' || kernel.phase.at === 'detached';
    kernel.phase = { at: 'exited', exitCode, wasStarted };
    // A kernel being created or connected to for the first time fails by itself, with its log.
    if (wasStarted) kernel.current?.abort.abort(new Error('the kernel ended'));
    this.wake(kernel);
  }
}

function creationInfo(kernel: Kernel, { families }: Allocator): KernelCreationInfo {
  const { created, spec, allocations } = kernel;
  if (!created) throw new BackendError('KernelCreationFailed', 'The kernel was not created.');
  return {
    ...created,
    // Shares are cut to what can be given, so this may be a little less than was asked for.
    occupiedSlots: { ...spec?.slots, ...totalSlots(allocations) },
    attachedDevices: attachedDevicesOf(families, allocations),
  };
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
