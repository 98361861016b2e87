/** One seeded run: a cluster on bad days, then on good ones, until everything has come to rest. */
import type { KernelSpec } from '../../common/protocol/kernel.ts';
import { parseSlots } from '../../common/slots.ts';
import type { Report } from '../../manager/session/reports.ts';
import { isTerminal } from '../../manager/session/status.ts';
import { FakeAgent } from './agent.ts';
import { checkInvariants } from './invariants.ts';
import { FakeManager, type Lock, type PreemptionMode } from './manager.ts';
import { type Parts, productParts } from './parts.ts';
import { type SessionRow, Tables } from './tables.ts';
import { World } from './world.ts';

const FAULTS_MS = 180_000;
/** Long enough for every deadline of a status, one after another. */
const CALM_MS = 3_600_000;
const SESSIONS = 12;
/** By seed. */
const preemptionModes = ['off', 'terminate', 'off', 'reschedule'] as const;

function kernelSpec(
  sessionId: string,
  idx: number,
  size: number,
  more: Pick<KernelSpec, 'slots' | 'sessionType'>,
): KernelSpec {
  const image = { canonical: 'i', architecture: 'x86_64', digest: '', labels: {}, isLocal: true };
  return {
    ...{ kernelId: `${sessionId}-k${idx}`, sessionId, sessionName: sessionId, ...more },
    ...{ accessKey: 'AK', ownerUserId: 'u', ownerProjectId: 'p' },
    image: { ...image, autoPull: 'none', registryAccount: null },
    cluster: {
      ...{ mode: 'multi-node', size, role: idx === 1 ? 'main' : 'sub', idx, localRank: idx },
      ...{ hostname: `k${idx}`, sshKeypair: null },
    },
    ...{ allowFractionalResourceFragmentation: true, shmemBytes: 0, environ: {}, dotfiles: [] },
    ...{ bootstrapScript: null, batchTimeoutMs: null, preopenPorts: [], mounts: [] },
    useHostNetwork: false,
    startupCommand: more.sessionType === 'batch' && idx === 1 ? 'true' : null,
  };
}

class Simulation {
  readonly world: World;
  readonly #tables = new Tables();
  readonly #agents = new Map<string, FakeAgent>();
  readonly #managers: FakeManager[];
  readonly #preemption: PreemptionMode;

