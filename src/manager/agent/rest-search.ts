/** `POST /agents/search`: the agents of the cluster as the Python SDK lists them, for superadmins. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { aliased } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { ordered, searchPage, searchRoute, textFilter, toFilter } from '../http/search.ts';
import { type AgentListRow, searchAgents } from './graphql-store.ts';

const status = v.picklist(['ALIVE', 'LOST', 'RESTARTING', 'TERMINATED']);
const statusFilter = v.nullish(
  aliased(
    { in: ['in_'] },
    v.object({
      equals: v.nullish(status),
      in: v.nullish(v.array(status)),
      not_equals: v.nullish(status),
      not_in: v.nullish(v.array(status)),
    }),
  ),
);
const body = v.object({
  filter: v.nullish(v.object({ status: statusFilter, resource_group: textFilter })),
  order: ordered(['id', 'status', 'resource_group']),
  ...searchPage,
});

/** An empty list compares nothing, as upstream's clients expect. */
function toStatusFilter(filter: v.InferOutput<typeof statusFilter>) {
  return {
    equals: filter?.equals,
    in: filter?.in?.length ? filter.in : null,
    notEquals: filter?.not_equals,
    notIn: filter?.not_in,
  };
}

/** Amounts as decimal text. */
const amounts = (slots: AgentListRow['available_slots']) =>
  Object.fromEntries(Object.entries(slots).map(([name, amount]) => [name, String(amount)]));

const toItem = (agent: AgentListRow) => ({
  id: agent.id,
  status: agent.status,
  region: agent.region,
  resource_group: agent.scaling_group,
  schedulable: agent.schedulable,
  available_slots: amounts(agent.available_slots),
  occupied_slots: amounts(agent.occupied_slots),
  addr: agent.addr,
  architecture: agent.architecture,
  version: agent.version,
});

export const agentSearchRoutes = (ctx: ManagerContext): Route[] => [
  searchRoute(
    { path: '/agents/search', auth: 'superadmin', summary: 'List agents.', body },
    async ({ filter }, orderBy, wish) => {
      const wanted = {
        status: toStatusFilter(filter?.status),
        resourceGroup: toFilter(filter?.resource_group),
      };
      const { rows, total } = await searchAgents(ctx.sql, { filter: wanted, orderBy }, wish);
      return { items: rows.map(toItem), total };
    },
  ),
];
