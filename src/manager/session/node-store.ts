/**
 * Sessions as the Relay lists read them, within what a caller may see. Queries touch other tables only
 * when a filter or order names one of their columns: so a count reads nothing but an index.
 */
import type { Fragment, Sql } from 'postgres';
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import type { Db } from '../db/connect.ts';
import {
  type FieldTable,
  filterToSql,
  type ListQuery,
  type OrderTable,
  orderTable,
  orderTerms,
} from '../graphql/minilang-store.ts';
import { type Listed, mapListed, type PageWish } from '../graphql/page.ts';
import { type ListSource, selectListPage } from '../graphql/page-store.ts';
import type { Scope } from '../graphql/scalars.ts';
import { isoTimes, optionalJson, slots } from './graphql-store.ts';
import { sessionStatuses } from './status.ts';
import { hasStatus, type SessionVisibility, visible } from './visibility-store.ts';

const sessionNodeRow = v.object({
  id: v.string(),
  name: v.nullable(v.string()),
  tag: v.nullable(v.string()),
  session_type: v.string(),
  priority: v.number(),
  cluster_mode: v.string(),
  cluster_size: v.number(),
  domain_name: v.string(),
  group_id: v.string(),
  user_uuid: v.string(),
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
  scaling_group_name: v.nullable(v.string()),
  vfolder_mounts: v.nullable(v.array(v.looseObject({ vfid: v.optional(v.unknown()) }))),
  images: v.nullable(v.array(v.string())),
  occupying_slots: slots,
  requested_slots: slots,
  num_queries: v.nullable(v.pipe(v.union([v.number(), v.string()]), v.transform(Number))),
  service_ports: v.nullable(v.array(v.unknown())),
  /** Cluster hostname → options of its kernel. */
  resource_opts: optionalJson,
});
export type SessionNodeRow = v.InferOutput<typeof sessionNodeRow>;

const parseRow = (row: unknown): SessionNodeRow => v.parse(sessionNodeRow, row);

const columns = (sql: Sql): Fragment => sql`
  s.id, s.name, s.tag, s.session_type, s.priority, s.cluster_mode, s.cluster_size, s.domain_name,
  s.group_id, s.user_uuid, s.access_key, s.status, s.status_info, s.status_data, s.status_history,
  s.created_at, s.terminated_at, s.starts_at, s.startup_command, s.result, s.agent_ids,
  s.scaling_group_name, s.vfolder_mounts, s.images, s.occupying_slots, s.requested_slots,
  s.num_queries,
  (select m.service_ports from kernels m where m.session_id = s.id and m.cluster_role = 'main'
     order by m.cluster_idx limit 1) as service_ports,
  (select jsonb_object_agg(o.cluster_hostname, o.resource_opts)
     from kernels o where o.session_id = s.id) as resource_opts`;

function within(sql: Sql, scope: Scope): Fragment {
  switch (scope.kind) {
    case 'system':
      return sql`true`;
    case 'domain':
      return sql`s.domain_name = ${scope.domainName}`;
    case 'project':
      return sql`s.group_id = ${scope.projectId}::uuid`;
    case 'user':
      return sql`s.user_uuid = ${scope.userId}::uuid`;
  }
}

const dashed = (mode: string): string => mode.toLowerCase().replaceAll('_', '-');

