/** Agents as the GraphQL lists read them. */
import type { Fragment, Sql } from 'postgres';
import * as v from 'valibot';
import { slotMapColumn } from '../db/json.ts';
import {
  type FieldTable,
  filterToSql,
  type ListQuery,
  type OrderTable,
  orderTable,
  orderTerms,
  orderToSql,
} from '../graphql/minilang-store.ts';
import { type Listed, mapListed, type PageWish } from '../graphql/page.ts';
import { type ListSource, selectListPage } from '../graphql/page-store.ts';
import type { Scope } from '../graphql/scalars.ts';
import type { Page } from '../graphql/scope.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';

const slots = v.record(v.string(), v.union([v.string(), v.number()]));

const agentRow = v.object({
  id: v.string(),
  status: v.string(),
  status_changed: v.nullable(v.date()),
  region: v.string(),
  scaling_group: v.string(),
  schedulable: v.boolean(),
  available_slots: slots,
  /** Reserved and used amounts together. */
  occupied_slots: slots,
  addr: v.string(),
  architecture: v.string(),
  first_contact: v.nullable(v.date()),
  lost_at: v.nullable(v.date()),
  version: v.string(),
  compute_plugins: v.record(v.string(), v.unknown()),
  auto_terminate_abusing_kernel: v.boolean(),
});
export type AgentListRow = v.InferOutput<typeof agentRow>;

/** What sessions hold of an agent, counted where the scheduler counts it. */
const occupiedSlots = (sql: Sql): Fragment => sql`
  coalesce((select jsonb_object_agg(r.slot_name, trim_scale(r.reserved + r.used)::text)
    from agent_resources r where r.agent_id = a.id), '{}')`;

const agentColumns = (sql: Sql): Fragment => sql`
  a.id, a.status::text as status, a.status_changed, a.region, a.scaling_group, a.schedulable,
  a.available_slots, ${occupiedSlots(sql)} as occupied_slots, a.addr, a.architecture,
  a.first_contact, a.lost_at, a.version, a.compute_plugins, a.auto_terminate_abusing_kernel`;

function agentFilterFields(sql: Sql): FieldTable {
  const text = (column: Fragment) => ({ kind: 'text', column }) as const;
  const time = (column: Fragment) => ({ kind: 'time', column }) as const;
  return {
    id: text(sql`a.id`),
    status: { kind: 'enum', column: sql`a.status::text` },
    status_changed: time(sql`a.status_changed`),
    region: text(sql`a.region`),
    scaling_group: text(sql`a.scaling_group`),
    schedulable: { kind: 'boolean', column: sql`a.schedulable` },
    addr: text(sql`a.addr`),
    first_contact: time(sql`a.first_contact`),
    lost_at: time(sql`a.lost_at`),
    version: text(sql`a.version`),
  };
}

/** What a list of agents may be sorted by. */
function agentOrder(sql: Sql): OrderTable {
  const { addr: _, ...sortable } = orderTable(agentFilterFields(sql));
  return {
    ...sortable,
    status: sql`a.status`,
    available_slots: sql`a.available_slots`,
    occupied_slots: occupiedSlots(sql),
  };
}

interface AgentSelection {
  /** Only agents of these resource groups are seen; null: of any. */
  readonly visibleGroups: readonly string[] | null;
  readonly scalingGroup: string | null;
  /** null: any status. */
  readonly statuses: readonly string[] | null;
}

export interface AgentListQuery extends Page, AgentSelection {
  readonly filter: string | null | undefined;
  readonly order: string | null | undefined;
}

const inGroups = (sql: Sql, groups: readonly string[] | null): Fragment =>
  groups === null ? sql`true` : sql`a.scaling_group = any(${[...groups]}::text[])`;

const selected = (
  sql: Sql,
  { visibleGroups, scalingGroup, statuses }: AgentSelection,
): Fragment => sql`
  ${inGroups(sql, visibleGroups)} and (${scalingGroup}::text is null or a.scaling_group = ${scalingGroup})
  and (${statuses}::text[] is null or a.status::text = any(${statuses}::text[]))`;

const parseAgents = (rows: readonly unknown[]): AgentListRow[] =>
  v.parse(v.array(agentRow), [...rows]);

/**
 * One page of agents and the number of all that match.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export async function listAgents(
  sql: Sql,
  query: AgentListQuery,
): Promise<{ rows: AgentListRow[]; total: number }> {
  const fields = agentFilterFields(sql);
  const where = sql`${selected(sql, query)} and ${filterToSql(sql, query.filter, fields)}`;
  const order = orderToSql(sql, query.order, agentOrder(sql), {
    fallback: sql`a.status, a.scaling_group`,
    tieBreak: sql`a.id`,
  });
  const [counted] = await sql`select count(*)::int as total from agents a where ${where}`;
  const { total } = v.parse(v.object({ total: v.number() }), counted);
  const rows = await sql`select ${agentColumns(sql)} from agents a where ${where}
    order by ${order} limit ${query.limit} offset ${query.offset}`;
  return { rows: parseAgents(rows), total };
}

function within(sql: Sql, scope: Scope): Fragment {
  switch (scope.kind) {
    case 'system':
      return sql`true`;
    case 'domain':
      return sql`a.scaling_group in (
        select d.scaling_group from sgroups_for_domains d where d.domain = ${scope.domainName})`;
    case 'project':
      return sql`a.scaling_group in (
        select g.scaling_group from sgroups_for_groups g
         where g."group" = ${scope.projectId}::uuid)`;
    case 'user':
      return sql`a.scaling_group in (
        select k.scaling_group from sgroups_for_keypairs k join keypairs p using (access_key)
         where p."user" = ${scope.userId}::uuid)`;
  }
}

/**
 * One page of all agents that serve a part of the cluster, by id unless ordered.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor.
 */
