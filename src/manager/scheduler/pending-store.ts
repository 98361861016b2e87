/** The SQL that reads waiting sessions: the queue as it changes, and what stays the same about each. */
import * as v from 'valibot';
import { parseSize } from '../../common/sizes.ts';
import { parseSlots } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { slotMapColumn } from '../db/json.ts';
import {
  clusterModeColumn,
  sessionResult,
  sessionStatus,
  sessionTypeColumn,
} from '../session/status.ts';
import type { Dependency, PendingSession } from './snapshot.ts';

/** Pending sessions considered at a time, per resource group: the first in line. */
export const MAX_PENDING_PER_GROUP = 10_000;

const strings = v.pipe(
  v.nullish(v.array(v.string()), []),
  v.transform((list) => list ?? []),
);

/** Who has no factor yet has used nothing of what is due. */
const factor = v.pipe(
  v.nullable(v.string()),
  v.transform((text) => (text === null ? 1 : Number(text))),
);

const dependencyItem = v.object({
  id: v.string(),
  name: v.nullable(v.string()),
  status: sessionStatus,
  result: sessionResult,
});

const toDependency = (item: v.InferOutput<typeof dependencyItem>): Dependency => ({
  ...item,
  name: item.name ?? item.id,
});

/** What may change about a session while it waits. */
export type QueueEntry = Pick<
  PendingSession,
  'id' | 'priority' | 'startsAt' | 'failedAgents' | 'clearedAgents' | 'dependencies' | 'fairShare'
>;

const queueRow = v.object({
  id: v.string(),
  priority: v.number(),
  starts_at: v.nullable(v.date()),
  failed_agents: strings,
  cleared_agents: strings,
  dependencies: v.nullable(v.array(dependencyItem)),
  domain_factor: factor,
  project_factor: factor,
  user_factor: factor,
});

/** Sessions that wait to be placed; the first in line of each resource group. */
export async function selectQueue(sql: Db): Promise<QueueEntry[]> {
  const rows = await sql`
    WITH line AS (
      SELECT s.id, s.priority, s.starts_at, s.scaling_group_name, s.domain_name, s.group_id,
        s.user_uuid, s.status_data->'scheduler'->'failed_agents' AS failed_agents,
        s.status_data->'scheduler'->'cleared_agents' AS cleared_agents,
        -- NULL where shares do not matter: nothing is looked up by it.
        CASE g.scheduler WHEN 'fair-share' THEN s.scaling_group_name END AS sharing_group,
        row_number() OVER (PARTITION BY s.scaling_group_name ORDER BY s.priority DESC,
          CASE g.scheduler WHEN 'lifo' THEN -extract(epoch FROM s.created_at)
            ELSE extract(epoch FROM s.created_at) END, s.id) AS place
      FROM sessions s JOIN scaling_groups g ON g.name = s.scaling_group_name
      WHERE s.status IN ('PENDING', 'DEPRIORITIZING') AND s.access_key IS NOT NULL
    ), needed AS (
      SELECT sd.session_id, json_agg(json_build_object(
        'id', p.id, 'name', p.name, 'status', p.status, 'result', p.result)) AS dependencies
      FROM line JOIN session_dependencies sd ON sd.session_id = line.id
      JOIN sessions p ON p.id = sd.depends_on
      GROUP BY sd.session_id
    )
    SELECT s.id, s.priority, s.starts_at, s.failed_agents, s.cleared_agents, needed.dependencies,
      df.fair_share_factor AS domain_factor, pf.fair_share_factor AS project_factor,
      uf.fair_share_factor AS user_factor
    FROM line s
    LEFT JOIN needed ON needed.session_id = s.id
    LEFT JOIN domain_fair_shares df ON df.resource_group = s.sharing_group
      AND df.domain_name = s.domain_name
    LEFT JOIN project_fair_shares pf ON pf.resource_group = s.sharing_group
      AND pf.project_id = s.group_id
    LEFT JOIN user_fair_shares uf ON uf.resource_group = s.sharing_group
      AND uf.user_uuid = s.user_uuid
      AND uf.project_id = s.group_id
    WHERE s.place <= ${MAX_PENDING_PER_GROUP}`;
  return v.parse(v.array(queueRow), [...rows]).map((row) => ({
    id: row.id,
    priority: row.priority,
    startsAt: row.starts_at,
    failedAgents: row.failed_agents,
    clearedAgents: row.cleared_agents,
    dependencies: (row.dependencies ?? []).map(toDependency),
    fairShare: { domain: row.domain_factor, project: row.project_factor, user: row.user_factor },
  }));
}

/** What stays the same about a session as long as it waits. */
export type PendingDetails = Omit<PendingSession, keyof QueueEntry> & { readonly id: string };

const kernelItem = v.object({
  id: v.string(),
  architecture: v.nullable(v.string()),
  local_image: v.nullable(v.string()),
  requested: slotMapColumn,
});

const detailsRow = v.object({
  id: v.string(),
  access_key: v.string(),
  user_uuid: v.string(),
  group_id: v.string(),
  domain_name: v.string(),
  scaling_group_name: v.string(),
  session_type: sessionTypeColumn,
  cluster_mode: clusterModeColumn,
  created_at: v.date(),
  batch_timeout: v.nullable(v.number()),
  designated_agent_ids: strings,
  kernels: v.array(kernelItem),
});

