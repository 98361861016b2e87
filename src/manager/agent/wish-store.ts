/** The SQL behind wishes: which kernels need one, and all that an agent must know to start one. */
import * as v from 'valibot';
import { type ClusterJoin, type KernelSpec, servicePort } from '../../common/protocol/kernel.ts';
import type { Db } from '../db/connect.ts';
import { labelsColumn, slotMapColumn } from '../db/json.ts';
import { placeDotfiles, withSshKey } from '../dotfile/placement.ts';
import { startTraceparent } from '../session/life-trace.ts';
import {
  clusterModeColumn,
  type KernelStatus,
  kernelStatus,
  sessionTypeColumn,
} from '../session/status.ts';

const dueRow = v.object({
  id: v.string(),
  session_id: v.string(),
  status: kernelStatus,
  status_info: v.nullable(v.string()),
  status_changed: v.nullable(v.date()),
  agent: v.string(),
  agent_addr: v.nullable(v.string()),
  identity_key: v.nullable(v.string()),
});
export type DueKernel = v.InferOutput<typeof dueRow>;

/** Since when a kernel has something for its agent; as in its index, which holds nothing else. */
const dueSince = (sql: Db) => sql`
  (CASE WHEN k.status IN ('SCHEDULED', 'TERMINATING')
      OR (k.status = 'RUNNING' AND k.cluster_size > 1 AND k.cluster_joined_at IS NULL)
    THEN k.status_changed END)`;

/** When a kernel ended without its agent's word; as in its index. */
const unconfirmedSince = (sql: Db) => sql`
  (CASE WHEN k.status = 'TERMINATED' AND NOT coalesce(k.status_data, '{}') ? 'kernel'
    THEN k.terminated_at END)`;

/** A kernel, and the status in which its agent was told what to do with it. */
export interface ToldKernel {
  readonly id: string;
  readonly status: KernelStatus;
}

/**
 * Kernels whose agent has something to do that it may not know of: start (SCHEDULED), tell them where
 * the others are (RUNNING, as are all kernels of their session), end (TERMINATING), clean up (ended in
 * the books, without its agent's word, in the last minute; later the heartbeat takes care). Agents that
 * are away are left out. At most `limit`.
 * @param told left out, as long as they are in that status.
 */
export async function selectDueKernels(
  sql: Db,
  now: Date,
  { told, limit }: { readonly told: readonly ToldKernel[]; readonly limit: number },
): Promise<DueKernel[]> {
  // A subquery, as only that is hashed: a list would be compared with each kernel from end to end.
  const isUntold = (status: KernelStatus) => {
    const ids = told.filter((kernel) => kernel.status === status).map(({ id }) => id);
    return sql`(k.status <> ${status} OR k.id NOT IN (SELECT unnest(${sql.array(ids)}::uuid[])))`;
  };
  const rows = await sql`
    SELECT k.id, k.session_id, k.status, k.status_info, k.status_changed, k.agent, k.agent_addr,
      a.identity_key
    FROM (
      SELECT * FROM kernels k
      -- Counted, as what exists is looked for in the whole table when many kernels are due.
      WHERE ${dueSince(sql)} > '-infinity' AND (k.status <> 'RUNNING' OR 0 = (
        SELECT count(*) FROM kernels o WHERE o.session_id = k.session_id AND o.status <> 'RUNNING'))
        AND ${isUntold('SCHEDULED')} AND ${isUntold('RUNNING')} AND ${isUntold('TERMINATING')}
      UNION ALL
      SELECT * FROM kernels k
      WHERE ${unconfirmedSince(sql)} > ${now}::timestamptz - interval '1 minute'
        AND ${isUntold('TERMINATED')}
    ) AS k
    -- OFFSET 0: what is due is read once, not once for each agent.
    CROSS JOIN LATERAL (SELECT status, identity_key FROM agents WHERE id = k.agent OFFSET 0) AS a
    WHERE a.status = 'ALIVE'
    ORDER BY k.status_changed, k.id LIMIT ${limit}`;
  return v.parse(v.array(dueRow), [...rows]);
}