function nodeFields(sql: Sql): FieldTable {
  const text = (column: Fragment) => ({ kind: 'text', column }) as const;
  const enumerated = (column: Fragment, members?: readonly string[]) =>
    ({ kind: 'enum', column, ...(members && { members }) }) as const;
  const time = (column: Fragment) => ({ kind: 'time', column }) as const;
  const images = { kind: 'text-array', column: sql`s.images` } as const;
  return {
    id: { kind: 'uuid', column: sql`s.id` },
    type: enumerated(sql`s.session_type`),
    name: text(sql`s.name`),
    priority: { kind: 'number', column: sql`s.priority` },
    images,
    image: images,
    agent_ids: { kind: 'text-array', column: sql`s.agent_ids` },
    domain_name: text(sql`s.domain_name`),
    project_id: { kind: 'uuid', column: sql`s.group_id` },
    user_id: { kind: 'uuid', column: sql`s.user_uuid` },
    full_name: text(sql`u.full_name`),
    group_name: text(sql`g.name`),
    user_email: text(sql`u.email`),
    access_key: text(sql`s.access_key`),
    scaling_group: text(sql`s.scaling_group_name`),
    cluster_mode: {
      kind: 'enum',
      column: sql`lower(replace(s.cluster_mode, '_', '-'))`,
      stored: dashed,
    },
    cluster_size: { kind: 'number', column: sql`s.cluster_size` },
    status: enumerated(sql`s.status`, sessionStatuses),
    status_info: text(sql`s.status_info`),
    result: enumerated(sql`s.result`),
    created_at: time(sql`s.created_at`),
    terminated_at: time(sql`s.terminated_at`),
    starts_at: time(sql`s.starts_at`),
    scheduled_at: time(sql`(s.status_history->>'SCHEDULED')::timestamptz`),
    startup_command: text(sql`s.startup_command`),
  };
}

const NOT_SORTABLE = ['full_name', 'group_name', 'user_email', 'startup_command'];
const AGENT_FIELD = 'agent_ids';

/** What a filter may name, and what an order may. */
function fieldsOf(sql: Sql, hideAgents: boolean): { filter: FieldTable; order: OrderTable } {
  const { [AGENT_FIELD]: agents, ...others } = nodeFields(sql);
  const filter = hideAgents || !agents ? others : { ...others, [AGENT_FIELD]: agents };
  const sortable = Object.entries(filter).filter(([name]) => !NOT_SORTABLE.includes(name));
  return { filter, order: orderTable(Object.fromEntries(sortable)) };
}

/** The tables that a filter needs; naming one too many only costs time. */
function sources(sql: Sql, filter: string | null | undefined): Fragment {
  const users = /\b(full_name|user_email)\b/.test(filter ?? '')
    ? sql`left join users u on u.uuid = s.user_uuid`
    : sql``;
  const projects = /\bgroup_name\b/.test(filter ?? '')
    ? sql`left join groups g on g.id = s.group_id`
    : sql``;
  return sql`sessions s ${users} ${projects}`;
}

export interface SessionNodeQuery extends ListQuery {
  readonly within: Scope;
  readonly hideAgents: boolean;
}

/** So many matching rows are sorted faster than they are found by walking through the whole order. */
const FEW_ROWS = 2000;

/** Whether no cursor's row, which the filter may not match any more, is the page's bound. */
const isFromStart = ({ page }: PageWish): boolean => page.mode === 'offset' || page.cursor === null;

/**
 * The same list, of which all rows that match are found before they are sorted. PostgreSQL takes rows
 * that match to be spread evenly; where they are few and old it would read everything newer.
 */
const fenced = (sql: Sql, source: ListSource): ListSource => ({
  ...source,
  from: sql`(select s.* from ${source.from} where ${source.scope} and ${source.filter} offset 0) s`,
  scope: sql`true`,
  filter: sql`true`,
});

/**
 * One page of sessions, by id unless ordered.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor.
 */
