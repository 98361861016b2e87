/** The SQL of sessions and kernels in the newer schema's lists. */
import type { Fragment, Sql } from 'postgres';
import * as v from 'valibot';
import { servicePort } from '../../common/protocol/kernel.ts';
import { slotMapColumn } from '../db/json.ts';
import { type Listed, mapListed, type PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';
import { kernelStatus, sessionResult, sessionStatus } from './status.ts';

/** Whose rows are listed. */
export type V2Scope =
  | { readonly kind: 'all' }
  | { readonly kind: 'user'; readonly userId: string }
  | { readonly kind: 'project'; readonly projectId: string }
  | { readonly kind: 'session'; readonly sessionId: string }
  | { readonly kind: 'agent'; readonly agentId: string };

const sessionType = v.picklist(['INTERACTIVE', 'BATCH', 'INFERENCE', 'SYSTEM']);
const clusterMode = v.pipe(
  v.string(),
  v.transform((mode) => mode.toUpperCase().replaceAll('-', '_')),
  v.picklist(['SINGLE_NODE', 'MULTI_NODE']),
);
const seconds = v.nullable(v.pipe(v.union([v.number(), v.string()]), v.transform(Number)));
const text = v.nullable(v.string());
const time = v.nullable(v.date());

const sessionRow = v.object({
  id: v.string(),
  creation_id: text,
  name: text,
  session_type: sessionType,
  access_key: text,
  cluster_mode: clusterMode,
  cluster_size: v.number(),
  priority: v.number(),
  is_preemptible: v.boolean(),
  tag: text,
  status: sessionStatus,
  result: sessionResult,
  created_at: time,
  terminated_at: time,
  starts_at: time,
  batch_timeout: seconds,
  requested_slots: slotMapColumn,
  occupying_slots: slotMapColumn,
  scaling_group_name: text,
  environ: v.nullable(v.record(v.string(), v.unknown())),
  bootstrap_script: text,
  startup_command: text,
  callback_url: text,
  use_host_network: v.boolean(),
  network_type: text,
  network_id: text,
  images: v.nullable(v.array(v.string())),
  domain_name: v.string(),
  user_uuid: v.string(),
  group_id: v.string(),
});
export type SessionV2Row = v.InferOutput<typeof sessionRow>;

const sessionColumns = (sql: Sql): Fragment => sql`
  s.id, s.creation_id, s.name, s.session_type, s.access_key, s.cluster_mode, s.cluster_size,
  s.priority, s.is_preemptible, s.tag, s.status, s.result, s.created_at, s.terminated_at,
  s.starts_at, s.batch_timeout, s.requested_slots, s.occupying_slots, s.scaling_group_name,
  s.environ, s.bootstrap_script, s.startup_command, s.callback_url, s.use_host_network,
  s.network_type, s.network_id, s.images, s.domain_name, s.user_uuid, s.group_id`;

const parseSession = (row: unknown): SessionV2Row => v.parse(sessionRow, row);

/** Statuses that the newer schema lacks, under the names it has for them. */
const foldedStatus = (sql: Sql, column: Fragment): Fragment => sql`
  case when ${column} = 'PULLING' then 'PREPARING'
    when ${column} in ('BUILDING', 'RESTARTING', 'RESIZING', 'SUSPENDED', 'RUNNING_DEGRADED', 'ERROR')
      then 'CANCELLED'
    else ${column} end`;

/** @param table the alias of the table whose rows have owner and project. */
function inScope(sql: Sql, scope: V2Scope, table: 's' | 'k'): Fragment {
  switch (scope.kind) {
    case 'all':
      return sql`true`;
    case 'project':
      return sql`${sql(table)}.group_id = ${scope.projectId}::uuid`;
    case 'user':
      return table === 's'
        ? sql`s.user_uuid = ${scope.userId}::uuid`
        : // Only sessions are indexed by whose they are.
          sql`k.session_id in (select id from sessions where user_uuid = ${scope.userId}::uuid)`;
    case 'session':
      return sql`${table === 's' ? sql`s.id` : sql`k.session_id`} = ${scope.sessionId}::uuid`;
    case 'agent':
      return table === 'k'
        ? sql`k.agent = ${scope.agentId}`
        : sql`s.id in (select k.session_id from kernels k where k.agent = ${scope.agentId})`;
  }
}

const sessions: V2ListShape = {
  columns: sessionColumns,
  from: (sql) => sql`sessions s`,
  fields: (sql) => ({
    id: { kind: 'uuid', column: sql`s.id` },
    status: { kind: 'enum', column: foldedStatus(sql, sql`s.status`) },
    name: { kind: 'text', column: sql`s.name` },
    domainName: { kind: 'text', column: sql`s.domain_name` },
    projectId: { kind: 'uuid', column: sql`s.group_id` },
    userUuid: { kind: 'uuid', column: sql`s.user_uuid` },
    // What the older HTTP search compares besides; the schema's input has none of these.
    wholeStatus: { kind: 'enum', column: sql`s.status` },
    accessKey: { kind: 'text', column: sql`s.access_key` },
    resourceGroup: { kind: 'text', column: sql`s.scaling_group_name` },
  }),
  orders: (sql) => ({
    CREATED_AT: sql`s.created_at`,
    TERMINATED_AT: sql`s.terminated_at`,
    STATUS: foldedStatus(sql, sql`s.status`),
    ID: sql`s.id`,
    NAME: sql`s.name`,
  }),
  newest: (sql) => sql`s.created_at`,
  key: (sql) => sql`s.id`,
  keyType: 'uuid',
};

/**
 * One page of sessions, newest first unless ordered.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor.
 */
export async function selectSessionsV2(
  sql: Sql,
  scope: V2Scope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<SessionV2Row>> {
  const within = inScope(sql, scope, 's');
  const source = v2Source(sql, sessions, query, wish, within);
  return mapListed(await selectListPage<object>(sql, source, wish), parseSession);
}

/** Sessions by id; whether they may be seen has been decided. */
export async function selectSessionsV2ById(
  sql: Sql,
  ids: readonly string[],
): Promise<Map<string, SessionV2Row>> {
  const rows = await sql`select ${sessionColumns(sql)} from sessions s
    where s.id = any(${[...ids]}::uuid[])`;
  return new Map(rows.map(parseSession).map((row) => [row.id, row]));
}

const kernelRow = v.object({
  id: v.string(),
  session_id: v.string(),
  session_creation_id: text,
  session_name: text,
  session_type: sessionType,
  user_uuid: v.string(),
  access_key: text,
  domain_name: v.string(),
  group_id: v.string(),
  image: text,
  architecture: text,
  startup_command: text,
  service_ports: v.nullable(v.array(servicePort)),
  preopen_ports: v.nullable(v.array(v.number())),
  cluster_role: v.string(),
  cluster_idx: v.number(),
  local_rank: v.number(),
  cluster_hostname: v.string(),
  agent: text,
  container_id: text,
  scaling_group: text,
  requested_slots: slotMapColumn,
  occupied_slots: slotMapColumn,
  resource_opts: v.nullable(v.record(v.string(), v.unknown())),
  status: kernelStatus,
  result: sessionResult,
  last_stat: v.nullable(v.record(v.string(), v.unknown())),
  created_at: time,
  terminated_at: time,
  starts_at: time,
});
export type KernelV2Row = v.InferOutput<typeof kernelRow>;

const kernelColumns = (sql: Sql): Fragment => sql`
  k.id, k.session_id, k.session_creation_id, k.session_name, k.session_type, k.user_uuid,
  k.access_key, k.domain_name, k.group_id, k.image, k.architecture, k.startup_command,
  k.service_ports, k.preopen_ports, k.cluster_role, k.cluster_idx, k.local_rank,
  k.cluster_hostname, k.agent, k.container_id, k.scaling_group, k.requested_slots,
  k.occupied_slots, k.resource_opts, k.status, k.result, k.last_stat, k.created_at,
  k.terminated_at, k.starts_at`;

const parseKernel = (row: unknown): KernelV2Row => v.parse(kernelRow, row);

const kernels: V2ListShape = {
  columns: kernelColumns,
  from: (sql) => sql`kernels k`,
  fields: (sql) => ({
    id: { kind: 'uuid', column: sql`k.id` },
    status: { kind: 'enum', column: foldedStatus(sql, sql`k.status`) },
    sessionId: { kind: 'uuid', column: sql`k.session_id` },
  }),
  orders: (sql) => ({
    CREATED_AT: sql`k.created_at`,
    TERMINATED_AT: sql`k.terminated_at`,
    STATUS: foldedStatus(sql, sql`k.status`),
    CLUSTER_MODE: sql`k.cluster_mode`,
    CLUSTER_HOSTNAME: sql`k.cluster_hostname`,
    CLUSTER_IDX: sql`k.cluster_idx`,
  }),
  newest: (sql) => sql`k.created_at`,
  key: (sql) => sql`k.id`,
  keyType: 'uuid',
};

/** One page of kernels; those of a session in its own order, else newest first, unless ordered. */
export async function selectKernelsV2(
  sql: Sql,
  scope: V2Scope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<KernelV2Row>> {
  const within = inScope(sql, scope, 'k');
  const source = v2Source(sql, kernels, query, wish, within);
  return mapListed(await selectListPage<object>(sql, source, wish), parseKernel);
}

/** The kernels of each session, main kernels first, by session. */
export async function selectKernelsV2OfSessions(
  sql: Sql,
  sessionIds: readonly string[],
): Promise<Map<string, KernelV2Row[]>> {
  const rows = await sql`select ${kernelColumns(sql)} from kernels k
    where k.session_id = any(${[...sessionIds]}::uuid[])
    order by (k.cluster_role = 'main') desc, k.cluster_idx, k.id`;
  return Map.groupBy(rows.map(parseKernel), (row) => row.session_id);
}

/** One kernel by id; whether it may be seen is for the caller to decide by its session. */
export async function selectKernelV2(sql: Sql, id: string): Promise<KernelV2Row | null> {
  const rows = await sql`select ${kernelColumns(sql)} from kernels k where k.id = ${id}::uuid`;
  return rows[0] ? parseKernel(rows[0]) : null;
}
