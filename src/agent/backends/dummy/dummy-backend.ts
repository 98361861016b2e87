/**
 * Simulated kernels for scale tests: they take the configured time to start, hold their slots, and
 * answer as a session would, but no code runs and nothing outlives the process.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../../common/clock.ts';
import { BackendError } from '../../../common/errors.ts';
import { hostArchitecture, servicePortsOf } from '../../../common/images/labels.ts';
import type { KernelSpec } from '../../../common/protocol/kernel.ts';
import type { AgentImage } from '../../../common/protocol/manager.ts';
import type { Random } from '../../../common/random.ts';
import type { Allocations } from '../../resources/allocations.ts';
import type { Grant } from '../../resources/grant.ts';
import type { KernelUsage } from '../../stats/usage.ts';
import type {
  Backend,
  CreatedKernel,
  HostCapacity,
  HostKernel,
  KernelExit,
  RunnerClient,
} from '../backend.ts';
import { type Delay, type DummyConfig, pickDelayMs } from './config.ts';
import { FakeRunner } from './fake-runner.ts';

/** Offered when the configuration names no image. */
const DEFAULT_IMAGES = ['local/dummy:1'];
const MAX_LOG_CHARACTERS = 64 * 1024;

export interface DummyBackendOptions {
  config: DummyConfig;
  clock: Clock;
  random: Random;
  kernelHost: string;
}

interface SimulatedKernel {
  readonly spec: KernelSpec;
  readonly allocations: Allocations;
  readonly created: CreatedKernel;
  readonly runners: Set<RunnerClient>;
  joined: boolean;
  exitCode: number | null;
  log: string;
}

export class DummyBackend implements Backend {
  readonly name = 'dummy';
  readonly #options: DummyBackendOptions;
  readonly #kernels = new Map<string, SimulatedKernel>();
  readonly #listeners = new Set<(exit: KernelExit) => void>();
  readonly #pulled = new Set<string>();

  constructor(options: DummyBackendOptions) {
    this.#options = options;
  }

  async capacity(): Promise<HostCapacity> {
    const { cpu, memory } = this.#options.config.agent.resource;
    return { cpus: cpu['num-core'], memoryBytes: Number(memory.size), deviceDrivers: [] };
  }

  /** Simulated kernels run nothing that could get out. */
  async isolationGaps(): Promise<string[]> {
    return [];
  }

