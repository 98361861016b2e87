/** Sessions and their kernels as the GraphQL lists read them, within a caller's scope. */
import type { Fragment, Sql } from 'postgres';
import * as v from 'valibot';
import { slotMap } from '../../common/protocol/kernel.ts';
import type { ManagerContext } from '../context.ts';
import {
  type FieldTable,
  filterToSql,
  type OrderTable,
  orderTerms,
  orderToSql,
} from '../graphql/minilang-store.ts';
import type { Page, RowScope } from '../graphql/scope.ts';
import { mayBeOver, occupyingSessionStatuses } from './status.ts';
import { hasStatus, ofKeysUser, type SessionVisibility, visible } from './visibility-store.ts';

export const optionalJson = v.nullable(v.record(v.string(), v.unknown()));
export const slots = v.pipe(
  v.record(v.string(), v.nullable(v.union([v.string(), v.number()]))),
  v.transform((map) =>
    Object.fromEntries(
      Object.entries(map).flatMap(([name, amount]) =>
        amount === null ? [] : [[name, String(amount)]],
      ),
    ),
  ),
  slotMap,
);
export const isoTimes = v.nullable(v.record(v.string(), v.string()));

const sessionListRow = v.object({
  id: v.string(),
  name: v.nullable(v.string()),
  session_type: v.string(),
  priority: v.number(),
  images: v.nullable(v.array(v.string())),
  tag: v.nullable(v.string()),
  cluster_mode: v.string(),
  cluster_size: v.number(),
  domain_name: v.string(),
  group_id: v.string(),
  group_name: v.string(),
  user_id: v.string(),
  user_email: v.nullable(v.string()),
  full_name: v.nullable(v.string()),
  access_key: v.nullable(v.string()),
  status: v.string(),
  status_info: v.nullable(v.string()),
  status_data: optionalJson,
  status_history: isoTimes,
  created_at: v.nullable(v.date()),
  terminated_at: v.nullable(v.date()),
  starts_at: v.nullable(v.date()),
  startup_command: v.nullable(v.string()),
  result: v.string(),
  agent_ids: v.nullable(v.array(v.string())),
  scaling_group: v.nullable(v.string()),
  vfolder_mounts: v.nullable(v.array(v.looseObject({ name: v.string() }))),
  occupying_slots: slots,
  requested_slots: slots,
  num_queries: v.nullable(v.pipe(v.union([v.number(), v.string()]), v.transform(Number))),
  main_kernel_id: v.nullable(v.string()),
  main_kernel_role: v.nullable(v.string()),
  architecture: v.nullable(v.string()),
  registry: v.nullable(v.string()),
  service_ports: v.nullable(v.array(v.unknown())),
  /** cluster hostname → options of its kernel. */
  resource_opts: optionalJson,
});
export type SessionListRow = v.InferOutput<typeof sessionListRow>;

const containerRow = v.object({
  id: v.string(),
  session_id: v.string(),
  cluster_role: v.string(),
  cluster_idx: v.number(),
  local_rank: v.number(),
  cluster_hostname: v.string(),
  image: v.nullable(v.string()),
  architecture: v.nullable(v.string()),
  registry: v.nullable(v.string()),
  status: v.string(),
  status_changed: v.nullable(v.date()),
  status_info: v.nullable(v.string()),
  status_data: optionalJson,
  status_history: isoTimes,
  created_at: v.nullable(v.date()),
  terminated_at: v.nullable(v.date()),
  starts_at: v.nullable(v.date()),
  agent: v.nullable(v.string()),
  agent_addr: v.nullable(v.string()),
  container_id: v.nullable(v.string()),
  resource_opts: optionalJson,
  occupied_slots: slots,
  last_stat: optionalJson,
  preopen_ports: v.nullable(v.array(v.number())),
});
export type ContainerRow = v.InferOutput<typeof containerRow>;

const sessionColumns = (sql: Sql): Fragment => sql`
  s.id, s.name, s.session_type, s.priority, s.images, s.tag, s.cluster_mode, s.cluster_size,
  s.domain_name, s.group_id, g.name as group_name, s.user_uuid as user_id, u.email as user_email,
  u.full_name, s.access_key, s.status, s.status_info, s.status_data, s.status_history,
  s.created_at, s.terminated_at, s.starts_at, s.startup_command, s.result, s.agent_ids,
  s.scaling_group_name as scaling_group, s.vfolder_mounts, s.occupying_slots, s.requested_slots,
  s.num_queries, k.id as main_kernel_id, k.cluster_role as main_kernel_role, k.architecture,
  k.registry, k.service_ports,
  (select jsonb_object_agg(o.cluster_hostname, o.resource_opts)
     from kernels o where o.session_id = s.id) as resource_opts`;

