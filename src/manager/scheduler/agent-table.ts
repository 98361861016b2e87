/**
 * The agents of one resource group as columns of numbers, by slot: what a plan has left of them as it
 * grows. Agents are in the order of their ids, so that the order of reading plays no part.
 */

import type { Demand, SlotSpace } from './slot-space.ts';
import type { AgentSnapshot, GroupRules } from './snapshot.ts';

/** What is kept free on an agent for a session that waits for it. */
interface Hold {
  /** By slot. */
  readonly amounts: Float64Array;
  /** What is really free, by slot; the columns have what others may use of it. */
  readonly actual: Float64Array;
}

export class AgentTable {
  readonly rules: GroupRules;
  readonly ids: readonly string[];
  readonly addrs: readonly string[];
  readonly architectures: readonly string[];
  /** By agent: its architecture, as `architectureIndex` numbers them. */
  readonly architectureOf: Int32Array;
  /** By slot, then by agent. */
  readonly capacity: readonly Float64Array[];
  /** By slot, then by agent. Written by `take`, `giveBack`, `hold` only. */
  readonly free: readonly Float64Array[];
  /** By slot: what all agents have together. */
  readonly totals: Float64Array;
  /** By agent: kinds of slots of which something is free. */
  readonly freeKinds: Int32Array;
  /** By agent: sessions with kernels on it. */
  readonly sessions: Int32Array;
  /** Where round-robin looks first. */
  cursor: number;
  readonly #holds = new Map<number, Hold>();
  readonly #architectures = new Map<string, number>();

  constructor(space: SlotSpace, rules: GroupRules, agents: readonly AgentSnapshot[]) {
    const sorted = [...agents].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
    this.rules = rules;
    this.ids = sorted.map(({ id }) => id);
    this.addrs = sorted.map(({ addr }) => addr);
    this.architectures = sorted.map(({ architecture }) => architecture);
    this.architectureOf = Int32Array.from(this.architectures, (name) => {
      const index = this.#architectures.get(name) ?? this.#architectures.size;
      this.#architectures.set(name, index);
      return index;
    });
    this.sessions = Int32Array.from(sorted, ({ sessions }) => sessions);
    const columns = (of: (agent: AgentSnapshot) => AgentSnapshot['free']) =>
      space.names.map((name, slot) =>
        Float64Array.from(sorted, (agent) => space.down(slot, of(agent).get(name) ?? 0n)),
      );
    this.capacity = columns((agent) => agent.capacity);
    this.totals = Float64Array.from(this.capacity, (column) => column.reduce((a, b) => a + b, 0));
    this.free = columns((agent) => agent.free);
    this.freeKinds = Int32Array.from(sorted, (_, agent) => this.#countKinds(agent));
    const { lastAgent } = rules;
    const after = lastAgent === null ? 0 : this.ids.findIndex((id) => id > lastAgent);
    this.cursor = Math.max(0, after);
  }

  get size(): number {
    return this.ids.length;
  }

  /** -1 when no agent is of that architecture. */
  architectureIndex(name: string): number {
    return this.#architectures.get(name) ?? -1;
  }

  freeOf(slot: number, agent: number): number {
    return this.free[slot]?.[agent] ?? 0;
  }

  /** What is free on the agent when nothing is kept for anybody. */
  actualFreeOf(slot: number, agent: number): number {
    return this.#holds.get(agent)?.actual[slot] ?? this.freeOf(slot, agent);
  }

  /** What is kept free on the agent for sessions that wait for it. */
  heldOf(slot: number, agent: number): number {
    return this.#holds.get(agent)?.amounts[slot] ?? 0;
  }

  fits(agent: number, { slots, amounts }: Demand): boolean {
    for (let at = 0; at < slots.length; at += 1) {
      if (this.freeOf(slots[at] ?? 0, agent) < (amounts[at] ?? 0)) return false;
    }
    return true;
  }

  take(agent: number, demand: Demand): void {
    this.#move(agent, demand, -1);
  }

  giveBack(agent: number, demand: Demand): void {
    this.#move(agent, demand, 1);
  }

  /** Agents on which something is kept free. */
  get heldAgents(): readonly number[] {
    return [...this.#holds.keys()];
  }

  /** Keeps `demand` free on the agent, beside what is kept already. */
  hold(agent: number, demand: Demand): void {
    const slots = this.free.length;
    const hold = this.#holds.get(agent) ?? {
      amounts: new Float64Array(slots),
      actual: Float64Array.from(this.free, (column) => column[agent] ?? 0),
    };
    demand.slots.forEach((slot, at) => {
      hold.amounts[slot] = (hold.amounts[slot] ?? 0) + (demand.amounts[at] ?? 0);
    });
    this.#holds.set(agent, hold);
    for (let slot = 0; slot < slots; slot += 1) this.#refresh(agent, slot, hold);
    this.freeKinds[agent] = this.#countKinds(agent);
  }

  /** Runs `work` as if nothing were kept for anybody. What it takes is really taken. */
  withoutHolds<T>(work: () => T): T {
    const holds = [...this.#holds];
    this.#holds.clear();
    const show = (agent: number, values: (slot: number) => number) => {
      this.free.forEach((column, slot) => {
        column[agent] = values(slot);
      });
      this.freeKinds[agent] = this.#countKinds(agent);
    };
    for (const [agent, hold] of holds) show(agent, (slot) => hold.actual[slot] ?? 0);
    try {
      return work();
    } finally {
      for (const [agent, hold] of holds) {
        this.free.forEach((column, slot) => {
          hold.actual[slot] = column[agent] ?? 0;
        });
        this.#holds.set(agent, hold);
        show(agent, (slot) => Math.max(0, (hold.actual[slot] ?? 0) - (hold.amounts[slot] ?? 0)));
      }
    }
  }

  #refresh(agent: number, slot: number, { actual, amounts }: Hold): void {
    const column = this.free[slot];
    if (column) column[agent] = Math.max(0, (actual[slot] ?? 0) - (amounts[slot] ?? 0));
  }

  #move(agent: number, { slots, amounts }: Demand, sign: 1 | -1): void {
    const hold = this.#holds.get(agent);
    for (let at = 0; at < slots.length; at += 1) {
      const slot = slots[at] ?? 0;
      const column = this.free[slot];
      if (!column) continue;
      const amount = sign * (amounts[at] ?? 0);
      const before = column[agent] ?? 0;
      if (hold) {
        hold.actual[slot] = (hold.actual[slot] ?? 0) + amount;
        this.#refresh(agent, slot, hold);
      } else {
        column[agent] = before + amount;
      }
      const after = column[agent] ?? 0;
      if (before > 0 !== after > 0) {
        this.freeKinds[agent] = (this.freeKinds[agent] ?? 0) + (after > 0 ? 1 : -1);
      }
    }
  }

  #countKinds(agent: number): number {
    let kinds = 0;
    for (const column of this.free) if ((column[agent] ?? 0) > 0) kinds += 1;
    return kinds;
  }
}