  async scanImages(): Promise<AgentImage[]> {
    await this.#wait(this.#options.config.agent.delay['scan-image']);
    return this.#presentImages().map((canonical) => ({
      canonical,
      architecture: hostArchitecture(),
      digest: `sha256:${createHash('sha256').update(canonical).digest('hex')}`,
      sizeBytes: 0,
      labels: {
        'ai.backend.kernelspec': '1',
        'ai.backend.role': 'COMPUTE',
        'ai.backend.runtime-type': 'app',
        'ai.backend.features': 'batch query uid-match',
        'ai.backend.resource.min.cpu': '1',
        'ai.backend.resource.min.mem': '64m',
      },
      aliases: canonical === DEFAULT_IMAGES[0] ? ['dummy'] : [],
    }));
  }

  #presentImages(): string[] {
    const configured = this.#options.config.agent.image['already-have'];
    return [
      ...new Set([...(configured.length > 0 ? configured : DEFAULT_IMAGES), ...this.#pulled]),
    ];
  }

  async hasImage(spec: KernelSpec): Promise<boolean> {
    return this.#presentImages().includes(spec.image.canonical);
  }

  async pullImage(spec: KernelSpec, signal: AbortSignal): Promise<void> {
    const { delay, image } = this.#options.config.agent;
    const { canonical } = spec.image;
    await this.#wait(delay['pull-image'], signal);
    if (!image['need-to-pull'].includes(canonical)) {
      throw new BackendError('ImageNotFound', `${canonical} does not exist in the simulation.`);
    }
    this.#pulled.add(canonical);
  }

  async create(
    spec: KernelSpec,
    { allocations }: Grant,
    signal: AbortSignal,
  ): Promise<CreatedKernel> {
    if (!(await this.hasImage(spec))) {
      throw new BackendError('ImageNotFound', `${spec.image.canonical} is not on this host.`);
    }
    for (const delay of Object.values(this.#options.config['kernel-creation-ctx'].delay)) {
      await this.#wait(delay, signal);
    }
    signal.throwIfAborted();
    if (this.#kernels.has(spec.kernelId)) {
      throw new BackendError('KernelCreationFailed', `The kernel ${spec.kernelId} exists already.`);
    }
    const created = {
      containerId: spec.kernelId.replaceAll('-', ''),
      kernelHost: this.#options.kernelHost,
      servicePorts: servicePortsOf(spec.image.labels, spec.preopenPorts),
      isolationGaps: ['The kernel is simulated: nothing runs and nothing is limited.'],
    };
    const kernel = { spec, allocations, created, joined: false, exitCode: null, log: '' };
    this.#kernels.set(spec.kernelId, { ...kernel, runners: new Set() });
    return created;
  }

  /** There is no network to join. */
  async join(spec: KernelSpec): Promise<void> {
    const kernel = this.#kernels.get(spec.kernelId);
    if (kernel) kernel.joined = true;
  }

  async connectRunner(kernelId: string, signal: AbortSignal): Promise<RunnerClient> {
    const { config, clock, random } = this.#options;
    const kernel = this.#kernels.get(kernelId);
    if (!kernel || kernel.exitCode !== null) {
      throw new BackendError('KernelNotReady', `The kernel ${kernelId} does not run.`);
    }
    if (!config.kernel['use-fake-code-runner']) {
      throw new BackendError(
        'KernelNotReady',
        'use-fake-code-runner is false: nothing to connect.',
      );
    }
    const runner = new FakeRunner({
      config,
      clock,
      random,
      onShutdown: () => this.#end(kernelId, 0),
      print: (text) => {
        kernel.log = (kernel.log + text).slice(-MAX_LOG_CHARACTERS);
      },
    });
    await runner.call({ op: 'status' }, { signal });
    kernel.runners.add(runner);
    return runner;
  }

  #end(kernelId: string, exitCode: number): void {
    const kernel = this.#kernels.get(kernelId);
    if (!kernel || kernel.exitCode !== null) return;
    kernel.exitCode = exitCode;
    // As with a real process, the answer to the last request comes before the end.
    queueMicrotask(() => {
      for (const runner of kernel.runners) runner.close();
      for (const listener of this.#listeners) listener({ kernelId, exitCode });
    });
  }

  async list(): Promise<HostKernel[]> {
    return [...this.#kernels.values()].map(({ spec, allocations, created, joined, exitCode }) => ({
      ...created,
      kernelId: spec.kernelId,
      sessionId: spec.sessionId,
      state: exitCode === null ? 'running' : 'exited',
      exitCode,
      spec,
      allocations,
      joined,
    }));
  }

  async logs(kernelId: string, maxBytes: number): Promise<string> {
    if (maxBytes <= 0) return '';
    return this.#kernels.get(kernelId)?.log.slice(-maxBytes) ?? '';
  }

  /** A simulated kernel is idle from its start: it runs nothing, so it uses nothing. */
  async usage(kernelIds: readonly string[]): Promise<ReadonlyMap<string, KernelUsage>> {
    const usages = new Map<string, KernelUsage>();
    for (const kernelId of kernelIds) {
      const kernel = this.#kernels.get(kernelId);
      if (!kernel || kernel.exitCode !== null) continue;
      const { mem } = kernel.spec.slots;
      usages.set(kernelId, {
        cpuUsedMs: 0,
        memoryBytes: 0,
        memoryLimitBytes: mem === undefined ? null : Number(mem),
        ioReadBytes: 0,
        ioWriteBytes: 0,
        netRxBytes: 0,
        netTxBytes: 0,
        scratchBytes: 0,
      });
    }
    return usages;
  }

  async destroy(kernelId: string): Promise<number | null> {
    const kernel = this.#kernels.get(kernelId);
    if (!kernel) return null;
    await this.#wait(this.#options.config.agent.delay['destroy-kernel']);
    for (const runner of kernel.runners) runner.close();
    this.#kernels.delete(kernelId);
    return kernel.exitCode;
  }

  onExit(listener: (exit: KernelExit) => void): void {
    this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
  }

  async #wait(delay: Delay, signal?: AbortSignal): Promise<void> {
    const ms = pickDelayMs(delay, this.#options.random);
    if (ms > 0) await this.#options.clock.sleep(ms, signal);
  }
}