const sessionSources = (sql: Sql): Fragment => sql`
  sessions s
  join groups g on g.id = s.group_id
  left join users u on u.uuid = s.user_uuid
  left join lateral (
    select m.id, m.cluster_role, m.architecture, m.registry, m.service_ports from kernels m
    where m.session_id = s.id and m.cluster_role = 'main' order by m.cluster_idx limit 1
  ) k on true`;

const dashed = (mode: string): string => mode.toLowerCase().replaceAll('_', '-');

function sessionFilterFields(sql: Sql): FieldTable {
  const agents = { kind: 'text-array', column: sql`s.agent_ids` } as const;
  return {
    id: { kind: 'uuid', column: sql`s.id` },
    type: { kind: 'enum', column: sql`s.session_type` },
    name: { kind: 'text', column: sql`s.name` },
    priority: { kind: 'number', column: sql`s.priority` },
    image: { kind: 'text-array', column: sql`s.images` },
    agent_ids: agents,
    agent_id: agents,
    agents,
    domain_name: { kind: 'text', column: sql`s.domain_name` },
    user_id: { kind: 'uuid', column: sql`s.user_uuid` },
    full_name: { kind: 'text', column: sql`u.full_name` },
    group_name: { kind: 'text', column: sql`g.name` },
    user_email: { kind: 'text', column: sql`u.email` },
    access_key: { kind: 'text', column: sql`s.access_key` },
    scaling_group: { kind: 'text', column: sql`s.scaling_group_name` },
    cluster_mode: {
      kind: 'enum',
      column: sql`lower(replace(s.cluster_mode, '_', '-'))`,
      stored: dashed,
    },
    cluster_size: { kind: 'number', column: sql`s.cluster_size` },
    status: { kind: 'enum', column: sql`s.status` },
    status_info: { kind: 'text', column: sql`s.status_info` },
    result: { kind: 'enum', column: sql`s.result` },
    created_at: { kind: 'time', column: sql`s.created_at` },
    terminated_at: { kind: 'time', column: sql`s.terminated_at` },
    starts_at: { kind: 'time', column: sql`s.starts_at` },
    scheduled_at: { kind: 'time', column: sql`(s.status_history->>'SCHEDULED')::timestamptz` },
    startup_command: { kind: 'text', column: sql`s.startup_command` },
  };
}

const orderColumns = (fields: FieldTable, except: readonly string[]): OrderTable =>
  Object.fromEntries(
    Object.entries(fields)
      .filter(([name]) => !except.includes(name))
      .map(([name, field]) => [name, field.column]),
  );

interface SessionListQuery extends Page {
  readonly scope: RowScope;
  readonly groupId: string | null;
  /** null: any status. */
  readonly statuses: readonly string[] | null;
  readonly filter: string | null | undefined;
  readonly order: string | null | undefined;
  readonly hideAgents: boolean;
}

const inScope = (sql: Sql, table: Fragment, scope: RowScope): Fragment => sql`
  ${scope.domainName === null ? sql`true` : sql`${table}.domain_name = ${scope.domainName}`}
  and ${scope.accessKey === null ? sql`true` : sql`${table}.access_key = ${scope.accessKey}`}`;

/** As `inScope`, for sessions: those of a key are among its user's, which are indexed. */
const inOwnersScope = (sql: Sql, scope: RowScope): Fragment => sql`
  ${inScope(sql, sql`s`, scope)}
  and ${scope.accessKey === null ? sql`true` : ofKeysUser(sql, scope.accessKey)}`;

/** The tables that a filter or order needs; naming one too many only costs time. */
const namedSources = (sql: Sql, named: string): Fragment => sql`
  sessions s
  ${/\bgroup_name\b/.test(named) ? sql`join groups g on g.id = s.group_id` : sql``}
  ${/\b(full_name|user_email)\b/.test(named) ? sql`left join users u on u.uuid = s.user_uuid` : sql``}`;

/**
 * Ids of the sessions that were made or ended last, last first. Whatever is among the first by the later
 * of both times is among the first by one of them, and each has an index.
 */
function latestIds(sql: Sql, from: Fragment, where: Fragment, { limit, offset }: Page): Fragment {
  const first = (column: Fragment) => sql`
    (select s.id, s.created_at, s.terminated_at from ${from}
      where ${where} and ${column} is not null
      order by ${column} desc, s.id limit ${limit + offset})`;
  return sql`
    select s.id from (${first(sql`s.created_at`)} union ${first(sql`s.terminated_at`)}) s
    order by greatest(s.created_at, s.terminated_at) desc, s.id limit ${limit} offset ${offset}`;
}