export async function selectSessionNodes(
  { sql, totals }: Pick<ManagerContext, 'sql' | 'totals'>,
  visibility: SessionVisibility,
  query: SessionNodeQuery,
  wish: PageWish,
): Promise<Listed<SessionNodeRow>> {
  const fields = fieldsOf(sql, query.hideAgents);
  const source: ListSource = {
    // Ids alone, which indexes tell; a filter that few rows pass would read the whole table otherwise.
    columns: sql`s.id`,
    from: sources(sql, query.filter),
    scope: sql`${visible(sql, visibility)} and ${within(sql, query.within)}`,
    filter: filterToSql(sql, query.filter, fields.filter),
    order: orderTerms(query.order, fields.order),
    key: sql`s.id`,
    keyType: 'uuid',
  };
  const count = async () =>
    (await selectListPage<{ id: string }>(sql, source, { ...wish, rows: false })).total ?? 0;
  const { filter, within: place, hideAgents } = query;
  const list = JSON.stringify(['sessions', visibility, place, filter ?? null, hideAgents]);
  const total = wish.count ? await totals.get(list, count) : null;
  const page = { ...wish, count: false, rows: wish.rows && total !== 0 };
  const isFew = total !== null && total <= FEW_ROWS;
  const found = await selectListPage<{ id: string }>(
    sql,
    isFew && isFromStart(wish) ? fenced(sql, source) : source,
    page,
  );
  const listed = { ...found, total };
  const ids = listed.rows.map(({ id }) => id);
  const rows = ids.length > 0 ? await selectNodesById(sql, visibility, ids) : new Map();
  return { ...listed, rows: ids.flatMap((id) => rows.get(id) ?? []) };
}

/** One page of the sessions that wait in a resource group, first in line first. */
export async function selectQueue(
  sql: Sql,
  scalingGroup: string,
  wish: PageWish,
): Promise<Listed<SessionNodeRow>> {
  const source: ListSource = {
    columns: columns(sql),
    from: sql`sessions s`,
    scope: sql`s.scaling_group_name = ${scalingGroup} and s.status in ('PENDING', 'DEPRIORITIZING')`,
    filter: sql`true`,
    order: [
      { column: sql`s.priority`, descending: true },
      { column: sql`s.created_at`, descending: false },
    ],
    key: sql`s.id`,
    keyType: 'uuid',
  };
  return mapListed(await selectListPage<object>(sql, source, wish), parseRow);
}

/** The sessions with these ids that are visible, by id. */
export async function selectNodesById(
  sql: Sql,
  visibility: SessionVisibility,
  ids: readonly string[],
): Promise<Map<string, SessionNodeRow>> {
  const rows = await sql`select ${columns(sql)} from sessions s
    where s.id = any(${[...ids]}::uuid[]) and ${visible(sql, visibility)}`;
  return new Map(rows.map(parseRow).map((row) => [row.id, row]));
}

/** Ways in which sessions depend on each other. */
export type Relation = 'dependees' | 'dependents' | 'graph';

/** Most sessions that are told to be related to one. */
const MAX_RELATED = 1000;

/** Pairs of a session and one related to it, without the session itself. */
function relatedPairs(sql: Sql, relation: Relation, ids: readonly string[]): Fragment {
  const given = sql`unnest(${[...ids]}::uuid[])`;
  switch (relation) {
    case 'dependees':
      return sql`select d.session_id as root, d.depends_on as id from session_dependencies d
        where d.session_id in (select ${given})`;
    case 'dependents':
      return sql`select d.depends_on as root, d.session_id as id from session_dependencies d
        where d.depends_on in (select ${given})`;
    case 'graph':
      return sql`select root, id from (
        with recursive reached(root, id) as (
          select given, given from ${given} as given
          union
          select r.root, case when d.session_id = r.id then d.depends_on else d.session_id end
          from reached r join session_dependencies d on r.id in (d.session_id, d.depends_on)
        ) select root, id from reached) as component`;
  }
}

/** The visible sessions related to each of `ids`, by id; oldest first, at most 1000 of each. */
export async function selectRelated(
  sql: Sql,
  visibility: SessionVisibility,
  relation: Relation,
  ids: readonly string[],
): Promise<Map<string, SessionNodeRow[]>> {
  const rows = await sql`
    select * from (
      select p.root, ${columns(sql)},
        row_number() over (partition by p.root order by s.created_at, s.id) as place
      from (${relatedPairs(sql, relation, ids)}) p join sessions s on s.id = p.id
      where ${visible(sql, visibility)}) related
    where place <= ${MAX_RELATED} order by root, place`;
  const found = new Map<string, SessionNodeRow[]>(ids.map((id) => [id, []]));
  for (const row of rows) {
    const { root } = v.parse(v.object({ root: v.string() }), row);
    found.get(root)?.push(parseRow(row));
  }
  return found;
}

