/** The SQL of enqueueing: what the checks need to know, and the one transaction that inserts. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { formatAmount, formatSlots, type Slots } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { amountColumn, jsonText } from '../db/json.ts';
import type { FolderMount } from '../folder/mount.ts';
import { insertCallbacks } from './callback-store.ts';
import type { AgentCapacity, SlotDefinition } from './resources.ts';
import { liveSessionStatuses, type SessionStatus, sessionStatus } from './status.ts';
import type { SessionType } from './types.ts';

const slotRow = v.object({ slot_name: v.string(), slot_type: v.string(), required: v.boolean() });

export async function selectSlotDefinitions(sql: Db): Promise<Map<string, SlotDefinition>> {
  const rows = await sql`
    SELECT slot_name, slot_type, required FROM resource_slot_types
    WHERE enabled ORDER BY rank, slot_name`;
  return new Map(
    v
      .parse(v.array(slotRow), [...rows])
      .map((row) => [
        row.slot_name,
        { name: row.slot_name, type: row.slot_type, required: row.required },
      ]),
  );
}

const capacityRow = v.object({
  id: v.string(),
  architecture: v.string(),
  slot_name: v.nullable(v.string()),
  capacity: v.nullable(amountColumn),
});

/** The agents of a resource group that may take sessions now or when they come back. */
export async function selectCapacities(sql: Db, group: string): Promise<AgentCapacity[]> {
  const rows = await sql`
    SELECT a.id, a.architecture, r.slot_name, r.capacity
    FROM agents a LEFT JOIN agent_resources r ON r.agent_id = a.id
    WHERE a.scaling_group = ${group} AND a.status <> 'TERMINATED' AND a.schedulable
    ORDER BY a.id`;
  const out = new Map<string, { architecture: string; capacity: Map<string, bigint> }>();
  for (const row of v.parse(v.array(capacityRow), [...rows])) {
    const agent = out.get(row.id) ?? { architecture: row.architecture, capacity: new Map() };
    if (row.slot_name !== null && row.capacity !== null) {
      agent.capacity.set(row.slot_name, row.capacity);
    }
    out.set(row.id, agent);
  }
  return [...out].map(([id, agent]) => ({ id, ...agent }));
}

const existingRow = v.object({
  id: v.string(),
  name: v.nullable(v.string()),
  access_key: v.nullable(v.string()),
  status: sessionStatus,
  image_ids: v.nullable(v.array(v.string())),
});

export interface ExistingSession {
  readonly id: string;
  readonly accessKey: string | null;
  readonly status: SessionStatus;
  readonly imageIds: readonly string[];
}

/** The user's live session of that name. */
export async function selectLiveByName(
  sql: Db,
  userId: string,
  name: string,
): Promise<ExistingSession | null> {
  const [row] = await sql`
    SELECT id, name, access_key, status, image_ids FROM sessions
    WHERE name = ${name} AND user_uuid = ${userId}
      AND status NOT IN ('ERROR', 'TERMINATED', 'CANCELLED')`;
  if (!row) return null;
  const parsed = v.parse(existingRow, row);
  return {
    id: parsed.id,
    accessKey: parsed.access_key,
    status: parsed.status,
    imageIds: parsed.image_ids ?? [],
  };
}

const ownerRow = v.object({
  sudo_session_enabled: v.boolean(),
  container_uid: v.nullable(v.number()),
  container_main_gid: v.nullable(v.number()),
  container_gids: v.nullable(v.array(v.number())),
  live: v.number(),
  live_sftp: v.number(),
  pending: v.number(),
});
export type OwnerRow = v.InferOutput<typeof ownerRow>;

