/**
 * An agent for tests of the control plane: it keeps the contract of a real one (wishes, ordered
 * outbox until acknowledged, heartbeats with full state) and "runs" kernels in memory.
 */
import { BackendError } from '../common/errors.ts';
import type { agentApi } from '../common/protocol/agent.ts';
import type { ClusterJoin, KernelSpec, TerminationReason } from '../common/protocol/kernel.ts';
import type {
  AgentEvent,
  AgentEventBody,
  Heartbeat,
  managerApi,
} from '../common/protocol/manager.ts';
import type { ApiOf } from '../common/rpc/api.ts';

type ManagerLink = ApiOf<typeof managerApi>;

interface HeldKernel {
  readonly spec: KernelSpec;
  state: Heartbeat['kernels'][number]['state'];
}

export interface SimulatedAgentOptions {
  readonly id?: string;
  readonly slots?: Record<string, string>;
  readonly architecture?: string;
  readonly scalingGroup?: string;
  readonly images?: Heartbeat['images'];
}

export class SimulatedAgent {
  readonly id: string;
  readonly kernels = new Map<string, HeldKernel>();
  /** While true, nobody reaches the agent and it reaches nobody. */
  away = false;
  /** While true, kernels stay where they are instead of coming up. */
  stalled = false;
  /** Kernels for which a start was wished, in order, repetitions included. */
  readonly started: string[] = [];
  /** What kernels were told of the others of their session, in order. */
  readonly joins: ClusterJoin[] = [];
  /** While true, kernels can't be told of each other. */
  refusesJoins = false;
  readonly #options: SimulatedAgentOptions;
  #link: ManagerLink | undefined;
  #seq = 0;
  #outbox: AgentEvent[] = [];
  #delivery: Promise<void> = Promise.resolve();

  constructor(options: SimulatedAgentOptions = {}) {
    this.id = options.id ?? 'i-sim';
    this.#options = options;
  }

  connect(link: ManagerLink): void {
    this.#link = link;
  }

  /** What the manager calls. Only what starts and ends kernels is part of this simulation. */
  readonly client: ApiOf<typeof agentApi> = (() => {
    const absent = async (): Promise<never> => {
      throw new BackendError('NotImplementedAPI', 'The simulated agent runs no code.');
    };
    return {
      ping: async () => ({ agentId: this.id, version: '26.4.4' }),
      sync: async ({ kernels }) => {
        if (this.away) throw new BackendError('AgentConnectionUnavailable', 'connection refused');
        for (const wish of kernels) this.#take(wish);
        return { accepted: kernels.length };
      },
      joinClusters: async ({ joins }) => {
        if (this.away) throw new BackendError('AgentConnectionUnavailable', 'connection refused');
        if (this.refusesJoins) throw new BackendError('KernelNotReady', 'It does not listen.');
        this.joins.push(...joins);
        return null;
      },
      describeHardware: absent,
      assignGroup: absent,
      attachedDevices: absent,
      execute: absent,
      interrupt: absent,
      complete: absent,
      logs: absent,
      startService: absent,
      shutdownService: absent,
      listFiles: absent,
      uploadFile: absent,
      downloadArchive: absent,
      downloadFile: absent,
      commit: absent,
      commitState: absent,
      ongoingCommits: absent,
      abuseReport: absent,
      mounts: absent,
      fstab: absent,
      mountVolume: absent,
      unmountVolume: absent,
    };
  })();

  heartbeatBody(): Heartbeat {
    const { slots, architecture, scalingGroup, images } = this.#options;
    return {
      agentId: this.id,
      version: '26.4.4',
      backend: 'dummy',
      region: 'local',
      scalingGroup: scalingGroup ?? 'default',
      architecture: architecture ?? 'x86_64',
      addr: 'local:',
      publicHost: '127.0.0.1',
      publicKey: 'key',
      availableSlots: slots ?? { cpu: '4', mem: '8589934592' },
      slotTypes: { cpu: 'count', mem: 'bytes' },
      slotFormats: {},
      computePlugins: { cpu: {}, mem: {} },
      images: images ?? [],
      kernels: [...this.kernels].map(([kernelId, { spec, state }]) => ({
        kernelId,
        sessionId: spec.sessionId,
        state,
      })),
    };
  }

  /** Sends a heartbeat and obeys the answer. */
  async heartbeat(): Promise<void> {
    const { desired } = await this.#manager().heartbeat(this.heartbeatBody());
    for (const wish of desired) this.#take(wish);
  }

  /** Lets a kernel that was held back by `stalled` come up. */
  bringUp(kernelId: string): void {
    const kernel = this.kernels.get(kernelId);
    if (!kernel) throw new Error(`the agent holds no kernel ${kernelId}`);
    kernel.state = 'running';
    this.emit(kernelId, kernel.spec.sessionId, { kind: 'kernel-creating' });
    this.emit(kernelId, kernel.spec.sessionId, {
      kind: 'kernel-started',
      info: {
        containerId: kernelId.replaceAll('-', ''),
        kernelHost: '127.0.0.1',
        servicePorts: [],
        occupiedSlots: kernel.spec.slots,
        attachedDevices: {},
        isolationGaps: [],
      },
    });
  }

  /** A kernel ends, by itself or on request. */
  end(kernelId: string, reason: TerminationReason, message: string | null = null): void {
    const kernel = this.kernels.get(kernelId);
    if (!kernel) return;
    this.kernels.delete(kernelId);
    this.emit(kernelId, kernel.spec.sessionId, {
      ...{ kind: 'kernel-terminated', reason, exitCode: 0, message, logs: 'bye\n' },
    });
  }

  emit(kernelId: string, sessionId: string, body: AgentEventBody): void {
    this.#seq += 1;
    const at = new Date().toISOString();
    this.#outbox.push({ seq: this.#seq, at, kernelId, sessionId, body });
    this.#delivery = this.#delivery.then(() => this.flush());
  }

  /** Delivers the outbox; entries stay until the manager has acknowledged them. */
  async flush(): Promise<void> {
    if (this.away || this.#outbox.length === 0 || !this.#link) return;
    try {
      const events = this.#outbox.slice(0, 500);
      const { ackedSeq } = await this.#link.deliver({ agentId: this.id, events });
      this.#outbox = this.#outbox.filter((event) => event.seq > ackedSeq);
    } catch {
      // The manager is away; the outbox waits for the next delivery.
    }
  }

  get undelivered(): number {
    return this.#outbox.length;
  }

  /** Resolves when the deliveries under way are over. */
  async settled(): Promise<void> {
    await this.#delivery;
  }

  #manager(): ManagerLink {
    if (!this.#link) throw new Error('the simulated agent is not connected');
    return this.#link;
  }

  #take(wish: Parameters<ApiOf<typeof agentApi>['sync']>[0]['kernels'][number]): void {
    if (wish.desired === 'terminated') {
      const { kernelId, sessionId, reason } = wish;
      if (this.kernels.has(kernelId)) this.end(kernelId, reason);
      else {
        this.emit(kernelId, sessionId, {
          ...{ kind: 'kernel-terminated', reason, exitCode: null, message: null, logs: null },
        });
      }
      return;
    }
    const { spec } = wish;
    this.started.push(spec.kernelId);
    if (this.kernels.has(spec.kernelId)) return;
    this.kernels.set(spec.kernelId, { spec, state: 'preparing' });
    this.emit(spec.kernelId, spec.sessionId, { kind: 'kernel-preparing' });
    if (!this.stalled) this.bringUp(spec.kernelId);
  }
}
