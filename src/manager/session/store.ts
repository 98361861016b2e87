/** The SQL for finding sessions and kernels; every list takes the scope in which to look. */
import * as v from 'valibot';
import { servicePort } from '../../common/protocol/kernel.ts';
import type { Db } from '../db/connect.ts';
import { slotMapColumn } from '../db/json.ts';
import {
  clusterModeColumn,
  kernelStatus,
  sessionResult,
  sessionStatus,
  sessionTypeColumn,
  terminalStatuses,
} from './status.ts';
import type { KernelRecord, SessionMatch, SessionRecord } from './types.ts';
import { isLive, ofKeysUser } from './visibility-store.ts';

/** Whose sessions may be found. */
export type SessionScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'user'; readonly userId: string }
  | { readonly kind: 'key'; readonly accessKey: string };

function visible(sql: Db, scope: SessionScope) {
  switch (scope.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      return sql`s.domain_name = ${scope.domainName}`;
    case 'user':
      return sql`s.user_uuid = ${scope.userId}::uuid`;
    case 'key':
      return sql`s.access_key = ${scope.accessKey}`;
  }
}

const json = v.nullable(v.record(v.string(), v.unknown()));
const text = v.nullable(v.string());
const count = v.pipe(
  v.nullable(v.union([v.string(), v.number()])),
  v.transform((value) => Number(value ?? 0)),
);
const textMap = v.pipe(
  v.nullable(v.record(v.string(), v.string())),
  v.transform((map) => map ?? {}),
);
const kernelColumns = {
  kernel_id: v.string(),
  kernel_session_id: v.string(),
  kernel_status: kernelStatus,
  kernel_status_info: text,
  cluster_role: v.string(),
  cluster_idx: v.number(),
  image: text,
  architecture: text,
  registry: text,
  agent: text,
  agent_addr: text,
  identity_key: text,
  container_id: text,
  kernel_host: text,
  service_ports: v.nullable(v.array(servicePort)),
  occupied_slots: slotMapColumn,
  kernel_requested_slots: slotMapColumn,
  occupied_shares: json,
  resource_opts: json,
  kernel_environ: v.nullable(v.array(v.string())),
  container_log: v.nullable(v.instance(Uint8Array)),
};
const kernelRow = v.object(kernelColumns);

/** The agent's present address wins over the one at scheduling time. */
const selectKernel = (sql: Db) => sql`
  k.id AS kernel_id, k.session_id AS kernel_session_id, k.status AS kernel_status,
  k.status_info AS kernel_status_info, k.cluster_role, k.cluster_idx, k.image, k.architecture,
  k.registry, k.agent, coalesce(a.addr, k.agent_addr) AS agent_addr, a.identity_key,
  k.container_id, k.kernel_host, k.service_ports, k.occupied_slots,
  k.requested_slots AS kernel_requested_slots, k.occupied_shares, k.resource_opts,
  k.environ AS kernel_environ, k.container_log`;

function toKernel(row: v.InferOutput<typeof kernelRow>): KernelRecord {
  return {
    id: row.kernel_id,
    sessionId: row.kernel_session_id,
    status: row.kernel_status,
    statusInfo: row.kernel_status_info,
    clusterRole: row.cluster_role,
    clusterIdx: row.cluster_idx,
    image: row.image,
    architecture: row.architecture,
    registry: row.registry,
    agentId: row.agent,
    agentAddr: row.agent_addr,
    agentPublicKey: row.identity_key,
    containerId: row.container_id,
    kernelHost: row.kernel_host,
    servicePorts: row.service_ports ?? [],
    occupiedSlots: row.occupied_slots,
    requestedSlots: row.kernel_requested_slots,
    occupiedShares: row.occupied_shares ?? {},
    resourceOpts: row.resource_opts ?? {},
    environ: row.kernel_environ ?? [],
    containerLog: row.container_log && new TextDecoder().decode(row.container_log),
  };
}

