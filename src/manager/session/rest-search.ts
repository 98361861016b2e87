/** `POST /compute-sessions/search`: sessions with their containers, as the Python SDK lists them, for superadmins. */
import * as v from 'valibot';
import { isoTimeOrNull } from '../../common/time.ts';
import { loadKernelStatistics } from '../agent/statistics.ts';
import type { ManagerContext } from '../context.ts';
import type { Route } from '../http/route.ts';
import { ordered, searchPage, searchRoute, textFilter, toFilter } from '../http/search.ts';
import { sessionStatus } from './status.ts';
import {
  type KernelV2Row,
  type SessionV2Row,
  selectKernelsV2OfSessions,
  selectSessionsV2,
} from './v2-store.ts';

const body = v.object({
  filter: v.nullish(
    v.object({
      status: v.nullish(v.array(sessionStatus)),
      name: textFilter,
      access_key: textFilter,
      domain_name: textFilter,
      scaling_group_name: textFilter,
    }),
  ),
  order: ordered(['created_at', 'id'], 'desc'),
  ...searchPage,
});
type Filter = v.InferOutput<typeof body>['filter'];

/** No statuses, and none named, are any. */
const toQueryFilter = (filter: Filter) => ({
  ...(filter?.status?.length ? { wholeStatus: { in: filter.status } } : {}),
  name: toFilter(filter?.name),
  accessKey: toFilter(filter?.access_key),
  domainName: toFilter(filter?.domain_name),
  resourceGroup: toFilter(filter?.scaling_group_name),
});

const toContainer = (kernel: KernelV2Row, usage: object | null) => ({
  id: kernel.id,
  agent_id: kernel.agent,
  status: kernel.status,
  resource_usage: usage ?? kernel.last_stat,
});

const toItem = (session: SessionV2Row, containers: readonly object[]) => ({
  id: session.id,
  name: session.name,
  type: session.session_type.toLowerCase(),
  status: session.status,
  image: session.images,
  scaling_group: session.scaling_group_name,
  resource_slots: session.requested_slots,
  occupied_slots: session.occupying_slots,
  created_at: isoTimeOrNull(session.created_at),
  terminated_at: isoTimeOrNull(session.terminated_at),
  starts_at: isoTimeOrNull(session.starts_at),
  containers,
});

/** The sessions as clients are told of them; two reads, however many there are. */
async function toItems(ctx: ManagerContext, sessions: readonly SessionV2Row[]) {
  const kernels = await selectKernelsV2OfSessions(
    ctx.sql,
    sessions.map(({ id }) => id),
  );
  const ids = [...kernels.values()].flat().map(({ id }) => id);
  const usages = await loadKernelStatistics(ctx.live, ids);
  const usageOf = new Map(ids.map((id, at) => [id, usages[at] ?? null]));
  return sessions.map((session) => {
    const containers = kernels.get(session.id) ?? [];
    return toItem(
      session,
      containers.map((kernel) => toContainer(kernel, usageOf.get(kernel.id) ?? null)),
    );
  });
}

export const sessionSearchRoutes = (ctx: ManagerContext): Route[] => [
  searchRoute(
    {
      path: '/compute-sessions/search',
      auth: 'superadmin',
      summary: 'List sessions with their containers.',
      body,
    },
    async ({ filter }, orderBy, wish) => {
      const query = { filter: toQueryFilter(filter), orderBy };
      const { rows, total } = await selectSessionsV2(ctx.sql, { kind: 'all' }, query, wish);
      return { items: await toItems(ctx, rows), total };
    },
  ),
];
