/**
 * What a way of running kernels must offer. The agent core owns order, retries, reporting and
 * allocation; a backend only touches the host. One conformance suite runs on every backend.
 */
import type * as v from 'valibot';
import type { CommitTarget } from '../../common/protocol/commit.ts';
import type { ClusterPeer, KernelSpec, ServicePort } from '../../common/protocol/kernel.ts';
import type { AgentImage } from '../../common/protocol/manager.ts';
import type { RunnerOp, runnerResults } from '../../common/protocol/runner.ts';
import type { Allocations } from '../resources/allocations.ts';
import type { Grant } from '../resources/grant.ts';
import type { KernelUsage } from '../stats/usage.ts';

export type BackendName = 'docker' | 'process' | 'dummy';

export type RunnerResults = {
  [K in keyof typeof runnerResults]: v.InferOutput<(typeof runnerResults)[K]>;
};

/** A live connection to the runner inside one kernel. Calls may overlap. */
export interface RunnerClient {
  /** Rejects with a BackendError; a lost connection rejects all pending calls. */
  call<O extends RunnerOp>(
    op: O,
    options?: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<RunnerResults[O['op']]>;
  readonly closed: Promise<void>;
  close(): void;
}

/** A kernel as found on the host, whoever started it. */
export interface HostKernel {
  readonly kernelId: string;
  readonly sessionId: string;
  readonly containerId: string;
  /** running: its runner may be connected to. exited: only `destroy` makes sense. */
  readonly state: 'running' | 'exited';
  readonly exitCode: number | null;
  /** As given to `create`; null when the record on the host is lost or unreadable. */
  readonly spec: KernelSpec | null;
  readonly servicePorts: readonly ServicePort[];
  readonly kernelHost: string;
  /** As answered by `create`. */
  readonly isolationGaps: readonly string[];
  /** As given to `create`. */
  readonly allocations: Allocations;
  /** Of a cluster: `join` told it where the others are. */
  readonly joined: boolean;
}

/** A kernel of a cluster, as seen from an agent. */
export interface Peer extends Omit<ClusterPeer, 'agentId'> {
  /** It is on this agent. */
  readonly isNeighbour: boolean;
}

export interface CreatedKernel {
  readonly containerId: string;
  readonly kernelHost: string;
  readonly servicePorts: ServicePort[];
  /** Limits and separations that could not be applied here, in plain words. */
  readonly isolationGaps: string[];
}

export interface KernelExit {
  readonly kernelId: string;
  /** null when unknown. */
  readonly exitCode: number | null;
}

export interface HostCapacity {
  readonly cpus: number;
  readonly memoryBytes: number;
  /**
   * How kernels can be given accelerators: drivers of the container engine by name, or `device-files`.
   * Empty: not at all.
   */
  readonly deviceDrivers: readonly string[];
}

export interface Backend {
  readonly name: BackendName;
  /** What this host offers in total, before reservation. */
  capacity(): Promise<HostCapacity>;
  /** What kernels can't be limited to or kept from on this host, in plain words; empty: nothing. */
  isolationGaps(): Promise<string[]>;
  /** Images that kernels can be created from right now. */
  scanImages(): Promise<AgentImage[]>;
  hasImage(spec: KernelSpec): Promise<boolean>;
  /** Makes the image available. Rejects when it cannot be had. */
  pullImage(spec: KernelSpec, signal: AbortSignal): Promise<void>;
  /**
   * Creates and starts the kernel, leaving nothing behind when it fails. Everything needed to find
   * it again after a crash of the agent is recorded on the host before it starts.
   * @param grant the devices the kernel may use.
   */
  create(spec: KernelSpec, grant: Grant, signal: AbortSignal): Promise<CreatedKernel>;
  /**
   * Tells a running kernel where all kernels of its session are, itself included: their names resolve
   * and `ssh NAME` works. Done when it returns, also for an agent that takes over after a crash.
   */
  join(spec: KernelSpec, peers: readonly Peer[]): Promise<void>;
  /** Connects to the kernel's runner, waiting for it to come up until the signal aborts. */
  connectRunner(kernelId: string, signal: AbortSignal): Promise<RunnerClient>;
  /** Kernels of this agent that exist on the host, exited ones included. */
  list(): Promise<HostKernel[]>;
  /** The last `maxBytes` of the kernel's output; empty when there is none. */
  logs(kernelId: string, maxBytes: number): Promise<string>;
  /**
   * Keeps what is in the kernel's container; absent where kernels have none.
   * @param say tells what it is at.
   * @returns the image that was made, if one was to be.
   */
  commit?(
    kernelId: string,
    target: CommitTarget,
    say: (text: string) => void,
    signal: AbortSignal,
  ): Promise<AgentImage | null>;
  /** What these kernels use at the moment. Those that can't be looked at are left out. */
  usage(kernelIds: readonly string[]): Promise<ReadonlyMap<string, KernelUsage>>;
  /**
   * Stops the kernel (politely, then after `graceMs` by force) and removes every trace. Succeeds
   * when there is nothing to remove. @returns the exit code when one is known.
   */
  destroy(kernelId: string, graceMs: number): Promise<number | null>;
  /**
   * Whether the system ended a program of the kernel for want of memory; asked before `destroy`.
   * Absent where that is not known.
   */
  ranOutOfMemory?(kernelId: string): Promise<boolean>;
  /** Calls `listener` soon after a kernel's main process ended by itself. */
  onExit(listener: (exit: KernelExit) => void): void;
  /** Releases connections and watchers; kernels keep running. */
  close(): Promise<void>;
}