/**
 * One page of sessions and the number of all that match.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export async function listSessions(
  { sql, totals }: Pick<ManagerContext, 'sql' | 'totals'>,
  query: SessionListQuery,
): Promise<{ rows: SessionListRow[]; total: number }> {
  const { limit, offset, statuses, groupId, ...named } = query;
  const fields = visibleFields(sessionFilterFields(sql), query.hideAgents);
  const from = namedSources(sql, `${query.filter ?? ''} ${query.order ?? ''}`);
  const where = sql`${inOwnersScope(sql, query.scope)}
    and ${groupId === null ? sql`true` : sql`s.group_id::text = ${groupId}`}
    and ${hasStatus(sql, statuses)}
    and ${filterToSql(sql, query.filter, fields)}`;
  const order = orderTerms(query.order, orderColumns(fields, ['startup_command']));
  const isAlive = statuses !== null && !mayBeOver(statuses);
  const list = JSON.stringify(['legacy sessions', statuses, groupId, named]);
  const total = await totals.get(list, async () => {
    const [counted] = await sql`select count(*)::int as total from ${from} where ${where}`;
    return v.parse(v.object({ total: v.number() }), counted).total;
  });
  if (limit === 0 || offset >= total) return { rows: [], total };
  const sorted = order.map(({ column, descending }) =>
    descending ? sql`${column} desc` : sql`${column} asc`,
  );
  // What is not over has no later time than that of its making.
  if (sorted.length === 0 && isAlive) sorted.push(sql`s.created_at desc`);
  const found =
    sorted.length === 0
      ? await latestIds(sql, from, where, query)
      : await sql`select s.id from ${from} where ${where}
          order by ${sorted.reduce((left, right) => sql`${left}, ${right}`)}, s.id
          limit ${limit} offset ${offset}`;
  const ids = v.parse(v.array(v.object({ id: v.string() })), [...found]).map(({ id }) => id);
  const rows = await sql`select ${sessionColumns(sql)} from ${sessionSources(sql)}
    where s.id = any(${ids}::uuid[]) order by array_position(${ids}::uuid[], s.id)`;
  return { rows: v.parse(v.array(sessionListRow), [...rows]), total };
}

/** The session with this id, if it is in scope. */
export async function findSessionRow(
  sql: Sql,
  scope: RowScope,
  id: string,
): Promise<SessionListRow | null> {
  const rows = await sql`select ${sessionColumns(sql)} from ${sessionSources(sql)}
    where s.id = ${id} and ${inScope(sql, sql`s`, scope)}`;
  return rows[0] ? v.parse(sessionListRow, rows[0]) : null;
}

/** The sessions that each of `ids` depends on, in the order of `ids`. */
export async function dependenciesOf(
  sql: Sql,
  ids: readonly string[],
): Promise<SessionListRow[][]> {
  const rows = await sql`select d.session_id as dependent, ${sessionColumns(sql)}
    from session_dependencies d join ${sessionSources(sql)} on s.id = d.depends_on
    where d.session_id = any(${ids}::uuid[]) order by s.created_at, s.id`;
  const parsed = v.parse(v.array(v.object({ ...sessionListRow.entries, dependent: v.string() })), [
    ...rows,
  ]);
  return ids.map((id) => parsed.filter((row) => row.dependent === id));
}

const containerColumns = (sql: Sql): Fragment => sql`
  k.id, k.session_id, k.cluster_role, k.cluster_idx, k.local_rank, k.cluster_hostname, k.image,
  k.architecture, k.registry, k.status, k.status_changed, k.status_info, k.status_data,
  k.status_history, k.created_at, k.terminated_at, k.starts_at, k.agent, k.agent_addr,
  k.container_id, k.resource_opts, k.occupied_slots, k.last_stat, k.preopen_ports`;

const parseContainers = (rows: readonly unknown[]): ContainerRow[] =>
  v.parse(v.array(containerRow), [...rows]);

/** The kernels of each of `sessionIds`, main kernels first, in the order of `sessionIds`. */
export async function containersOfSessions(
  sql: Sql,
  sessionIds: readonly string[],
): Promise<ContainerRow[][]> {
  const rows = parseContainers(
    await sql`select ${containerColumns(sql)} from kernels k
      where k.session_id = any(${sessionIds}::uuid[])
      order by (k.cluster_role = 'main') desc, k.cluster_idx, k.id`,
  );
  return sessionIds.map((id) => rows.filter((row) => row.session_id === id));
}

/** The kernels of each of `agentIds` in one of `statuses`, in the order of `agentIds`. */
export async function containersOfAgents(
  sql: Sql,
  agentIds: readonly string[],
  statuses: readonly string[],
): Promise<ContainerRow[][]> {
  const rows = parseContainers(
    await sql`select ${containerColumns(sql)} from kernels k
      where k.agent = any(${agentIds}::text[]) and k.status = any(${statuses}::text[])
        and ${mayBeOver(statuses) ? sql`true` : sql`k.terminated_at is null`}
      order by k.created_at desc, k.id`,
  );
  return agentIds.map((id) => rows.filter((row) => row.agent === id));
}

