/** The SQL that stores new sessions, many at a time. */
import { BackendError } from '../../common/errors.ts';
import { formatAmount, formatSlots, type Slots } from '../../common/slots.ts';
import { type AuditRecord, insertAuditRecords } from '../audit/service.ts';
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';
import type { FolderMount } from '../folder/mount.ts';
import { insertCallbacks } from './callback-store.ts';
import type { SessionType } from './types.ts';

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
    readonly isLocal: boolean;
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

/** Whether sessions use their own network, as the column says it. */
const networkType = (item: NewSession) => (item.useHostNetwork ? 'host' : 'volatile');

function sessionRow(item: RecordedSession) {
  const images = imagesOf(item);
  return {
    id: item.id,
    creation_id: item.creationId,
    name: item.name,
    session_type: item.type.toUpperCase(),
    priority: item.priority,
    is_preemptible: item.isPreemptible,
    cluster_mode: item.clusterMode,
    cluster_size: item.kernels.length,
    options: item.options,
    designated_agent_ids: item.designatedAgents,
    scaling_group_name: item.scalingGroup,
    domain_name: item.domainName,
    group_id: item.groupId,
    user_uuid: item.userId,
    access_key: item.accessKey,
    images: images.map(({ canonical }) => canonical),
    image_ids: images.map(({ id }) => id),
    tag: item.tag,
    requested_slots: formatSlots(item.totalSlots),
    vfolder_mounts: item.mounts,
    environ: item.environ,
    bootstrap_script: item.bootstrapScript,
    use_host_network: item.useHostNetwork,
    batch_timeout: item.batchTimeoutSec,
    starts_at: item.startsAt?.toISOString() ?? null,
    callback_url: item.callbackUrl,
    startup_command: item.startupCommand,
    network_type: networkType(item),
    network_id: item.useHostNetwork ? 'host' : null,
    cluster_ssh_keypair: item.sshKeypair,
    trace_context: item.traceparent,
  };
}

async function insertSessionRows(
  tx: Db,
  items: readonly RecordedSession[],
  now: Date,
): Promise<void> {
  const history = jsonText({ PENDING: now.toISOString() });
  await tx`
    INSERT INTO sessions (id, creation_id, name, session_type, priority, is_preemptible,
      cluster_mode, cluster_size, options, designated_agent_ids, scaling_group_name,
      target_sgroup_names, domain_name, group_id, user_uuid, access_key, images, image_ids, tag,
      occupying_slots, requested_slots, vfolder_mounts, environ, bootstrap_script,
      use_host_network, batch_timeout, created_at, starts_at, status, status_info, status_data,
      status_history, callback_url, startup_command, result, num_queries, network_type,
      network_id, cluster_ssh_keypair, trace_context)
    SELECT id, creation_id, name, session_type, priority, is_preemptible, cluster_mode,
      cluster_size, options, designated_agent_ids, scaling_group_name, '{}', domain_name, group_id,
      user_uuid, access_key, images, image_ids, tag, '{}', requested_slots, vfolder_mounts, environ,
      bootstrap_script, use_host_network, batch_timeout, ${now}::timestamptz, starts_at, 'PENDING',
      '', '{}', ${history}::text::jsonb, callback_url, startup_command, 'UNDEFINED', 0,
      network_type, network_id, cluster_ssh_keypair, trace_context
    FROM json_to_recordset(${jsonText(items.map(sessionRow))}::text::json) AS c(id uuid,
      creation_id varchar, name varchar, session_type varchar, priority int,
      is_preemptible boolean, cluster_mode varchar, cluster_size int, options jsonb,
      designated_agent_ids varchar[], scaling_group_name varchar, domain_name varchar,
      group_id uuid, user_uuid uuid, access_key varchar, images varchar[], image_ids uuid[],
      tag varchar, requested_slots jsonb, vfolder_mounts jsonb, environ jsonb,
      bootstrap_script varchar, use_host_network boolean, batch_timeout bigint,
      starts_at timestamptz, callback_url text, startup_command text, network_type varchar,
      network_id varchar, cluster_ssh_keypair jsonb, trace_context text)`;
}