const sessionRow = v.object({
  ...kernelColumns,
  id: v.string(),
  name: text,
  session_type: sessionTypeColumn,
  status: sessionStatus,
  status_info: text,
  status_data: json,
  status_history: textMap,
  result: sessionResult,
  priority: v.number(),
  domain_name: v.string(),
  group_id: v.string(),
  user_uuid: v.string(),
  access_key: text,
  scaling_group_name: text,
  cluster_mode: clusterModeColumn,
  cluster_size: v.number(),
  tag: text,
  images: v.nullable(v.array(v.string())),
  requested_slots: slotMapColumn,
  occupying_slots: slotMapColumn,
  environ: json,
  startup_command: text,
  created_at: v.date(),
  starts_at: v.nullable(v.date()),
  terminated_at: v.nullable(v.date()),
  num_queries: count,
  last_stat: json,
});

const selectSession = (sql: Db) => sql`
  SELECT s.id, s.name, s.session_type, s.status, s.status_info, s.status_data, s.status_history,
    s.result, s.priority, s.domain_name, s.group_id, s.user_uuid, s.access_key,
    s.scaling_group_name, s.cluster_mode, s.cluster_size, s.tag, s.images, s.requested_slots,
    s.occupying_slots, s.environ, s.startup_command, s.created_at, s.starts_at, s.terminated_at,
    s.num_queries, s.last_stat, ${selectKernel(sql)}
  FROM sessions s
  JOIN kernels k ON k.session_id = s.id AND k.cluster_role = 'main' AND k.cluster_idx = 1
  LEFT JOIN agents a ON a.id = k.agent`;

function toSession(row: v.InferOutput<typeof sessionRow>): SessionRecord {
  return {
    id: row.id,
    name: row.name ?? row.id,
    sessionType: row.session_type,
    status: row.status,
    statusInfo: row.status_info,
    statusData: row.status_data,
    statusHistory: row.status_history,
    result: row.result,
    priority: row.priority,
    domainName: row.domain_name,
    groupId: row.group_id,
    userId: row.user_uuid,
    accessKey: row.access_key ?? '',
    scalingGroup: row.scaling_group_name,
    clusterMode: row.cluster_mode,
    clusterSize: row.cluster_size,
    tag: row.tag,
    images: row.images ?? [],
    requestedSlots: row.requested_slots,
    occupyingSlots: row.occupying_slots,
    environ: row.environ ?? {},
    startupCommand: row.startup_command,
    createdAt: row.created_at,
    startsAt: row.starts_at,
    terminatedAt: row.terminated_at,
    numQueries: row.num_queries,
    lastStat: row.last_stat,
    mainKernel: toKernel(row),
  };
}

export async function selectById(sql: Db, sessionId: string): Promise<SessionRecord | null> {
  const [row] = await sql`${selectSession(sql)} WHERE s.id = ${sessionId}`;
  return row ? toSession(v.parse(sessionRow, row)) : null;
}

interface Lookup {
  readonly scope: SessionScope;
  readonly includeDead: boolean;
}

/** The session of that id within the scope. */
export async function selectScopedById(
  sql: Db,
  sessionId: string,
  { scope, includeDead }: Lookup,
): Promise<SessionRecord | null> {
  const dead = sql.array([...terminalStatuses]);
  const [row] = await sql`
    ${selectSession(sql)}
    WHERE s.id = ${sessionId} AND ${visible(sql, scope)}
      AND (${includeDead} OR NOT s.status = ANY(${dead}::varchar[]))`;
  return row ? toSession(v.parse(sessionRow, row)) : null;
}

/** Sessions of exactly that name within the scope: live ones first, then the latest. */
export async function selectByName(
  sql: Db,
  name: string,
  { scope, includeDead }: Lookup,
  limit: number,
): Promise<SessionRecord[]> {
  const dead = sql.array([...terminalStatuses]);
  const rows = await sql`
    ${selectSession(sql)}
    WHERE s.name = ${name} AND ${visible(sql, scope)}
      AND (${includeDead} OR NOT s.status = ANY(${dead}::varchar[]))
    ORDER BY s.status = ANY(${dead}::varchar[]), s.created_at DESC, s.id LIMIT ${limit}`;
  return v.parse(v.array(sessionRow), [...rows]).map(toSession);
}

const matchRow = v.object({ id: v.string(), name: text, status: sessionStatus });

