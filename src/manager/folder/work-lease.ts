/**
 * Says in the live store that a manager looks after work on a folder: when it dies the lease is gone
 * within seconds, and the leader takes the work up.
 */
import { errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';

type LeaseContext = Pick<ManagerContext, 'live' | 'clock' | 'log'>;

/** How long a lease outlives its manager. Milliseconds. */
const LEASE_MS = 10_000;
const BEAT_MS = 3_000;

/** Ids are written with and without dashes. */
const keyOf = (folderId: string): string => `folder-work/${folderId.replaceAll('-', '')}`;

/** Without a live store the work goes on all the same; it is then taken up later, should this end. */
async function renew({ live, log }: LeaseContext, folderId: string): Promise<void> {
  try {
    await live.set(keyOf(folderId), '1', { ttlMs: LEASE_MS });
  } catch (error) {
    log.warn('cannot tell that work on a folder is looked after', { error: errorMessage(error) });
  }
}

async function keep(ctx: LeaseContext, folderId: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await renew(ctx, folderId);
    await ctx.clock.sleep(BEAT_MS, signal).catch(() => {
      // The work has ended.
    });
  }
}

/** Holds the lease while `work` runs. */
export async function underLease<T>(
  ctx: LeaseContext,
  folderId: string,
  work: () => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  await renew(ctx, folderId);
  const kept = keep(ctx, folderId, ended.signal);
  try {
    return await work();
  } finally {
    ended.abort();
    await kept;
    await ctx.live.delete(keyOf(folderId)).catch((error: unknown) => {
      ctx.log.debug('a lease of work on a folder ends by itself', { error: errorMessage(error) });
    });
  }
}

/** Those folders whose work no manager looks after; none while nobody can tell. */
export async function unattended(
  { live, log }: LeaseContext,
  folderIds: readonly string[],
): Promise<string[]> {
  if (folderIds.length === 0) return [];
  try {
    const leases = await live.getMany(folderIds.map(keyOf));
    return folderIds.filter((_, at) => leases[at] === null);
  } catch (error) {
    log.warn('cannot tell which work on folders is looked after', { error: errorMessage(error) });
    return [];
  }
}