function kernelRows(item: NewSession) {
  const shared = {
    session_id: item.id,
    session_creation_id: item.creationId,
    session_name: item.name,
    session_type: item.type.toUpperCase(),
    cluster_mode: item.clusterMode,
    cluster_size: item.kernels.length,
    uid: item.uid,
    main_gid: item.mainGid,
    gids: item.gids,
    scaling_group: item.scalingGroup,
    domain_name: item.domainName,
    group_id: item.groupId,
    user_uuid: item.userId,
    access_key: item.accessKey,
    tag: item.tag,
    mounts: item.mounts.map(({ name }) => name),
    mount_map: Object.fromEntries(item.mounts.map(({ name, kernel_path }) => [name, kernel_path])),
    vfolder_mounts: item.mounts,
    use_host_network: item.useHostNetwork,
    callback_url: item.callbackUrl,
  };
  return item.kernels.map((kernel) => ({
    ...shared,
    id: kernel.id,
    cluster_role: kernel.role,
    cluster_idx: kernel.idx,
    local_rank: kernel.localRank,
    cluster_hostname: kernel.hostname,
    image: kernel.image.canonical,
    image_id: kernel.image.id,
    architecture: kernel.image.architecture,
    registry: kernel.image.registry,
    requested_slots: formatSlots(kernel.slots),
    environ: Object.entries(kernel.environ).map(([name, value]) => `${name}=${value}`),
    resource_opts: kernel.resourceOpts,
    bootstrap_script: kernel.bootstrapScript,
    preopen_ports: kernel.preopenPorts,
    startup_command: kernel.startupCommand,
  }));
}

async function insertKernelRows(tx: Db, items: readonly NewSession[], now: Date): Promise<void> {
  const history = jsonText({ PENDING: now.toISOString() });
  await tx`
    INSERT INTO kernels (id, session_id, session_creation_id, session_name, session_type,
      cluster_mode, cluster_size, cluster_role, cluster_idx, local_rank, cluster_hostname, uid,
      main_gid, gids, scaling_group, domain_name, group_id, user_uuid, access_key, image, image_id,
      architecture, registry, tag, occupied_slots, requested_slots, occupied_shares, environ,
      mounts, mount_map, vfolder_mounts, attached_devices, resource_opts, bootstrap_script,
      repl_in_port, repl_out_port, stdin_port, stdout_port, preopen_ports, use_host_network,
      created_at, status, status_changed, status_info, status_data, status_history, callback_url,
      startup_command, result, internal_data, num_queries)
    SELECT id, session_id, session_creation_id, session_name, session_type, cluster_mode,
      cluster_size, cluster_role, cluster_idx, local_rank, cluster_hostname, uid, main_gid, gids,
      scaling_group, domain_name, group_id, user_uuid, access_key, image, image_id, architecture,
      registry, tag, '{}', requested_slots, '{}', environ, mounts, mount_map, vfolder_mounts, '{}',
      resource_opts, bootstrap_script, 0, 0, 0, 0, preopen_ports, use_host_network,
      ${now}::timestamptz, 'PENDING', ${now}::timestamptz, '', '{}', ${history}::text::jsonb,
      callback_url, startup_command, 'UNDEFINED', '{}', 0
    FROM json_to_recordset(${jsonText(items.flatMap(kernelRows))}::text::json) AS c(id uuid,
      session_id uuid, session_creation_id varchar, session_name varchar, session_type varchar,
      cluster_mode varchar, cluster_size int, cluster_role varchar, cluster_idx int,
      local_rank int, cluster_hostname varchar, uid int, main_gid int, gids int[],
      scaling_group varchar, domain_name varchar, group_id uuid, user_uuid uuid,
      access_key varchar, image varchar, image_id uuid, architecture varchar, registry varchar,
      tag varchar, requested_slots jsonb, environ varchar[], mounts varchar[], mount_map jsonb,
      vfolder_mounts jsonb, resource_opts jsonb, bootstrap_script varchar, preopen_ports int[],
      use_host_network boolean, callback_url text, startup_command text)`;
}