/** The user's own settings, and how many live and pending sessions the keypair has. */
export async function selectOwner(
  sql: Db,
  userId: string,
  accessKey: string,
): Promise<OwnerRow | null> {
  const live = sql.array([...liveSessionStatuses.filter((status) => status !== 'TERMINATING')]);
  const [row] = await sql`
    SELECT u.sudo_session_enabled, u.container_uid, u.container_main_gid, u.container_gids, c.*
    FROM users u CROSS JOIN (
      SELECT count(*) FILTER (WHERE session_type <> 'SYSTEM')::int AS live,
        count(*) FILTER (WHERE session_type = 'SYSTEM')::int AS live_sftp,
        count(*) FILTER (WHERE status = 'PENDING')::int AS pending
      FROM sessions WHERE access_key = ${accessKey} AND status = ANY(${live}::varchar[])
    ) c WHERE u.uuid = ${userId}`;
  return row ? v.parse(ownerRow, row) : null;
}

const pendingRow = v.object({ slot_name: v.string(), total: amountColumn });

/** What the keypair's pending sessions ask for together. Millionths. */
export async function selectPendingSlots(sql: Db, accessKey: string): Promise<Slots> {
  const rows = await sql`
    SELECT a.slot_name, sum(a.requested)::text AS total
    FROM kernels k JOIN resource_allocations a ON a.kernel_id = k.id AND a.free_at IS NULL
    WHERE k.access_key = ${accessKey} AND k.status = 'PENDING' GROUP BY 1`;
  return new Map(v.parse(v.array(pendingRow), [...rows]).map((row) => [row.slot_name, row.total]));
}

/**
 * Those of `ids` that are sessions of the domain and, unless `userId` is null, of that user; with
 * whether they ended without success.
 */
export async function selectDependencies(
  sql: Db,
  ids: readonly string[],
  { domain, userId }: { readonly domain: string; readonly userId: string | null },
): Promise<Map<string, boolean>> {
  const rows = await sql`
    SELECT id, status IN ('CANCELLED', 'ERROR') OR (status = 'TERMINATED' AND result <> 'SUCCESS')
      AS has_failed FROM sessions
    WHERE id = ANY(${sql.array([...ids])}::uuid[]) AND domain_name = ${domain}
      AND (${userId}::uuid IS NULL OR user_uuid = ${userId}::uuid)`;
  const found = v.parse(v.array(v.object({ id: v.string(), has_failed: v.boolean() })), [...rows]);
  return new Map(found.map((row) => [row.id, row.has_failed]));
}

export interface NewKernel {
  readonly id: string;
  readonly role: string;
  readonly idx: number;
  readonly localRank: number;
  readonly hostname: string;
  readonly image: {
    readonly id: string;
    readonly canonical: string;
    readonly architecture: string;
    readonly registry: string;
  };
  readonly slots: Slots;
  /** What its image needs at least. */
  readonly least: Slots;
  readonly resourceOpts: Readonly<Record<string, unknown>>;
  /** Everything that programs see. */
  readonly environ: Readonly<Record<string, string>>;
  readonly bootstrapScript: string | null;
  readonly startupCommand: string | null;
  readonly preopenPorts: readonly number[];
}

export interface NewSession {
  readonly id: string;
  readonly creationId: string;
  readonly name: string;
  readonly type: SessionType;
  readonly priority: number;
  readonly isPreemptible: boolean;
  readonly options: Readonly<Record<string, unknown>>;
  readonly designatedAgents: readonly string[];
  readonly scalingGroup: string;
  readonly domainName: string;
  readonly groupId: string;
  readonly userId: string;
  readonly accessKey: string;
  readonly tag: string | null;
  readonly clusterMode: 'single-node' | 'multi-node';
  /** Of all kernels together. */
  readonly totalSlots: Slots;
  /** As requested for the main kernel, as are the script and the command. */
  readonly environ: Readonly<Record<string, string>>;
  readonly bootstrapScript: string | null;
  readonly startupCommand: string | null;
  readonly useHostNetwork: boolean;
  readonly batchTimeoutSec: number | null;
  readonly startsAt: Date | null;
  readonly callbackUrl: string | null;
  readonly mounts: readonly FolderMount[];
  readonly uid: number | null;
  readonly mainGid: number | null;
  readonly gids: readonly number[] | null;
  readonly dependencies: readonly string[];
  /** The main one first. */
  readonly kernels: readonly NewKernel[];
  /** By which the kernels of a cluster reach each other. */
  readonly sshKeypair: { readonly publicKey: string; readonly privateKey: string } | null;
}