const specRow = v.object({
  id: v.string(),
  session_id: v.string(),
  session_name: v.nullable(v.string()),
  session_type: sessionTypeColumn,
  access_key: v.nullable(v.string()),
  user_uuid: v.string(),
  group_id: v.string(),
  image: v.nullable(v.string()),
  architecture: v.nullable(v.string()),
  config_digest: v.nullable(v.string()),
  labels: v.nullable(labelsColumn),
  is_local: v.nullable(v.boolean()),
  registry_username: v.nullable(v.string()),
  registry_password: v.nullable(v.string()),
  cluster_mode: clusterModeColumn,
  cluster_size: v.number(),
  cluster_role: v.string(),
  cluster_idx: v.number(),
  local_rank: v.number(),
  cluster_hostname: v.string(),
  cluster_ssh_keypair: v.nullable(v.object({ publicKey: v.string(), privateKey: v.string() })),
  use_host_network: v.boolean(),
  slots: slotMapColumn,
  shmem: v.nullable(v.string()),
  may_fragment: v.boolean(),
  environ: v.nullable(v.array(v.string())),
  bootstrap_script: v.nullable(v.string()),
  keypair_dotfiles: v.nullable(v.instance(Uint8Array)),
  ssh_public_key: v.nullable(v.string()),
  ssh_private_key: v.nullable(v.string()),
  project_dotfiles: v.nullable(v.instance(Uint8Array)),
  domain_dotfiles: v.nullable(v.instance(Uint8Array)),
  startup_command: v.nullable(v.string()),
  batch_timeout: v.nullable(v.string()),
  trace_context: v.nullable(v.string()),
  scheduled_at: v.nullable(v.string()),
  preopen_ports: v.nullable(v.array(v.number())),
  vfolder_mounts: v.nullable(
    v.array(
      v.looseObject({
        name: v.string(),
        host_path: v.string(),
        vfsubpath: v.optional(v.string(), '.'),
        kernel_path: v.string(),
        mount_perm: v.string(),
      }),
    ),
  ),
});

/** `NAME=value` entries as a map. */
function environOf(entries: readonly string[]): Record<string, string> {
  const out: Record<string, string> = {};
  for (const entry of entries) {
    const cut = entry.indexOf('=');
    if (cut > 0) out[entry.slice(0, cut)] = entry.slice(cut + 1);
  }
  return out;
}

function accountOf(row: v.InferOutput<typeof specRow>): KernelSpec['image']['registryAccount'] {
  const { registry_username: username, registry_password: password } = row;
  return username && password ? { username, password } : null;
}

export type AutoPull = KernelSpec['image']['autoPull'];

function toSpec(row: v.InferOutput<typeof specRow>, autoPull: AutoPull): KernelSpec {
  const isMain = row.cluster_role === 'main' && row.cluster_idx === 1;
  const mountPaths = (row.vfolder_mounts ?? []).map((mount) => mount.kernel_path);
  return {
    kernelId: row.id,
    sessionId: row.session_id,
    sessionName: row.session_name ?? '',
    sessionType: row.session_type,
    accessKey: row.access_key ?? '',
    ownerUserId: row.user_uuid,
    ownerProjectId: row.group_id,
    image: {
      canonical: row.image ?? '',
      architecture: row.architecture ?? 'x86_64',
      digest: row.config_digest?.trim() ?? '',
      labels: row.labels ?? {},
      isLocal: row.is_local ?? false,
      autoPull,
      registryAccount: accountOf(row),
    },
    cluster: {
      mode: row.cluster_mode,
      size: row.cluster_size,
      role: row.cluster_role,
      idx: row.cluster_idx,
      localRank: row.local_rank,
      hostname: row.cluster_hostname,
      sshKeypair: row.cluster_ssh_keypair,
    },
    useHostNetwork: row.use_host_network,
    slots: row.slots,
    allowFractionalResourceFragmentation: row.may_fragment,
    shmemBytes: Number(row.shmem ?? 0),
    environ: environOf(row.environ ?? []),
    bootstrapScript: row.bootstrap_script || null,
    dotfiles: withSshKey(
      placeDotfiles(
        {
          keypair: row.keypair_dotfiles,
          project: row.project_dotfiles,
          domain: row.domain_dotfiles,
        },
        mountPaths,
      ),
      { publicKey: row.ssh_public_key, privateKey: row.ssh_private_key },
      mountPaths,
    ),
    startupCommand: isMain ? row.startup_command : null,
    batchTimeoutMs: row.batch_timeout === null ? null : Number(row.batch_timeout) * 1000,
    preopenPorts: row.preopen_ports ?? [],
    mounts: (row.vfolder_mounts ?? []).map((mount) => ({
      name: mount.name,
      root: mount.host_path,
      subpath: mount.vfsubpath,
      target: mount.kernel_path,
      readOnly: mount.mount_perm === 'ro',
    })),
    traceparent: startTraceparent(row.session_id, row.trace_context, row.scheduled_at),
  };
}

