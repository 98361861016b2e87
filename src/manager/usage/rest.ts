/** `/resource/stats`, `/resource/usage` and `/resource/recalculate-usage`. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased, uuidText } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { recalculateAccounts } from '../session/accounting.ts';
import * as service from './service.ts';

/** Repeated, or with commas as upstream's command line sends them; none means all projects. */
const projectIds = v.pipe(
  v.array(v.string()),
  v.transform((texts) => texts.flatMap((text) => text.split(',')).filter((id) => id !== '')),
  v.array(uuidText),
  v.maxLength(1000),
  v.transform((ids) => (ids.length === 0 ? null : ids)),
);
const monthQuery = v.object({
  month: v.string(),
  group_ids: v.nullish(projectIds, null),
});
const periodQuery = aliased(
  { project_id: ['group_id'] },
  v.object({ start_date: v.string(), end_date: v.string(), project_id: v.nullish(uuidText, null) }),
);

const open = { gate: 'any', auth: 'superadmin' } as const;

export function usageRoutes(ctx: ManagerContext): Route[] {
  return [
    route(
      {
        method: 'GET',
        path: '/resource/stats/user/month',
        gate: 'any',
        auth: 'user',
        summary: "Tell what the caller's sessions had in the last 30 days.",
        takes: {},
      },
      async ({ caller }) => ({ json: await service.monthStatistics(ctx, caller.userId) }),
    ),
    route(
      {
        ...open,
        method: 'GET',
        path: '/resource/stats/admin/month',
        summary: 'Tell what all sessions had in the last 30 days.',
        takes: {},
      },
      async () => ({ json: await service.monthStatistics(ctx, null) }),
    ),
    route(
      {
        ...open,
        method: 'GET',
        path: '/resource/usage/month',
        summary: 'Tell what projects used in a month.',
        takes: { query: monthQuery },
        repeats: ['group_ids'],
      },
      async (_, { query: { month, group_ids: ids } }) => ({
        json: await service.usageOfMonth(ctx, month, ids),
      }),
    ),
    route(
      {
        ...open,
        method: 'GET',
        path: '/resource/usage/period',
        summary: 'Tell what projects used from one day to another.',
        takes: { query: periodQuery },
      },
      async (_, { query: { start_date: first, end_date: last, project_id: id } }) => ({
        json: await service.usageOfPeriod(ctx, { first, last }, id),
      }),
    ),
    route(
      {
        ...open,
        method: 'POST',
        path: '/resource/recalculate-usage',
        summary: 'Correct the books of what is reserved and used.',
        takes: {},
      },
      async (request) => {
        await recalculateAccounts({ ...request, ctx });
        return { json: {} };
      },
    ),
  ];
}
