/** What must hold after every step of a simulation. Each failed rule is an Error that names it. */
import { isTerminal } from '../../manager/session/status.ts';
import type { FakeAgent } from './agent.ts';
import type { Tables } from './tables.ts';

/** The books of agents say what kernels hold; nothing is oversold or held by ended kernels. */
function checkBooks(tables: Tables): void {
  const held = new Map<string, { reserved: bigint; used: bigint }>();
  for (const { id, status, agentId, allocations } of tables.kernels.values()) {
    if (isTerminal(status)) {
      if (allocations.length > 0) throw new Error(`${id} is ${status} and holds slots`);
      continue;
    }
    if ((status === 'PENDING') !== (agentId === null))
      throw new Error(`${id} is ${status} on ${agentId}`);
    for (const { slot, requested, used } of agentId === null ? [] : allocations) {
      const sum = held.get(`${agentId} ${slot}`) ?? { reserved: 0n, used: 0n };
      if (used === null) sum.reserved += requested;
      else sum.used += used;
      held.set(`${agentId} ${slot}`, sum);
    }
  }
  for (const { id, books } of tables.agents.values()) {
    for (const [slot, { capacity, reserved, used }] of books) {
      const sum = held.get(`${id} ${slot}`) ?? { reserved: 0n, used: 0n };
      if (reserved + used > capacity) throw new Error(`${id} is oversold of ${slot}`);
      if (reserved !== sum.reserved || used !== sum.used) {
        throw new Error(
          `${id} ${slot}: ${reserved}+${used} in the books, ${sum.reserved}+${sum.used} held`,
        );
      }
    }
  }
}

function checkSessions(tables: Tables): void {
  for (const { id, status, statusInfo, kernels } of tables.sessions.values()) {
    if (isTerminal(status) !== kernels.every((kernel) => isTerminal(kernel.status))) {
      throw new Error(
        `session ${id} is ${status}, its kernels ${kernels.map((kernel) => kernel.status)}`,
      );
    }
    if (isTerminal(status) && !statusInfo)
      throw new Error(`session ${id} is ${status} without a reason`);
  }
}

/**
 * A kernel is on one agent. Another that fell silent may still hold it, but an agent that was
 * answered since then has been told to end it.
 */
function checkPlaces(tables: Tables, fake: FakeAgent, nowMs: number): void {
  const seen = new Set<string>();
  for (const { spec } of fake.containers) {
    if (seen.has(spec.kernelId))
      throw new Error(`${fake.id} has two containers of ${spec.kernelId}`);
    seen.add(spec.kernelId);
  }
  const strays = new Set<string>();
  for (const { kernelId, wish } of fake.registry.all()) {
    const row = tables.kernels.get(kernelId);
    if (wish.desired === 'terminated' || (row?.agentId === fake.id && !isTerminal(row.status)))
      continue;
    strays.add(kernelId);
    const sinceMs = fake.strays.get(kernelId) ?? nowMs;
    fake.strays.set(kernelId, sinceMs);
    if (fake.isUp && fake.answeredMs > sinceMs) {
      throw new Error(`${fake.id} holds ${kernelId}, which is ${row?.status} on ${row?.agentId}`);
    }
  }
  for (const id of fake.strays.keys()) if (!strays.has(id)) fake.strays.delete(id);
}

export function checkInvariants(tables: Tables, agents: Iterable<FakeAgent>, nowMs: number): void {
  checkBooks(tables);
  checkSessions(tables);
  for (const fake of agents) checkPlaces(tables, fake, nowMs);
}
