/** A fake agent: the product's registry, wishes and next steps, on a host that lives in memory. */
import { foundKernel, type Kernel, KernelRegistry } from '../../agent/kernels.ts';
import { breaksOff, type Step, type Wish } from '../../agent/reconcile.ts';
import { Wishes } from '../../agent/wishes.ts';
import type { DesiredKernel, KernelSpec } from '../../common/protocol/kernel.ts';
import type { AgentEvent, AgentEventBody, Heartbeat } from '../../common/protocol/manager.ts';
import { addSlots, parseSlots, type Slots, slotsFit } from '../../common/slots.ts';
import type { Parts } from './parts.ts';
import type { World } from './world.ts';

const HEARTBEAT_MS = 3000;
const CALL_TIMEOUT_MS = 5000;
const ALLOCATE_TIMEOUT_MS = 30_000;

/** What an agent calls, as one of the managers serves it. */
export interface Gateway {
  heartbeat(
    agentId: string,
    kernels: Heartbeat['kernels'],
    reply: (desired: DesiredKernel[]) => void,
  ): void;
  deliver(agentId: string, events: readonly AgentEvent[], reply: (ackedSeq: number) => void): void;
}

interface Container {
  readonly spec: KernelSpec;
  joined: boolean;
  exited: boolean;
}

type Ref = Pick<Kernel, 'kernelId' | 'sessionId'>;
type KernelEnd = Extract<AgentEventBody, { kind: 'kernel-terminated' }>;

interface AgentOptions {
  readonly id: string;
  readonly capacity: Slots;
  readonly world: World;
  readonly parts: Parts;
  /** The manager that the next call goes to. */
  readonly gateway: () => Gateway;
}

export class FakeAgent {
  readonly id: string;
  readonly capacity: Slots;
  readonly world: World;
  readonly parts: Parts;
  readonly gateway: () => Gateway;
  /** What runs on the host; outlives the agent's process. */
  readonly containers: Container[] = [];
  registry = new KernelRegistry();
  isUp = true;
  /** Kernel → since when it is here although the books have it elsewhere. Kept by the invariants. */
  readonly strays = new Map<string, number>();
  /** When the state was described to which the latest answer came. */
  answeredMs = 0;
  #wishes: Wishes;
  #life = 0;
  // On disk: survives a crash.
  #outbox: AgentEvent[] = [];
  #seq: number;
  readonly #started = new Set<string>();
  readonly #ends = new Map<string, { sessionId: string; end: KernelEnd }>();
  #delivering = false;

  constructor({ id, capacity, world, parts, gateway }: AgentOptions) {
    this.id = id;
    this.capacity = capacity;
    this.world = world;
    this.parts = parts;
    this.gateway = gateway;
    this.#seq = world.nowMs;
    this.#wishes = this.#newWishes();
  }

  start(): void {
    this.#beat();
    this.#pump();
  }

  /** @param keepsKernels false: the whole machine went down. */
  crash(keepsKernels: boolean): void {
    this.world.note(`${this.id} dies${keepsKernels ? '' : ' with its kernels'}`);
    this.isUp = false;
    this.#life += 1;
    this.#delivering = false;
    if (!keepsKernels) this.containers.length = 0;
  }