/** Live sessions of a key whose id or name begins with `prefix`. */
export async function selectByPrefix(
  sql: Db,
  accessKey: string,
  prefix: string,
  limit: number,
): Promise<SessionMatch[]> {
  const rows = await sql`
    SELECT s.id, s.name, s.status FROM sessions s
    WHERE ${ofKeysUser(sql, accessKey)} AND s.access_key = ${accessKey} AND ${isLive(sql)}
      AND (starts_with(s.name, ${prefix}) OR starts_with(s.id::text, ${prefix.toLowerCase()}))
    ORDER BY s.created_at DESC, s.id LIMIT ${limit}`;
  return v
    .parse(v.array(matchRow), [...rows])
    .map((row) => ({ id: row.id, name: row.name ?? row.id, status: row.status }));
}

export async function selectKernelById(
  sql: Db,
  sessionId: string,
  kernelId: string,
): Promise<KernelRecord | null> {
  const [row] = await sql`
    SELECT ${selectKernel(sql)} FROM kernels k LEFT JOIN agents a ON a.id = k.agent
    WHERE k.session_id = ${sessionId} AND k.id = ${kernelId}`;
  return row ? toKernel(v.parse(kernelRow, row)) : null;
}

const idRow = v.object({ id: v.string() });

/** Ids of sessions that are not over, in the order of ids, after the given one. */
export async function selectLiveIds(
  sql: Db,
  after: string | null,
  limit: number,
): Promise<string[]> {
  const rows = await sql`
    SELECT id FROM sessions s
     WHERE ${isLive(sql)} AND (${after === null} OR id > ${after}::uuid)
     ORDER BY id LIMIT ${limit}`;
  return v.parse(v.array(idRow), [...rows]).map((row) => row.id);
}

/** Ids of the live sessions that depend on the given one, directly or not, in the scope; at most `limit`. */
export async function selectDependents(
  sql: Db,
  sessionId: string,
  scope: SessionScope,
  limit: number,
): Promise<string[]> {
  const dead = sql.array([...terminalStatuses]);
  const rows = await sql`
    WITH RECURSIVE dependents AS (
      SELECT d.session_id AS id FROM session_dependencies d WHERE d.depends_on = ${sessionId}
      UNION
      SELECT d.session_id FROM session_dependencies d JOIN dependents p ON d.depends_on = p.id
    )
    SELECT s.id FROM dependents JOIN sessions s USING (id)
    WHERE NOT s.status = ANY(${dead}::varchar[]) AND ${visible(sql, scope)}
    ORDER BY s.id LIMIT ${limit}`;
  return v.parse(v.array(idRow), [...rows]).map((row) => row.id);
}

const labels = v.object({ name: v.string(), tag: v.nullable(v.string()) });

/** Gives a running session other labels; null leaves one. @returns null when it does not run. */
export async function updateLabels(
  sql: Db,
  sessionId: string,
  { name, tag }: { readonly name: string | null; readonly tag: string | null },
): Promise<{
  before: v.InferOutput<typeof labels>;
  after: v.InferOutput<typeof labels>;
} | null> {
  const [before] = await sql`
    SELECT name, tag FROM sessions WHERE id = ${sessionId} AND status = 'RUNNING' FOR UPDATE`;
  if (!before) return null;
  const [after] = await sql`
    UPDATE sessions SET name = coalesce(${name}::text, name), tag = coalesce(${tag}::text, tag)
    WHERE id = ${sessionId} RETURNING name, tag`;
  await sql`
    UPDATE kernels SET session_name = coalesce(${name}::text, session_name),
                       tag = coalesce(${tag}::text, tag)
    WHERE session_id = ${sessionId}`;
  return { before: v.parse(labels, before), after: v.parse(labels, after) };
}

export async function addQuery(sql: Db, kernelId: string): Promise<void> {
  await sql`
    WITH counted AS (
      UPDATE kernels SET num_queries = coalesce(num_queries, 0) + 1
      WHERE id = ${kernelId} RETURNING session_id
    )
    UPDATE sessions SET num_queries = coalesce(num_queries, 0) + 1
    WHERE id IN (SELECT session_id FROM counted)`;
}