async function insertAllocations(tx: Db, items: readonly NewSession[], now: Date): Promise<void> {
  const rows = items.flatMap(({ kernels }) =>
    kernels.flatMap(({ id, slots }) =>
      [...slots].map(([slot, amount]) => ({ id, slot, requested: formatAmount(amount) })),
    ),
  );
  await tx`
    INSERT INTO resource_allocations (kernel_id, slot_name, requested, created_at)
    SELECT id, slot, requested, ${now}::timestamptz
    FROM json_to_recordset(${jsonText(rows)}::text::json)
      AS c(id uuid, slot varchar, requested numeric)`;
}

async function insertDependencies(tx: Db, items: readonly NewSession[]): Promise<void> {
  const rows = items.flatMap(({ id, dependencies }) =>
    dependencies.map((depends_on) => ({ session_id: id, depends_on })),
  );
  if (rows.length === 0) return;
  await tx`
    INSERT INTO session_dependencies (session_id, depends_on)
    SELECT session_id, depends_on
    FROM json_to_recordset(${jsonText(rows)}::text::json) AS c(session_id uuid, depends_on uuid)`;
}

/** The folders that a session mounts, each once. */
const folderIds = ({ mounts }: NewSession): string[] => [
  ...new Set(mounts.map(({ vfid }) => vfid.slice(vfid.lastIndexOf('/') + 1))),
];

async function insertAttachments(tx: Db, items: readonly NewSession[]): Promise<void> {
  const rows = items.flatMap((item) =>
    folderIds(item).flatMap((vfolder) => item.kernels.map(({ id }) => ({ vfolder, kernel: id }))),
  );
  if (rows.length === 0) return;
  await tx`
    INSERT INTO vfolder_attachment (vfolder, kernel)
    SELECT vfolder, kernel
    FROM json_to_recordset(${jsonText(rows)}::text::json) AS c(vfolder uuid, kernel uuid)`;
}

/**
 * Makes sure that the folders are still there to be mounted, and stay so until the sessions are.
 * @throws BackendError VFolderFilterStatusFailed when one went to the trash meanwhile.
 */
async function holdFolders(tx: Db, items: readonly NewSession[], now: Date): Promise<void> {
  const ids = [...new Set(items.flatMap(folderIds))];
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

/** A session, and of the request that makes it: the record of whose it is, and its span. */
export interface RecordedSession extends NewSession {
  readonly record: AuditRecord;
  /** null: it is not traced. */
  readonly traceparent: string | null;
}

/** Inserts sessions, PENDING, with all that belongs to them: everything or nothing. */
export async function insertSessions(
  tx: Db,
  items: readonly RecordedSession[],
  now: Date,
): Promise<void> {
  await holdFolders(tx, items, now);
  const ids = tx.array(items.map(({ id }) => id));
  // Sent together, in this order: the later ones refer to what the earlier ones insert.
  await Promise.all([
    insertSessionRows(tx, items, now),
    insertKernelRows(tx, items, now),
    insertAllocations(tx, items, now),
    insertDependencies(tx, items),
    insertAttachments(tx, items),
    insertAuditRecords(
      tx,
      items.map(({ record }) => record),
    ),
    tx`
      INSERT INTO session_scheduling_history (session_id, phase, from_status, to_status, result,
        message, attempts, created_at, updated_at)
      SELECT id, 'enqueue', NULL, 'PENDING', 'SUCCESS', 'enqueued', 1, ${now}::timestamptz,
        ${now}::timestamptz
      FROM unnest(${ids}::uuid[]) AS id`,
  ]);
  const calls = items.flatMap(({ id: sessionId, callbackUrl: url }) =>
    url === null ? [] : [{ sessionId, url, event: 'enqueued' }],
  );
  await insertCallbacks(tx, calls, now);
}
