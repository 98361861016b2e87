/**
 * Moves kernels and sessions: the only way in which a status, an allocation or an agent's books
 * change. Requests that come together are written together, see `transition-queue.ts`.
 */
import type { AgentEvent } from '../../common/protocol/manager.ts';
import type { ManagerContext } from '../context.ts';
import type { Placement, Preemption } from './placement.ts';
import type { Report } from './reports.ts';
import type { SessionStatus } from './status.ts';
import type { SessionEnd } from './transition-queue.ts';

/** What a transition needs of the manager. */
export type TransitionContext = Pick<ManagerContext, 'transitions'>;

/**
 * Applies reports in order. Those that do not apply any more change nothing.
 * @returns the sessions that they changed, by id.
 */
export async function applyReports(
  { transitions }: TransitionContext,
  reports: readonly Report[],
): Promise<ReadonlyMap<string, SessionStatus>> {
  return (await transitions.submit({ kind: 'reports', reports })).moved;
}

/**
 * Ends sessions with all of their kernels. Those that have ended or are ending, and those that do not exist,
 * stay as they are.
 * @returns the sessions that were changed, by id.
 */
export async function endSessions(
  { transitions }: TransitionContext,
  sessionIds: readonly string[],
  end: SessionEnd,
): Promise<ReadonlyMap<string, SessionStatus>> {
  return (await transitions.submit({ kind: 'ends', sessionIds, end })).moved;
}

/**
 * Applies an agent's outbox entries, in order and once, however often they are delivered.
 * @returns the number up to which everything is applied; null for an unknown agent.
 */
export async function applyAgentEvents(
  { transitions }: TransitionContext,
  agentId: string,
  events: readonly AgentEvent[],
): Promise<number | null> {
  return (await transitions.submit({ kind: 'agent-events', agentId, events })).seq;
}

/** Counts an outbox entry as dealt with although it could not be applied. */
export async function skipAgentEvent(
  { transitions }: TransitionContext,
  agentId: string,
  seq: number,
): Promise<void> {
  await transitions.submit({ kind: 'skip', agentId, seq });
}

/**
 * Reserves slots and moves sessions to SCHEDULED. Placements that no longer hold are left out, and
 * the rest still goes through; overselling is impossible, however many schedulers there are.
 * @returns ids of the sessions that were placed.
 */
export async function applyPlacements(
  { transitions }: TransitionContext,
  placements: readonly Placement[],
): Promise<Set<string>> {
  const { moved } = await transitions.submit({ kind: 'placements', placements });
  return new Set(moved.keys());
}

/** Makes victims of preemption leave, for sessions that still wait; see `grantPreemptions`. */
export async function applyPreemptions(
  { transitions }: TransitionContext,
  preemptions: readonly Preemption[],
): Promise<void> {
  await transitions.submit({ kind: 'preemptions', preemptions });
}
