/** What was used: by month in bins, and by project in a period. */
import { BackendError } from '../../common/errors.ts';
import { loadKernelStatistics } from '../agent/statistics.ts';
import type { ManagerContext } from '../context.ts';
import { BIN_SEC, BINS, type Bin, MonthBins } from './month.ts';
import { type KernelWithUsage, projectUsage, usageTree, withUsage } from './period.ts';
import * as store from './store.ts';

const DAY_MS = 86_400_000;
/** Longest period that can be asked for. */
const MAX_DAYS = 100;
/** Most kernels of one report. */
const MAX_KERNELS = 100_000;

/** The last 30 days; of one user, or of everybody when `userId` is null. */
export async function monthStatistics(ctx: ManagerContext, userId: string | null): Promise<Bin[]> {
  const { sql, live, clock } = ctx;
  const now = clock.now();
  const bins = new MonthBins(now);
  const since = new Date(now.getTime() - BINS * BIN_SEC * 1000);
  for await (const rows of store.readLived(sql, since, userId)) {
    const unknown = rows.filter((row) => row.last_stat === null).map(({ id }) => id);
    const measured = await loadKernelStatistics(live, unknown);
    const byId = new Map(unknown.map((id, index) => [id, measured[index] ?? null]));
    for (const row of rows) {
      bins.add({
        createdAt: row.created_at,
        terminatedAt: row.terminated_at,
        occupiedSlots: row.occupied_slots,
        lastStat: row.last_stat ?? byId.get(row.id) ?? null,
      });
    }
  }
  return bins.toBins();
}

async function kernelsOf(
  { sql, live }: ManagerContext,
  period: { readonly start: Date; readonly end: Date },
  projectIds: readonly string[] | null,
): Promise<KernelWithUsage[]> {
  const rows = await store.selectUsed(sql, period, projectIds, MAX_KERNELS + 1);
  if (rows.length > MAX_KERNELS) {
    throw new BackendError(
      'InvalidAPIParameters',
      `More than ${MAX_KERNELS} kernels ran then. Ask for fewer projects or a shorter period.`,
    );
  }
  const measured = await loadKernelStatistics(
    live,
    rows.map(({ id }) => id),
  );
  return rows.map((row, index) => withUsage(row, measured[index] ?? null));
}

const wrongDate = () => new BackendError('InvalidAPIParameters', 'Invalid date values');

/** Midnight (UTC) of `YYYYMMDD`. @throws BackendError InvalidAPIParameters when there is no such day. */
function dayOf(text: string): Date {
  const match = /^(\d{4})(\d\d)(\d\d)$/.exec(text);
  if (match === null) throw wrongDate();
  const [, year, month, day] = match;
  // Nothing ran before, and the end of the last year has no spelling.
  if (Number(year) < 1970 || Number(year) > 9998) throw wrongDate();
  const date = new Date(`${year}-${month}-${day}T00:00:00Z`);
  // A day such as 0230 becomes another one, or none.
  if (Number.isNaN(date.getTime()) || date.getUTCDate() !== Number(day)) throw wrongDate();
  return date;
}

/**
 * What projects used in a month: `YYYYMM`, UTC.
 * @throws BackendError InvalidAPIParameters for no month or too many kernels.
 */
export async function usageOfMonth(
  ctx: ManagerContext,
  month: string,
  projectIds: readonly string[] | null,
) {
  const start = dayOf(`${month}01`);
  const end = new Date(start);
  end.setUTCMonth(end.getUTCMonth() + 1);
  return projectUsage(await kernelsOf(ctx, { start, end }, projectIds));
}

/**
 * What projects used from the first to the last day (`YYYYMMDD`, UTC), both included.
 * @throws BackendError InvalidAPIParameters for no days, more than a hundred or too many kernels.
 */
export async function usageOfPeriod(
  ctx: ManagerContext,
  days: { readonly first: string; readonly last: string },
  projectId: string | null,
) {
  const start = dayOf(days.first);
  const end = new Date(dayOf(days.last).getTime() + DAY_MS);
  if (end <= start) {
    throw new BackendError('InvalidAPIParameters', 'end_date must be later than start_date.');
  }
  if (end.getTime() - start.getTime() > MAX_DAYS * DAY_MS) {
    throw new BackendError('InvalidAPIParameters', `Cannot query more than ${MAX_DAYS} days`);
  }
  return usageTree(await kernelsOf(ctx, { start, end }, projectId === null ? null : [projectId]));
}