/** The images of a session's kernels, each once, that of the main kernel first. */
const imagesOf = ({ kernels }: NewSession) => [
  ...new Map(kernels.map(({ image }) => [image.id, image])).values(),
];

function insertSessionRow(tx: Db, item: NewSession, now: Date) {
  const history = jsonText({ PENDING: now.toISOString() });
  const images = imagesOf(item);
  return tx`
    INSERT INTO sessions (id, creation_id, name, session_type, priority, is_preemptible,
      cluster_mode, cluster_size, options, designated_agent_ids, scaling_group_name,
      target_sgroup_names, domain_name, group_id, user_uuid, access_key, images, image_ids, tag,
      occupying_slots, requested_slots, vfolder_mounts, environ, bootstrap_script,
      use_host_network, batch_timeout, created_at, starts_at, status, status_info, status_data,
      status_history, callback_url, startup_command, result, num_queries, network_type,
      cluster_ssh_keypair)
    VALUES (${item.id}, ${item.creationId}, ${item.name}, ${item.type.toUpperCase()},
      ${item.priority}, ${item.isPreemptible}, ${item.clusterMode}, ${item.kernels.length},
      ${jsonText(item.options)}::text::jsonb, ${tx.array([...item.designatedAgents])}::varchar[],
      ${item.scalingGroup}, '{}', ${item.domainName}, ${item.groupId}, ${item.userId},
      ${item.accessKey}, ${tx.array(images.map(({ canonical }) => canonical))}::varchar[],
      ${tx.array(images.map(({ id }) => id))}::uuid[], ${item.tag}, '{}',
      ${jsonText(formatSlots(item.totalSlots))}::text::jsonb,
      ${jsonText(item.mounts)}::text::jsonb,
      ${jsonText(item.environ)}::text::jsonb, ${item.bootstrapScript}, ${item.useHostNetwork},
      ${item.batchTimeoutSec}, ${now}, ${item.startsAt}, 'PENDING', '', '{}',
      ${history}::text::jsonb, ${item.callbackUrl}, ${item.startupCommand}, 'UNDEFINED', 0,
      ${item.useHostNetwork ? 'host' : 'volatile'},
      ${item.sshKeypair && jsonText(item.sshKeypair)}::text::jsonb)`;
}

function insertKernelRows(tx: Db, item: NewSession, now: Date) {
  const rows = item.kernels.map(({ image, slots, ...kernel }) => ({
    ...kernel,
    image: image.canonical,
    imageId: image.id,
    architecture: image.architecture,
    registry: image.registry,
    slots: formatSlots(slots),
    environ: Object.entries(kernel.environ).map(([name, value]) => `${name}=${value}`),
  }));
  const mountMap = Object.fromEntries(
    item.mounts.map(({ name, kernel_path }) => [name, kernel_path]),
  );
  const history = jsonText({ PENDING: now.toISOString() });
  return tx`
    INSERT INTO kernels (id, session_id, session_creation_id, session_name, session_type,
      cluster_mode, cluster_size, cluster_role, cluster_idx, local_rank, cluster_hostname, uid,
      main_gid, gids, scaling_group, domain_name, group_id, user_uuid, access_key, image, image_id,
      architecture, registry, tag, occupied_slots, requested_slots, occupied_shares, environ,
      mounts, mount_map, vfolder_mounts, attached_devices, resource_opts, bootstrap_script,
      repl_in_port, repl_out_port, stdin_port, stdout_port, preopen_ports, use_host_network,
      created_at, status, status_changed, status_info, status_data, status_history, callback_url,
      startup_command, result, internal_data, num_queries)
    SELECT c.id, ${item.id}, ${item.creationId}, ${item.name}, ${item.type.toUpperCase()},
      ${item.clusterMode}, ${item.kernels.length}, c.role, c.idx, c."localRank", c.hostname,
      ${item.uid}::int, ${item.mainGid}::int,
      ${item.gids === null ? null : tx.array([...item.gids])}::int[], ${item.scalingGroup},
      ${item.domainName}, ${item.groupId}::uuid, ${item.userId}::uuid, ${item.accessKey},
      c.image, c."imageId", c.architecture, c.registry, ${item.tag}, '{}', c.slots, '{}',
      ARRAY(SELECT jsonb_array_elements_text(c.environ)),
      ${tx.array(item.mounts.map(({ name }) => name))}::varchar[],
      ${jsonText(mountMap)}::text::jsonb, ${jsonText(item.mounts)}::text::jsonb, '{}',
      c."resourceOpts", c."bootstrapScript", 0, 0, 0, 0,
      ARRAY(SELECT jsonb_array_elements_text(c."preopenPorts")::int), ${item.useHostNetwork},
      ${now}::timestamptz,
      'PENDING', ${now}::timestamptz, '', '{}', ${history}::text::jsonb, ${item.callbackUrl},
      c."startupCommand", 'UNDEFINED', '{}', 0
    FROM jsonb_to_recordset(${jsonText(rows)}::text::jsonb) AS c(id uuid, role varchar, idx int,
      "localRank" int, hostname varchar, image varchar, "imageId" uuid, architecture varchar,
      registry varchar, slots jsonb, "resourceOpts" jsonb, environ jsonb,
      "bootstrapScript" varchar, "startupCommand" text, "preopenPorts" jsonb)`;
}