  /** A new process adopts what is on the host and finishes the ends that were begun. */
  revive(): void {
    this.world.note(`${this.id} is back`);
    this.isUp = true;
    this.registry = new KernelRegistry();
    this.#wishes = this.#newWishes();
    for (const { spec, joined, exited } of this.containers) {
      const { kernelId, sessionId } = spec;
      const found = {
        ...{ kernelId, sessionId, spec, joined, containerId: kernelId, servicePorts: [] },
        ...{ kernelHost: this.id, isolationGaps: [], allocations: {}, exitCode: exited ? 1 : null },
        state: exited ? ('exited' as const) : ('running' as const),
      };
      this.registry.add(foundKernel(found, this.#started.has(kernelId)));
    }
    for (const [kernelId, { sessionId, end }] of [...this.#ends]) {
      const kernel = this.registry.get(kernelId);
      if (kernel) kernel.wish = { desired: 'terminated', reason: end.reason };
      else this.#finishEnd({ kernelId, sessionId }, end);
    }
    for (const kernel of this.registry.all()) this.#drive(kernel);
    this.start();
  }

  /** What the manager calls to start and end kernels. */
  sync(wishes: readonly DesiredKernel[], reply: (answer: true) => void): void {
    if (!this.isUp) return;
    this.parts.accept(this.#wishes, this.registry, wishes);
    reply(true);
  }

  /** The manager tells kernels of a cluster of each other. */
  join(kernelIds: readonly string[], reply: (answer: true) => void): void {
    if (!this.isUp) return;
    for (const id of kernelIds) {
      const kernel = this.registry.get(id);
      if (!kernel || kernel.wish.desired === 'terminated') continue;
      if (kernel.phase.at !== 'running' && kernel.phase.at !== 'detached') continue;
      kernel.joined = true;
      const container = this.#container(id);
      if (container) container.joined = true;
      this.#drive(kernel);
    }
    reply(true);
  }

  /** A kernel's main process ends by itself. */
  exitKernel(): void {
    const container = this.world.pick(this.containers);
    if (!this.isUp || !container || container.exited) return;
    container.exited = true;
    const kernel = this.registry.get(container.spec.kernelId);
    if (!kernel || kernel.phase.at === 'failed' || kernel.current?.step === 'destroy') return;
    const wasStarted = kernel.phase.at === 'running' || kernel.phase.at === 'detached';
    this.world.note(`${this.id} ${kernel.kernelId} exits`);
    kernel.phase = { at: 'exited', exitCode: 1, wasStarted };
    this.#interrupt(kernel);
    this.#drive(kernel);
  }

  #newWishes(): Wishes {
    return new Wishes({
      registry: this.registry,
      executor: {
        wake: (kernel) => this.#drive(kernel),
        wish: (kernel, wish) => this.#wish(kernel, wish),
        reportAgain: (kernel) => {
          if (kernel.phase.at === 'running') this.#emit(kernel, this.#startedBody(kernel));
        },
      },
      outbox: {
        add: (kernel, body) => this.#emit(kernel, body),
        unacknowledgedEnds: () => this.#unacknowledgedEnds(),
      },
      clock: { monotonicMs: () => this.world.nowMs },
      log: { error: (message) => this.world.note(message) },
    });
  }

  #container(kernelId: string): Container | undefined {
    return this.containers.find(({ spec }) => spec.kernelId === kernelId);
  }

  #unacknowledgedEnds(): Ref[] {
    return this.#outbox.filter(({ body }) => body.kind === 'kernel-terminated');
  }

  #after(ms: number, run: () => void): void {
    const life = this.#life;
    this.world.after(ms, () => {
      if (this.isUp && this.#life === life) run();
    });
  }

  #beat(): void {
    const present = this.registry.report();
    const ids = new Set(present.map(({ kernelId }) => kernelId));
    const ended = this.#unacknowledgedEnds().filter(({ kernelId }) => !ids.has(kernelId));
    const kernels = [
      ...present,
      ...ended.map(({ kernelId, sessionId }) => ({
        kernelId,
        sessionId,
        state: 'terminating' as const,
      })),
    ];
    const askedMs = this.world.nowMs;
    const life = this.#life;
    const gateway = this.gateway();
    this.world.call<DesiredKernel[]>(
      CALL_TIMEOUT_MS,
      (reply) => gateway.heartbeat(this.id, kernels, reply),
      (desired) => {
        if (!this.isUp || this.#life !== life) return;
        if (desired) {
          this.parts.accept(this.#wishes, this.registry, desired, askedMs);
          this.answeredMs = askedMs;
        }
        this.#after(desired ? HEARTBEAT_MS : 500, () => this.#beat());
      },
    );
  }

  #emit({ kernelId, sessionId }: Ref, body: AgentEventBody): void {
    this.#seq += 1;
    const at = new Date(this.world.nowMs).toISOString();
    this.#outbox.push({ seq: this.#seq, at, kernelId, sessionId, body });
    this.world.note(`${this.id} ${kernelId} reports ${body.kind}`);
    this.#pump();
  }

  #pump(): void {
    if (this.#delivering || this.#outbox.length === 0) return;
    this.#delivering = true;
    const events = [...this.#outbox];
    const life = this.#life;
    const gateway = this.gateway();
    this.world.call<number>(
      CALL_TIMEOUT_MS,
      (reply) => gateway.deliver(this.id, events, reply),
      (acked) => {
        if (!this.isUp || this.#life !== life) return;
        this.#delivering = false;
        if (acked === null) {
          this.#after(500, () => this.#pump());
          return;
        }
        this.#outbox = this.#outbox.filter(({ seq }) => seq > acked);
        const ends = events.filter(
          ({ seq, body }) => seq <= acked && body.kind === 'kernel-terminated',
        );
        this.#wishes.noteAcknowledgedEnds(ends.map(({ kernelId }) => kernelId));
        this.#pump();
      },
    );
  }

  #wish(kernel: Kernel, wish: Wish): void {
    if (kernel.wish.desired === 'terminated') return;
    kernel.wish = wish;
    if (kernel.current && breaksOff(wish, kernel.current.step)) this.#interrupt(kernel);
    this.#drive(kernel);
  }

  #interrupt(kernel: Kernel): void {
    kernel.current?.abort.abort();
    kernel.current = null;
    kernel.isBusy = false;
  }

  #drive(kernel: Kernel): void {
    if (kernel.isBusy) return;
    const step = this.parts.nextStep(kernel);
    if (!step) return;
    const abort = new AbortController();
    kernel.isBusy = true;
    kernel.current = { step: step.step, abort };
    this.#begin(kernel, step);
    this.#perform(kernel, step, abort.signal, this.world.nowMs);
  }