/** What an agent needs to start the given kernels. Kernels that are not starting are left out. */
export async function selectSpecs(
  sql: Db,
  kernelIds: readonly string[],
  autoPull: AutoPull,
): Promise<KernelSpec[]> {
  if (kernelIds.length === 0) return [];
  const rows = await sql`
    SELECT k.id, k.session_id, k.session_name, k.session_type, k.access_key, k.user_uuid,
      k.group_id, k.image, k.architecture, i.config_digest, i.labels, i.is_local,
      c.username AS registry_username, c.password AS registry_password, k.cluster_mode,
      k.cluster_size, k.cluster_role, k.cluster_idx, k.local_rank, k.cluster_hostname,
      s.cluster_ssh_keypair, k.use_host_network, s.trace_context,
      CASE WHEN s.trace_context IS NOT NULL THEN s.status_history->>'SCHEDULED' END AS scheduled_at,
      (SELECT json_object_agg(a.slot_name, trim_scale(a.requested)::text)
        FROM resource_allocations a WHERE a.kernel_id = k.id) AS slots,
      k.resource_opts->>'shmem' AS shmem,
      coalesce(k.resource_opts->>'allow_fractional_resource_fragmentation',
        r.scheduler_opts->>'allow_fractional_resource_fragmentation', 'true') <> 'false'
        AS may_fragment, k.environ, k.bootstrap_script, k.startup_command,
      s.batch_timeout::text AS batch_timeout, k.preopen_ports, p.dotfiles AS keypair_dotfiles,
      p.ssh_public_key, p.ssh_private_key,
      g.dotfiles AS project_dotfiles, d.dotfiles AS domain_dotfiles,
      k.vfolder_mounts
    FROM unnest(${sql.array([...kernelIds])}::uuid[]) AS wanted(id)
      -- OFFSET 0: only the kernel leads to its session.
      CROSS JOIN LATERAL (SELECT * FROM kernels WHERE id = wanted.id OFFSET 0) AS k
      CROSS JOIN LATERAL (SELECT cluster_ssh_keypair, batch_timeout, trace_context, status_history
        FROM sessions WHERE id = k.session_id OFFSET 0) AS s
      LEFT JOIN images i ON i.id = ANY(ARRAY[k.image_id])
      LEFT JOIN container_registries c ON c.id = i.registry_id
      LEFT JOIN scaling_groups r ON r.name = k.scaling_group
      LEFT JOIN keypairs p ON p.access_key = k.access_key
      LEFT JOIN groups g ON g.id = k.group_id LEFT JOIN domains d ON d.name = k.domain_name
    WHERE k.status IN ('SCHEDULED', 'PREPARING', 'BUILDING', 'PULLING', 'PREPARED', 'CREATING')`;
  return v.parse(v.array(specRow), [...rows]).map((row) => toSpec(row, autoPull));
}

const joinRow = v.object({
  session_id: v.string(),
  kernel_ids: v.array(v.string()),
  peers: v.array(
    v.object({
      kernelId: v.string(),
      hostname: v.string(),
      agentId: v.nullable(v.string()),
      host: v.nullable(v.string()),
      servicePorts: v.nullable(v.array(servicePort)),
    }),
  ),
});

/** The service under which a kernel's SSH server is listed. */
const SSH_SERVICE = 'sshd';

/** What the given kernels, which run, must be told of the kernels of their sessions. */
export async function selectJoins(sql: Db, kernelIds: readonly string[]): Promise<ClusterJoin[]> {
  if (kernelIds.length === 0) return [];
  const rows = await sql`
    SELECT k.session_id, array_agg(k.id ORDER BY k.local_rank) AS kernel_ids,
      (SELECT json_agg(json_build_object('kernelId', o.id, 'hostname', o.cluster_hostname,
          'agentId', o.agent, 'host', o.kernel_host, 'servicePorts', o.service_ports)
          ORDER BY o.local_rank, o.id)
        FROM kernels o WHERE o.session_id = k.session_id) AS peers
    FROM kernels k WHERE k.id = ANY(${sql.array([...kernelIds])}::uuid[]) AND k.status = 'RUNNING'
    GROUP BY k.session_id`;
  return v.parse(v.array(joinRow), [...rows]).map((row) => ({
    sessionId: row.session_id,
    kernelIds: row.kernel_ids,
    peers: row.peers.map(({ servicePorts, ...peer }) => ({
      ...peer,
      agentId: peer.agentId ?? '',
      host: peer.host ?? '',
      sshPort: servicePorts?.find(({ name }) => name === SSH_SERVICE)?.host_ports[0] ?? null,
    })),
  }));
}