/** The folders that a session mounts, each once. */
const folderIds = ({ mounts }: NewSession): string[] => [
  ...new Set(mounts.map(({ vfid }) => vfid.slice(vfid.lastIndexOf('/') + 1))),
];

/**
 * Makes sure that the folders are still there to be mounted, and stay so until the session is.
 * @throws BackendError VFolderFilterStatusFailed when one went to the trash meanwhile.
 */
async function holdFolders(tx: Db, item: NewSession, now: Date): Promise<void> {
  const ids = folderIds(item);
  if (ids.length === 0) return;
  const held = await tx`
    UPDATE vfolders SET last_used = ${now}
     WHERE id = ANY (${tx.array(ids)}::uuid[])
       AND status IN ('ready', 'performing', 'cloning', 'mounted')
    RETURNING id`;
  if (held.length === ids.length) return;
  throw new BackendError(
    'VFolderFilterStatusFailed',
    'A folder that the session mounts was deleted just now. Create the session without it.',
  );
}

/** Inserts a session, PENDING, with all that belongs to it: everything or nothing. */
export async function insertSession(sql: Sql, item: NewSession, now: Date): Promise<void> {
  const allocations = jsonText(
    item.kernels.flatMap(({ id, slots }) =>
      [...slots].map(([slot, requested]) => ({
        id,
        slot,
        requested: formatAmount(requested),
      })),
    ),
  );
  await sql.begin(async (tx) => {
    await holdFolders(tx, item, now);
    await Promise.all([
      insertSessionRow(tx, item, now),
      insertKernelRows(tx, item, now),
      tx`
      INSERT INTO resource_allocations (kernel_id, slot_name, requested, created_at)
      SELECT id, slot, requested, ${now}::timestamptz
      FROM jsonb_to_recordset(${allocations}::text::jsonb)
        AS c(id uuid, slot varchar, requested numeric)`,
      tx`
      INSERT INTO session_dependencies (session_id, depends_on)
      SELECT ${item.id}::uuid, id FROM unnest(${tx.array([...item.dependencies])}::uuid[]) AS id`,
      tx`
      INSERT INTO session_scheduling_history (session_id, phase, from_status, to_status, result,
        message, attempts, created_at, updated_at)
      VALUES (${item.id}, 'enqueue', NULL, 'PENDING', 'SUCCESS', 'enqueued', 1, ${now}, ${now})`,
      tx`
        INSERT INTO vfolder_attachment (vfolder, kernel)
        SELECT f, k FROM unnest(${tx.array(folderIds(item))}::uuid[]) AS f,
                         unnest(${tx.array(item.kernels.map(({ id }) => id))}::uuid[]) AS k`,
    ]);
    if (item.callbackUrl !== null) {
      const enqueued = { sessionId: item.id, url: item.callbackUrl, event: 'enqueued' };
      await insertCallbacks(tx, [enqueued], now);
    }
  });
}