/** The kernel with this id, if it is in scope. */
export async function findContainerRow(
  sql: Sql,
  scope: RowScope,
  id: string,
): Promise<ContainerRow | null> {
  const rows = await sql`select ${containerColumns(sql)} from kernels k
    where k.id = ${id} and ${inScope(sql, sql`k`, scope)}`;
  return parseContainers(rows)[0] ?? null;
}

/** The kernels with these ids whose sessions are visible, by id. */
export async function selectVisibleKernels(
  sql: Sql,
  visibility: SessionVisibility,
  ids: readonly string[],
): Promise<Map<string, ContainerRow>> {
  const rows = await sql`select ${containerColumns(sql)}
    from kernels k join sessions s on s.id = k.session_id
    where k.id = any(${[...ids]}::uuid[]) and ${visible(sql, visibility)}`;
  return new Map(parseContainers(rows).map((row) => [row.id, row]));
}

function containerFields(sql: Sql): FieldTable {
  const text = (column: Fragment) => ({ kind: 'text', column }) as const;
  const time = (column: Fragment) => ({ kind: 'time', column }) as const;
  return {
    image: text(sql`k.image`),
    architecture: text(sql`k.architecture`),
    agent: text(sql`k.agent`),
    agent_addr: text(sql`k.agent_addr`),
    cluster_idx: { kind: 'number', column: sql`k.cluster_idx` },
    local_rank: { kind: 'number', column: sql`k.local_rank` },
    cluster_role: text(sql`k.cluster_role`),
    cluster_hostname: text(sql`k.cluster_hostname`),
    status: { kind: 'enum', column: sql`k.status` },
    status_info: text(sql`k.status_info`),
    created_at: time(sql`k.created_at`),
    status_changed: time(sql`k.status_changed`),
    terminated_at: time(sql`k.terminated_at`),
    scheduled_at: time(sql`(k.status_history->>'SCHEDULED')::timestamptz`),
  };
}

/** Upstream's names; hiding agents must hide them from filters as well. */
const AGENT_FIELDS = ['agent', 'agent_addr', 'agent_ids', 'agent_id', 'agents'];

interface ContainerListQuery extends Page {
  readonly scope: RowScope;
  readonly sessionId: string;
  readonly role: string | null;
  readonly filter: string | null | undefined;
  readonly order: string | null | undefined;
  readonly hideAgents: boolean;
}

/**
 * One page of a session's kernels and the number of all that match.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export async function listContainers(
  sql: Sql,
  query: ContainerListQuery,
): Promise<{ rows: ContainerRow[]; total: number }> {
  const fields = visibleFields(containerFields(sql), query.hideAgents);
  const where = sql`k.session_id = ${query.sessionId} and ${inScope(sql, sql`k`, query.scope)}
    and (${query.role}::text is null or k.cluster_role = ${query.role})
    and ${filterToSql(sql, query.filter, fields)}`;
  const order = orderToSql(sql, query.order, orderColumns(fields, []), {
    fallback: sql`greatest(k.created_at, k.terminated_at, k.status_changed) desc`,
    tieBreak: sql`k.id`,
  });
  const [counted] = await sql`select count(*)::int as total from kernels k where ${where}`;
  const { total } = v.parse(v.object({ total: v.number() }), counted);
  const rows = await sql`select ${containerColumns(sql)} from kernels k where ${where}
    order by ${order} limit ${query.limit} offset ${query.offset}`;
  return { rows: parseContainers(rows), total };
}

/** How many sessions of each access key hold resources, in the order of `accessKeys`. */
export async function countOccupyingSessions(
  sql: Sql,
  accessKeys: readonly string[],
): Promise<number[]> {
  const rows = await sql`select access_key, count(*)::int as sessions from sessions s
    where access_key = any(${accessKeys}::text[]) and session_type <> 'SYSTEM'
      and ${hasStatus(sql, occupyingSessionStatuses)}
    group by access_key`;
  const schema = v.array(v.object({ access_key: v.string(), sessions: v.number() }));
  const counts = new Map(v.parse(schema, [...rows]).map((row) => [row.access_key, row.sessions]));
  return accessKeys.map((key) => counts.get(key) ?? 0);
}

function visibleFields(fields: FieldTable, hideAgents: boolean): FieldTable {
  if (!hideAgents) return fields;
  return Object.fromEntries(
    Object.entries(fields).filter(([name]) => !AGENT_FIELDS.includes(name)),
  );
}