  constructor(seed: number, parts: Parts) {
    this.world = new World(seed);
    this.#preemption = preemptionModes[seed % preemptionModes.length] ?? 'off';
    const { world } = this;
    const lock: Lock = { holder: null };
    this.#managers = ['m-0', 'm-1'].map(
      (id) =>
        new FakeManager({
          ...{ id, world, parts, tables: this.#tables, agents: this.#agents, lock },
          preemption: this.#preemption,
        }),
    );
    const gateway = () => world.pick(this.#managers) ?? this.#manager();
    for (let index = world.between(2, 5); index > 0; index -= 1) {
      const id = `a-${index}`;
      const capacity = parseSlots({ cpu: world.between(3, 6) });
      const books = [...capacity].map(
        ([slot, all]) => [slot, { capacity: all, reserved: 0n, used: 0n }] as const,
      );
      this.#tables.agents.set(id, {
        ...{
          id,
          status: 'UNKNOWN',
          heartbeatMs: 0,
          lostMs: null,
          lastSeq: 0,
          books: new Map(books),
        },
      });
      this.#agents.set(id, new FakeAgent({ id, capacity, world, parts, gateway }));
    }
  }

  run(): void {
    for (const manager of this.#managers) manager.start();
    for (const agent of this.#agents.values()) agent.start();
    for (let index = 0; index < SESSIONS; index += 1) {
      this.world.after(this.world.between(0, FAULTS_MS / 2), () => this.#enqueue(`s${index}`));
    }
    this.#misfortune();
    const start = this.world.nowMs;
    this.#until(start + FAULTS_MS, () => false);
    this.world.faulty = false;
    this.world.note('faults stop');
    const deadline = this.world.nowMs + CALM_MS;
    const isSettled = () =>
      [...this.#tables.sessions.values()].every(
        ({ status }) => status === 'RUNNING' || isTerminal(status),
      );
    this.#people();
    if (!this.#until(deadline, isSettled)) {
      const stuck = [...this.#tables.sessions.values()].filter(
        ({ status }) => status !== 'RUNNING' && !isTerminal(status),
      );
      throw new Error(`stuck: ${stuck.map(({ id, status }) => `${id} ${status}`).join(', ')}`);
    }
    for (const session of this.#tables.sessions.values()) this.#end(session, 'terminate');
    const isEmpty = () =>
      [...this.#agents.values()].every(({ containers }) => containers.length === 0) &&
      [...this.#tables.sessions.values()].every(({ status }) => isTerminal(status));
    if (!this.#until(deadline, isEmpty))
      throw new Error('kernels are left of sessions that were terminated');
  }

  /** @returns whether `done` came true before `endMs`. */
  #until(endMs: number, done: () => boolean): boolean {
    while (this.world.nowMs < endMs) {
      if (done()) return true;
      this.world.step();
      checkInvariants(this.#tables, this.#agents.values(), this.world.nowMs);
    }
    return false;
  }

  #manager(): FakeManager {
    const manager = this.#managers.find(({ isUp }) => isUp) ?? this.#managers[0];
    if (!manager) throw new Error('there is no manager');
    return manager;
  }

  #enqueue(id: string): void {
    const { world } = this;
    const size = world.pick([1, 1, 2]) ?? 1;
    const slots = { cpu: String(world.between(1, 3)) };
    const sessionType = world.pick(['interactive', 'batch'] as const) ?? 'interactive';
    const createdMs = world.nowMs;
    const priority = this.#preemption === 'off' ? 1 : (world.pick([1, 1, 2, 3]) ?? 1);
    const kernels = Array.from({ length: size }, (_, at) => {
      const spec = kernelSpec(id, at + 1, size, { slots, sessionType });
      return {
        ...{ id: spec.kernelId, sessionId: id, spec, status: 'PENDING' as const, statusInfo: null },
        ...{ isMain: at === 0, mustJoin: size > 1, agentId: null, agentAddr: null },
        ...{ statusChangedMs: createdMs, terminatedMs: null, agentSaidEnd: false },
        allocations: [...parseSlots(slots)].map(([slot, requested]) => ({
          slot,
          requested,
          used: null,
        })),
      };
    });
    this.#tables.add({
      ...{
        id,
        kernels,
        createdMs,
        priority,
        status: 'PENDING',
        statusInfo: null,
        statusData: {},
      },
      ...{ result: 'UNDEFINED', maxRetries: 5, callbackUrl: null, trace: null },
    });
  }

  #end({ kernels }: SessionRow, kind: 'terminate' | 'force-terminate'): void {
    const reason = kind === 'terminate' ? 'user-requested' : 'force-terminated';
    this.#manager().report(
      kernels.map(({ id: kernelId }): Report => ({ kind, kernelId, reason, message: null })),
    );
  }

  #misfortune(): void {
    const { world } = this;
    world.after(world.between(1000, 8000), () => {
      if (!world.faulty) return;
      const agent = world.pick([...this.#agents.values()]);
      const session = world.pick([...this.#tables.sessions.values()]);
      const manager = world.pick(this.#managers);
      const turn = world.between(0, 5);
      if (turn <= 1 && agent?.isUp) {
        agent.crash(turn === 0);
        world.after(world.between(500, 60_000), () => agent.revive());
      } else if (turn === 2 && manager?.isUp) manager.crash();
      else if (turn === 3) manager?.loseLead();
      else if (turn === 4) agent?.exitKernel();
      else if (turn === 5 && session)
        this.#end(session, world.next() < 0.7 ? 'terminate' : 'force-terminate');
      this.#misfortune();
    });
  }

  /** In calm times people end what runs, so that those who wait get room. */
  #people(): void {
    this.world.after(20_000, () => {
      const running = [...this.#tables.sessions.values()].find(
        ({ status }) => status === 'RUNNING',
      );
      if (running) this.#end(running, 'terminate');
      this.#people();
    });
  }
}

/**
 * @returns how many events there were.
 * @throws Error that names the seed and the last events, when a rule was broken.
 */
export function simulate(seed: number, parts: Parts = productParts): number {
  const simulation = new Simulation(seed, parts);
  try {
    simulation.run();
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    const lines = simulation.world.lastLines.join('\n');
    throw new Error(`SIM_SEED=${seed}: ${what}\n${lines}`, { cause: error });
  }
  return simulation.world.events;
}