/**
 * How many sessions of the same resource group are ahead of each in the order in which they are
 * scheduled; only for those that wait.
 */
export async function selectQueuePositions(
  sql: Sql,
  ids: readonly string[],
): Promise<Map<string, number>> {
  const rows = await sql`
    select id, place from (
      select s.id, (row_number() over (partition by s.scaling_group_name
        order by s.priority desc, s.created_at, s.id) - 1)::int as place
      from sessions s
      where s.status in ('PENDING', 'DEPRIORITIZING') and s.scaling_group_name in (
        select w.scaling_group_name from sessions w
        where w.id = any(${[...ids]}::uuid[]) and w.status in ('PENDING', 'DEPRIORITIZING'))) line
    where id = any(${[...ids]}::uuid[])`;
  const parsed = v.parse(v.array(v.object({ id: v.string(), place: v.number() })), [...rows]);
  return new Map(parsed.map(({ id, place }) => [id, place]));
}

export interface SlotTotals {
  readonly occupied: Readonly<Record<string, string>>;
  readonly requested: Readonly<Record<string, string>>;
}

/**
 * What sessions hold and ask for, added up.
 * @throws BackendError InvalidAPIParameters for a wrong filter.
 */
export async function selectSlotTotals(
  sql: Sql,
  query: {
    readonly statuses: readonly string[] | null;
    readonly filter: string | null | undefined;
    readonly domainName: string | null;
    readonly scalingGroup: string | null;
  },
): Promise<SlotTotals> {
  const { statuses, filter, domainName, scalingGroup } = query;
  const totals = (column: Fragment) => sql`
    coalesce((select jsonb_object_agg(slot_name, trim_scale(total)::text) from (
      select e.key as slot_name, sum(e.value::numeric) as total
      from picked, jsonb_each_text(${column}) e where e.value is not null group by e.key) t), '{}')`;
  const [row] = await sql`
    with picked as materialized (
      select s.occupying_slots, s.requested_slots from ${sources(sql, filter)}
      where ${filterToSql(sql, filter, fieldsOf(sql, false).filter)}
        and ${hasStatus(sql, statuses)}
        and (${domainName}::text is null or s.domain_name = ${domainName})
        and (${scalingGroup}::text is null or s.scaling_group_name = ${scalingGroup}))
    select ${totals(sql`picked.occupying_slots`)} as occupied,
      ${totals(sql`picked.requested_slots`)} as requested`;
  return v.parse(v.object({ occupied: slots, requested: slots }), row);
}

const changeable = v.object({ name: v.nullable(v.string()), priority: v.number() });

/**
 * Writes name and priority of a live session; null leaves one as it is.
 * @returns what they were and are; null when there is no such session in sight.
 */
export async function updateSession(
  sql: Db,
  visibility: SessionVisibility,
  sessionId: string,
  { name, priority }: { readonly name: string | null; readonly priority: number | null },
): Promise<{
  before: v.InferOutput<typeof changeable>;
  after: v.InferOutput<typeof changeable>;
} | null> {
  const [before] = await sql`
    select s.name, s.priority from sessions s where s.id = ${sessionId}::uuid
      and ${visible(sql, visibility)} and s.status not in ('TERMINATED', 'CANCELLED', 'ERROR')
    for update`;
  if (!before) return null;
  const [after] = await sql`
    update sessions set name = coalesce(${name}::text, name),
      priority = coalesce(${priority}::int, priority)
    where id = ${sessionId}::uuid returning name, priority`;
  if (name !== null) {
    await sql`update kernels set session_name = ${name} where session_id = ${sessionId}::uuid`;
  }
  return { before: v.parse(changeable, before), after: v.parse(changeable, after) };
}