  #perform(kernel: Kernel, step: Step, signal: AbortSignal, sinceMs: number): void {
    this.#after(this.world.between(10, step.step === 'run-batch' ? 20_000 : 1500), () => {
      if (signal.aborted) return;
      if (step.step === 'allocate' && this.#mustWait(kernel, step.spec, sinceMs)) {
        this.#perform(kernel, step, signal, sinceMs);
        return;
      }
      if (step.step !== 'destroy' && this.world.mishap(0.01)) {
        kernel.phase = {
          at: 'failed',
          reason: 'failed-to-create',
          message: 'by chance',
          exitCode: null,
        };
      } else this.#finish(kernel, step);
      kernel.current = null;
      kernel.isBusy = false;
      this.#drive(kernel);
    });
  }

  #begin(kernel: Kernel, step: Step): void {
    if (step.step === 'provide-image') {
      this.#emit(kernel, { kind: 'kernel-preparing' });
      this.#emit(kernel, { kind: 'kernel-pulling', image: 'i' });
    } else if (step.step === 'create') this.#emit(kernel, { kind: 'kernel-creating' });
    else if (step.step === 'destroy') {
      const { reason, message, exitCode } = step;
      const end: KernelEnd = { kind: 'kernel-terminated', reason, message, exitCode, logs: null };
      this.#ends.set(kernel.kernelId, { sessionId: kernel.sessionId, end });
    }
  }

  /** One ended by force is over for the manager before it is here. */
  #mustWait(kernel: Kernel, spec: KernelSpec, sinceMs: number): boolean {
    if (this.#fits(kernel, spec) || this.world.nowMs - sinceMs > ALLOCATE_TIMEOUT_MS) return false;
    return this.registry.all().some(({ wish }) => wish.desired === 'terminated');
  }

  #fits(kernel: Kernel, spec: KernelSpec): boolean {
    const holds = ({ kernelId, phase }: Kernel) =>
      kernelId !== kernel.kernelId && phase.at !== 'accepted' && phase.at !== 'image-ready';
    const held = this.registry
      .all()
      .filter(holds)
      .reduce<Slots>((sum, other) => addSlots(sum, parseSlots(other.spec?.slots ?? {})), new Map());
    return slotsFit(addSlots(held, parseSlots(spec.slots)), this.capacity);
  }

  #finish(kernel: Kernel, step: Step): void {
    switch (step.step) {
      case 'provide-image':
        this.#emit(kernel, { kind: 'kernel-pulled', image: 'i' });
        kernel.phase = { at: 'image-ready' };
        return;
      case 'allocate':
        kernel.phase = this.#fits(kernel, step.spec)
          ? { at: 'allocated' }
          : { at: 'failed', reason: 'failed-to-create', message: 'no room', exitCode: null };
        return;
      case 'create':
        this.containers.push({ spec: step.spec, joined: false, exited: false });
        kernel.phase = { at: 'created' };
        return;
      case 'connect':
      case 'reconnect':
        kernel.phase = { at: 'running' };
        if (!this.#started.has(kernel.kernelId)) this.#emit(kernel, this.#startedBody(kernel));
        this.#started.add(kernel.kernelId);
        return;
      case 'run-batch':
        kernel.batchDone = true;
        this.#emit(kernel, {
          kind: 'batch-finished',
          result: 'success',
          reason: 'task-finished',
          exitCode: 0,
        });
        kernel.wish = { desired: 'terminated', reason: 'task-finished' };
        return;
      case 'destroy': {
        const at = this.containers.findIndex(({ spec }) => spec.kernelId === kernel.kernelId);
        if (at >= 0) this.containers.splice(at, 1);
        const begun = this.#ends.get(kernel.kernelId);
        if (begun) this.#finishEnd(kernel, begun.end);
        this.registry.remove(kernel.kernelId);
        kernel.phase = { at: 'gone' };
        return;
      }
      default:
        step satisfies never;
    }
  }

  #finishEnd(kernel: Ref, end: KernelEnd): void {
    this.#ends.delete(kernel.kernelId);
    this.#started.delete(kernel.kernelId);
    this.#emit(kernel, end);
  }

  #startedBody({ kernelId, spec }: Kernel): Extract<AgentEventBody, { kind: 'kernel-started' }> {
    const info = {
      ...{ containerId: kernelId, kernelHost: this.id, servicePorts: [], attachedDevices: {} },
      ...{ occupiedSlots: spec?.slots ?? {}, isolationGaps: [] },
    };
    return { kind: 'kernel-started', info };
  }
}
