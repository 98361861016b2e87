/** The kernels of this agent, as the executor and the manager's calls see them. */
import { BackendError } from '../common/errors.ts';
import type { ActualKernel, KernelSpec } from '../common/protocol/kernel.ts';
import type { CreatedKernel, HostKernel, RunnerClient } from './backends/backend.ts';
import {
  type KernelFacts,
  type Phase,
  reportedState,
  type StepName,
  type Wish,
} from './reconcile.ts';
import type { Allocations } from './resources/allocations.ts';

/** One kernel. The executor alone changes it. */
export interface Kernel extends KernelFacts {
  readonly kernelId: string;
  readonly sessionId: string;
  readonly spec: KernelSpec | null;
  wish: Wish;
  phase: Phase;
  batchDone: boolean;
  joined: boolean;
  /** The devices it holds; empty before it was given any. */
  allocations: Allocations;
  created: CreatedKernel | null;
  runner: RunnerClient | null;
  /** Resolves with the exit code when the main process ended. */
  readonly ended: PromiseWithResolvers<number | null>;
  /** The step under way, and how to break it off. */
  current: { readonly step: StepName; readonly abort: AbortController } | null;
  /** Gives back the right to be created, of which only few are handed out at a time. */
  releasePermit: (() => void) | null;
  /** true while its loop runs. */
  isBusy: boolean;
}

const MAX_KERNELS = 5000;

const blank = {
  batchDone: false,
  joined: false,
  allocations: {},
  created: null,
  runner: null,
  current: null,
  releasePermit: null,
  isBusy: false,
} as const;

/** A kernel that the manager asks for. */
export const wantedKernel = (spec: KernelSpec): Kernel => ({
  ...blank,
  ended: Promise.withResolvers(),
  kernelId: spec.kernelId,
  sessionId: spec.sessionId,
  spec,
  wish: { desired: 'running' },
  phase: { at: 'accepted' },
});

/** A kernel found on the host. @param wasStarted its start was reported before. */
export function foundKernel(found: HostKernel, wasStarted: boolean): Kernel {
  const { kernelId, sessionId, spec, exitCode, allocations, joined } = found;
  return {
    ...blank,
    ended: Promise.withResolvers(),
    kernelId,
    sessionId,
    spec,
    allocations,
    joined,
    wish: { desired: 'undecided' },
    phase: found.state === 'running' ? { at: 'detached' } : { at: 'exited', exitCode, wasStarted },
    created: {
      containerId: found.containerId,
      kernelHost: found.kernelHost,
      servicePorts: [...found.servicePorts],
      isolationGaps: [...found.isolationGaps],
    },
  };
}

export class KernelRegistry {
  readonly #kernels = new Map<string, Kernel>();

  /** @throws BackendError InstanceNotAvailable when there are far too many. */
  add(kernel: Kernel): Kernel {
    if (this.#kernels.size >= MAX_KERNELS) {
      throw new BackendError(
        'InstanceNotAvailable',
        `This agent holds ${MAX_KERNELS} kernels, which is the most it can.`,
      );
    }
    this.#kernels.set(kernel.kernelId, kernel);
    return kernel;
  }

  get(kernelId: string): Kernel | undefined {
    return this.#kernels.get(kernelId);
  }

  remove(kernelId: string): void {
    this.#kernels.delete(kernelId);
  }

  all(): Kernel[] {
    return [...this.#kernels.values()];
  }

  /** Ids of the kernels whose main process runs. */
  running(): string[] {
    return this.all()
      .filter(({ phase }) => phase.at === 'running' || phase.at === 'detached')
      .map(({ kernelId }) => kernelId);
  }

  report(): ActualKernel[] {
    return this.all().map(({ kernelId, sessionId, phase, current, created }) => ({
      kernelId,
      sessionId,
      state: reportedState(phase, current?.step ?? null),
      ...(created === null ? {} : { host: created.kernelHost }),
    }));
  }

  /**
   * The connection to a running kernel.
   * @throws BackendError KernelNotFound or KernelNotReady.
   */
  runner(kernelId: string): RunnerClient {
    const kernel = this.#kernels.get(kernelId);
    if (!kernel) throw new BackendError('KernelNotFound', `No kernel ${kernelId} on this agent.`);
    if (!kernel.runner || kernel.wish.desired === 'terminated') {
      const state = reportedState(kernel.phase, kernel.current?.step ?? null);
      throw new BackendError('KernelNotReady', `The kernel ${kernelId} is ${state}.`);
    }
    return kernel.runner;
  }
}
