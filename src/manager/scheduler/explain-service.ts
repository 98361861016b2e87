/** Explains waiting sessions, and requests that nobody has made yet, from the database as it is. */
import type { Slots } from '../../common/slots.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import { leastOf, type NewSession } from '../session/service.ts';
import { type Explanation, explain } from './explain.ts';
import { PendingQueue, takeSnapshot } from './load.ts';
import { selectImageLimits, selectPendingDependencies } from './pending-store.ts';
import type { PendingSession } from './snapshot.ts';

/**
 * Why each of the sessions waits; those that do not wait are left out.
 * @param ids sessions that the caller may see: nothing is checked here.
 */
export async function explainSessions(
  ctx: ManagerContext,
  ids: readonly string[],
): Promise<Map<string, Explanation>> {
  const [pending, limits] = await Promise.all([
    new PendingQueue().load(ctx),
    selectImageLimits(ctx.sql, ids),
  ]);
  const snapshot = await takeSnapshot(ctx, pending, { withEnds: true });
  const minimums = new Map<string, Slots>();
  for (const { sessionId, resources, shmemBytes } of limits) {
    const least = new Map(minimums.get(sessionId));
    for (const [slot, amount] of leastOf({ resources }, shmemBytes)) {
      if (amount > (least.get(slot) ?? 0n)) least.set(slot, amount);
    }
    minimums.set(sessionId, least);
  }
  return explain(snapshot, new Set(ids), minimums);
}

async function asPending(ctx: ManagerContext, item: NewSession): Promise<PendingSession> {
  return {
    id: item.id,
    accessKey: item.accessKey,
    userId: item.userId,
    projectId: item.groupId,
    domainName: item.domainName,
    scalingGroup: item.scalingGroup,
    sessionType: item.type,
    clusterMode: item.clusterMode,
    priority: item.priority,
    createdAt: ctx.clock.now(),
    startsAt: item.startsAt,
    durationSec: item.type === 'batch' ? item.batchTimeoutSec : null,
    kernels: item.kernels.map(({ id, image, slots }) => ({
      ...{ id, architecture: image.architecture, requested: slots },
      localImage: image.isLocal ? image.canonical : null,
    })),
    designatedAgents: item.designatedAgents,
    failedAgents: [],
    clearedAgents: [],
    ...(await selectPendingDependencies(ctx.sql, item)),
  };
}

/** What would become of a session that is not made. Writes nothing. */
export async function explainRequest(
  ctx: ManagerContext,
  item: NewSession,
): Promise<Explanation | null> {
  const [waiting, asked] = await Promise.all([new PendingQueue().load(ctx), asPending(ctx, item)]);
  const snapshot = await takeSnapshot(ctx, [...waiting, asked], { withEnds: true });
  const least = new Map<string, bigint>();
  for (const { least: needed } of item.kernels) {
    for (const [slot, amount] of needed) {
      if (amount > (least.get(slot) ?? 0n)) least.set(slot, amount);
    }
  }
  return explain(snapshot, new Set([item.id]), new Map([[item.id, least]])).get(item.id) ?? null;
}

/** Whether `caller` may not learn which agents there are. */
export const hidesAgents = (ctx: ManagerContext, caller: Caller): boolean =>
  ctx.settings.hideAgents && !caller.isSuperadmin;