function toDetails(row: v.InferOutput<typeof detailsRow>): PendingDetails {
  return {
    id: row.id,
    accessKey: row.access_key,
    userId: row.user_uuid,
    projectId: row.group_id,
    domainName: row.domain_name,
    scalingGroup: row.scaling_group_name,
    sessionType: row.session_type,
    clusterMode: row.cluster_mode,
    createdAt: row.created_at,
    durationSec: row.session_type === 'batch' ? row.batch_timeout : null,
    kernels: row.kernels.map((kernel) => ({
      id: kernel.id,
      architecture: kernel.architecture ?? 'x86_64',
      localImage: kernel.local_image,
      requested: parseSlots(kernel.requested),
    })),
    designatedAgents: row.designated_agent_ids,
  };
}

/** Those of the sessions of which all kernels wait. */
export async function selectPendingDetails(
  sql: Db,
  ids: readonly string[],
): Promise<PendingDetails[]> {
  const rows = await sql`
    WITH slots AS (
      SELECT k.session_id, k.id, k.architecture, k.cluster_idx, k.status,
        CASE WHEN i.is_local THEN k.image END AS local_image,
        json_object_agg(a.slot_name, a.requested::text) FILTER (WHERE a.slot_name IS NOT NULL)
          AS requested
      -- OFFSET 0: only the session leads to its kernels, and a kernel to what it holds.
      FROM unnest(${sql.array([...ids])}::uuid[]) AS c(id)
      CROSS JOIN LATERAL (SELECT * FROM kernels WHERE session_id = c.id OFFSET 0) AS k
      LEFT JOIN images i ON i.id = ANY(ARRAY[k.image_id])
      LEFT JOIN LATERAL (SELECT slot_name, requested FROM resource_allocations
        WHERE kernel_id = k.id AND free_at IS NULL OFFSET 0) AS a ON true
      GROUP BY k.session_id, k.id, k.architecture, k.cluster_idx, k.status, k.image, i.id
    ), members AS (
      SELECT session_id, json_agg(json_build_object(
        'id', id, 'architecture', architecture, 'local_image', local_image,
        'requested', requested)
        ORDER BY cluster_idx, id) AS kernels
      FROM slots GROUP BY session_id HAVING bool_and(status = 'PENDING')
    )
    SELECT s.id, s.access_key, s.user_uuid, s.group_id, s.domain_name, s.scaling_group_name,
      s.session_type, s.cluster_mode, s.created_at, s.batch_timeout, s.designated_agent_ids,
      members.kernels
    FROM members CROSS JOIN LATERAL (
      SELECT * FROM sessions WHERE id = members.session_id OFFSET 0) AS s
    WHERE s.access_key IS NOT NULL AND s.scaling_group_name IS NOT NULL`;
  return v.parse(v.array(detailsRow), [...rows]).map(toDetails);
}

const imageLimitsRow = v.object({
  session_id: v.string(),
  resources: v.nullable(v.record(v.string(), v.object({ min: v.nullish(v.string(), null) }))),
  shmem: v.nullable(v.string()),
});

/** What each kernel's image needs at least, and the shared memory that it has asked for. */
export async function selectImageLimits(sql: Db, sessionIds: readonly string[]) {
  const rows = await sql`
    SELECT k.session_id, i.resources, k.resource_opts->>'shmem' AS shmem
    FROM kernels k LEFT JOIN images i ON i.id = k.image_id
    WHERE k.session_id = ANY(${sql.array([...sessionIds])}::uuid[])`;
  return v.parse(v.array(imageLimitsRow), [...rows]).map((row) => ({
    sessionId: row.session_id,
    resources: row.resources ?? {},
    shmemBytes: (row.shmem === null ? null : parseSize(row.shmem)) ?? 0n,
  }));
}

const outlookRow = v.object({
  dependencies: v.nullable(v.array(dependencyItem)),
  domain_factor: factor,
  project_factor: factor,
  user_factor: factor,
});

/** What a session that is not stored would depend on, and its owner's fair shares. */
export async function selectPendingDependencies(
  sql: Db,
  item: {
    readonly dependencies: readonly string[];
    readonly scalingGroup: string;
    readonly domainName: string;
    readonly groupId: string;
    readonly userId: string;
  },
): Promise<Pick<PendingSession, 'dependencies' | 'fairShare'>> {
  const rows = await sql`
    SELECT (
      SELECT json_agg(json_build_object(
        'id', p.id, 'name', p.name, 'status', p.status, 'result', p.result))
      FROM sessions p WHERE p.id = ANY(${sql.array([...item.dependencies])}::uuid[])
    ) AS dependencies, (
      SELECT fair_share_factor FROM domain_fair_shares
      WHERE resource_group = ${item.scalingGroup} AND domain_name = ${item.domainName}
    ) AS domain_factor, (
      SELECT fair_share_factor FROM project_fair_shares
      WHERE resource_group = ${item.scalingGroup} AND project_id = ${item.groupId}
    ) AS project_factor, (
      SELECT fair_share_factor FROM user_fair_shares
      WHERE resource_group = ${item.scalingGroup} AND user_uuid = ${item.userId}
        AND project_id = ${item.groupId}
    ) AS user_factor`;
  const [row] = v.parse(v.tuple([outlookRow]), [...rows]);
  return {
    dependencies: (row.dependencies ?? []).map(toDependency),
    fairShare: { domain: row.domain_factor, project: row.project_factor, user: row.user_factor },
  };
}
