/** Agents as the GraphQL lists read them. */
import type { Fragment, Sql } from 'postgres';
import * as v from 'valibot';
import { type FieldTable, filterToSql, orderToSql } from '../graphql/minilang-store.ts';
import type { Page } from '../graphql/scope.ts';

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

interface AgentSelection {
  readonly scalingGroup: string | null;
  /** null: any status. */
  readonly statuses: readonly string[] | null;
}

export interface AgentListQuery extends Page, AgentSelection {
  readonly filter: string | null | undefined;
  readonly order: string | null | undefined;
}

const selected = (sql: Sql, { scalingGroup, statuses }: AgentSelection): Fragment => sql`
  (${scalingGroup}::text is null or a.scaling_group = ${scalingGroup})
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
  const { addr: _, ...sortable } = Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, field.column]),
  );
  const order = orderToSql(
    sql,
    query.order,
    {
      ...sortable,
      status: sql`a.status`,
      available_slots: sql`a.available_slots`,
      occupied_slots: occupiedSlots(sql),
    },
    { fallback: sql`a.status, a.scaling_group`, tieBreak: sql`a.id` },
  );
  const [counted] = await sql`select count(*)::int as total from agents a where ${where}`;
  const { total } = v.parse(v.object({ total: v.number() }), counted);
  const rows = await sql`select ${agentColumns(sql)} from agents a where ${where}
    order by ${order} limit ${query.limit} offset ${query.offset}`;
  return { rows: parseAgents(rows), total };
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

/** The agent with this id, or null. */
export async function findAgentRow(sql: Sql, id: string): Promise<AgentListRow | null> {
  return (
    parseAgents(await sql`select ${agentColumns(sql)} from agents a where a.id = ${id}`)[0] ?? null
  );
}