export async function selectAgentNodes(
  sql: Sql,
  query: ListQuery & { readonly within: Scope },
  wish: PageWish,
): Promise<Listed<AgentListRow>> {
  const source: ListSource = {
    columns: agentColumns(sql),
    from: sql`agents a`,
    scope: within(sql, query.within),
    filter: filterToSql(sql, query.filter, agentFilterFields(sql)),
    order: orderTerms(query.order, agentOrder(sql)),
    key: sql`a.id`,
    keyType: 'text',
  };
  const parse = (row: unknown) => v.parse(agentRow, row);
  return mapListed(await selectListPage<object>(sql, source, wish), parse);
}

const searched: V2ListShape = {
  columns: agentColumns,
  from: (sql) => sql`agents a`,
  fields: (sql) => ({
    id: { kind: 'text', column: sql`a.id` },
    status: { kind: 'enum', column: sql`a.status::text` },
    schedulable: { kind: 'boolean', column: sql`a.schedulable` },
    scalingGroup: { kind: 'text', column: sql`a.scaling_group` },
    // The older HTTP search's name of it.
    resourceGroup: { kind: 'text', column: sql`a.scaling_group` },
  }),
  orders: (sql) => ({
    ID: sql`a.id`,
    STATUS: sql`a.status`,
    FIRST_CONTACT: sql`a.first_contact`,
    SCALING_GROUP: sql`a.scaling_group`,
    SCHEDULABLE: sql`a.schedulable`,
    RESOURCE_GROUP: sql`a.scaling_group`,
  }),
  newest: (sql) => sql`a.first_contact`,
  key: (sql) => sql`a.id`,
  keyType: 'text',
};

/**
 * One page of all agents, for those who may see all of them; newest first unless ordered.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large.
 */
export async function searchAgents(
  sql: Sql,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<AgentListRow>> {
  const source = v2Source(sql, searched, query, wish, sql`true`);
  const parse = (row: unknown) => v.parse(agentRow, row);
  return mapListed(await selectListPage<object>(sql, source, wish), parse);
}

const totalsRow = v.object({ capacity: slotMapColumn, used: slotMapColumn });

/** What all agents that take sessions have and how much of it is held or reserved. */
export async function selectTotals(sql: Sql): Promise<v.InferOutput<typeof totalsRow>> {
  const total = (column: Fragment) =>
    sql`coalesce(jsonb_object_agg(slot_name, trim_scale(${column})::text), '{}')`;
  const [row] = await sql`
    select ${total(sql`capacity`)} as capacity, ${total(sql`used`)} as used from (
      select r.slot_name, sum(r.capacity) as capacity, sum(r.reserved + r.used) as used
      from agent_resources r join agents a on a.id = r.agent_id
      where a.status = 'ALIVE' and a.schedulable group by r.slot_name) totals`;
  return v.parse(totalsRow, row);
}

/** The agents of a selection; at most `limit`. */
export async function selectAgents(
  sql: Sql,
  selection: AgentSelection,
  limit: number,
): Promise<AgentListRow[]> {
  return parseAgents(
    await sql`select ${agentColumns(sql)} from agents a where ${selected(sql, selection)}
      order by a.status, a.scaling_group, a.id limit ${limit}`,
  );
}

/** The agent with this id, or null. @param visibleGroups as of a selection. */
export async function findAgentRow(
  sql: Sql,
  id: string,
  visibleGroups: readonly string[] | null = null,
): Promise<AgentListRow | null> {
  const rows = await sql`select ${agentColumns(sql)} from agents a
    where a.id = ${id} and ${inGroups(sql, visibleGroups)}`;
  return parseAgents(rows)[0] ?? null;
}

const contactRow = v.object({ id: v.string(), addr: v.string(), publicKey: v.string() });

/** Where the agents of these that are alive can be called. */
export async function selectLiveContacts(
  sql: Sql,
  ids: readonly string[],
): Promise<v.InferOutput<typeof contactRow>[]> {
  const rows = await sql`
    select id, addr, coalesce(identity_key, '') as "publicKey" from agents
    where id = any(${[...ids]}::text[]) and status = 'ALIVE'`;
  return v.parse(v.array(contactRow), [...rows]);
}

const holdingRow = v.object({
  agent: v.string(),
  devices: v.record(v.string(), v.array(v.looseObject({ device_id: v.string() }))),
  held: slots,
});
export type DeviceHolding = v.InferOutput<typeof holdingRow>;

/** Devices that kernels on these agents were given, and how much of each slot. */
export async function selectDeviceHoldings(
  sql: Sql,
  agentIds: readonly string[],
): Promise<DeviceHolding[]> {
  const rows = await sql`
    select agent, attached_devices as devices, occupied_slots as held from kernels
    where agent = any(${[...agentIds]}::text[])
      and status not in ('PENDING', 'TERMINATED', 'CANCELLED', 'ERROR')
      and jsonb_typeof(attached_devices) = 'object'`;
  return v.parse(v.array(holdingRow), [...rows]);
}
