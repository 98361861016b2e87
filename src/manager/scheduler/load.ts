/** Takes the snapshot that a decision is made from. */
import * as v from 'valibot';
import { errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { type ImageLocations, loadImageLocations } from '../image/locations.ts';
import { listAllResourceGroups, type ResourceGroup } from '../resource-group/service.ts';
import { type PendingDetails, selectPendingDetails, selectQueue } from './pending-store.ts';
import { selectPlaced } from './preemption-store.ts';
import {
  defaultGroupRules,
  type GroupRules,
  imageKey,
  type PendingSession,
  type Snapshot,
} from './snapshot.ts';
import { selectAgents, selectEnding, selectLimits, selectOccupancy } from './store.ts';

export type SnapshotContext = Pick<
  ManagerContext,
  'sql' | 'keyed' | 'clock' | 'config' | 'settings' | 'live' | 'log'
>;

/** Most sessions with kernels on one agent, in the configuration store; absent: no limit. */
const MAX_SESSIONS_KEY = 'config/agent/max-container-count';

const sequencer = v.fallback(v.picklist(['fifo', 'lifo', 'drf', 'fair-share']), 'fifo');
const seconds = v.pipe(v.number(), v.minValue(0));
/** Of `scheduler_opts.config`; seconds for which smaller sessions may pass one that waits for room. */
const configured = v.fallback(v.object({ reserve_after: v.optional(seconds) }), {});

const maxSessions = v.fallback(
  v.nullable(v.pipe(v.string(), v.trim(), v.regex(/^\d+$/), v.transform(Number))),
  null,
);

function rulesOf(group: ResourceGroup): GroupRules {
  const { reserve_after } = v.parse(configured, group.schedulerOptions.config);
  return {
    // Groups are checked when they are written; rows of old databases may hold anything.
    sequencer: v.parse(sequencer, group.scheduler),
    strategy: group.schedulerOptions.agent_selection_strategy,
    lastAgent: group.roundRobinAgent,
    reserveAfterMs:
      reserve_after === undefined ? defaultGroupRules.reserveAfterMs : reserve_after * 1000,
    preemption: group.schedulerOptions.preemption,
  };
}

/** Which agents have the local images that are waited for. Nothing is known while the store is away. */
async function locateImages(
  ctx: SnapshotContext,
  pending: readonly PendingSession[],
): Promise<Snapshot['imageAgents']> {
  const wanted = new Map<string, Parameters<ImageLocations>[0]>();
  for (const { localImage, architecture } of pending.flatMap(({ kernels }) => kernels)) {
    if (!localImage) continue;
    wanted.set(imageKey(localImage, architecture), { canonical: localImage, architecture });
  }
  if (wanted.size === 0) return new Map();
  try {
    const locate = await loadImageLocations(ctx.live, ctx.sql);
    return new Map([...wanted].map(([key, image]) => [key, locate(image)]));
  } catch (error) {
    ctx.log.warn('cannot learn which agents have local images; any may be chosen', {
      error: errorMessage(error),
    });
    return new Map();
  }
}

/** Whether somebody has waited so long that agents may be kept free, which needs to know ends. */
function mayReserve(
  pending: readonly PendingSession[],
  groups: Snapshot['groups'],
  now: Date,
): boolean {
  return pending.some(({ scalingGroup, createdAt }) => {
    const { reserveAfterMs } = groups.get(scalingGroup) ?? defaultGroupRules;
    return now.getTime() - createdAt.getTime() >= reserveAfterMs;
  });
}

/** By resource group: the highest priority that waits, where it may make others go. */
function preemptingGroups(
  pending: readonly PendingSession[],
  groups: Snapshot['groups'],
  inAnyCase: boolean,
): Map<string, number> {
  const out = new Map<string, number>();
  for (const { scalingGroup, priority, sessionType } of pending) {
    const { preemption } = groups.get(scalingGroup) ?? defaultGroupRules;
    if (sessionType === 'system' || !(preemption.enabled || inAnyCase)) continue;
    out.set(scalingGroup, Math.max(priority, out.get(scalingGroup) ?? priority));
  }
  return out;
}

/**
 * Everything that a plan for the given sessions depends on, at this moment.
 * @param withEnds whether known ends of running sessions, and who could be preempted, are wanted in
 *   any case.
 */
export async function takeSnapshot(
  ctx: SnapshotContext,
  pending: readonly PendingSession[],
  { withEnds = false } = {},
): Promise<Snapshot> {
  const now = ctx.clock.now();
  const [agents, occupancy, limits, list, limit, imageAgents] = await Promise.all([
    selectAgents(ctx.keyed),
    selectOccupancy(ctx.keyed),
    selectLimits(ctx.sql, pending),
    listAllResourceGroups(ctx.sql),
    ctx.config.get(MAX_SESSIONS_KEY),
    locateImages(ctx, pending),
  ]);
  const groups = new Map(list.map((group) => [group.name, rulesOf(group)]));
  const preempting = preemptingGroups(pending, groups, withEnds);
  const [ending, placed] = await Promise.all([
    withEnds || mayReserve(pending, groups, now) ? selectEnding(ctx.sql, now) : [],
    preempting.size > 0 ? selectPlaced(ctx.sql, preempting) : [],
  ]);
  return {
    now,
    groups,
    slotPriority: ctx.settings.agentSelectionResourcePriority,
    maxSessionsPerAgent: v.parse(maxSessions, limit ?? null),
    ...{ agents, imageAgents, pending, ending, placed, occupancy },
    ...limits,
  };
}

/**
 * The sessions that wait to be placed. It remembers what does not change about them, so that a long
 * queue is not read anew whenever something happens.
 */
export class PendingQueue {
  #known: ReadonlyMap<string, PendingDetails> = new Map();

  async load({ sql, keyed }: Pick<SnapshotContext, 'sql' | 'keyed'>): Promise<PendingSession[]> {
    const queue = await selectQueue(sql);
    const unknown = queue.flatMap(({ id }) => (this.#known.has(id) ? [] : id));
    const read = unknown.length > 0 ? await selectPendingDetails(keyed, unknown) : [];
    const fresh = new Map(read.map((details) => [details.id, details]));
    const known = new Map<string, PendingDetails>();
    const pending = queue.flatMap((entry): PendingSession[] => {
      const details = this.#known.get(entry.id) ?? fresh.get(entry.id);
      if (!details) return [];
      known.set(entry.id, details);
      return [{ ...details, ...entry }];
    });
    this.#known = known;
    return pending;
  }

  /** Reads everything again the next time. */
  forget(): void {
    this.#known = new Map();
  }
}
