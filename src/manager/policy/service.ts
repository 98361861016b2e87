/** Resource policies: the limits set for a keypair, a user, a project. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { SlotMap } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { type HostPermissions, hostPermissionsColumn, slotMapColumn } from '../db/json.ts';
import type {
  KeypairResourcePolicyRow,
  ProjectResourcePolicyRow,
  UserResourcePolicyRow,
} from '../db/rows.generated.ts';
import * as store from './store.ts';

export interface KeypairPolicy {
  readonly name: string;
  /** Whether a slot that `totalResourceSlots` leaves out is forbidden or free. */
  readonly defaultForUnspecified: 'LIMITED' | 'UNLIMITED';
  /** Decimal strings, memory in bytes. */
  readonly totalResourceSlots: SlotMap;
  /** Seconds; null means unlimited. */
  readonly maxSessionLifetimeSec: number | null;
  /** null means unlimited. */
  readonly maxConcurrentSessions: number | null;
  /** null means unlimited. */
  readonly maxPendingSessionCount: number | null;
  /** null means unlimited. */
  readonly maxPendingSessionResourceSlots: SlotMap | null;
  readonly maxConcurrentSftpSessions: number;
  /** Kernels per session; null means unlimited. */
  readonly maxContainersPerSession: number | null;
  /** Seconds as stored: 0 never idle, negative leaves it to the checker's default. */
  readonly idleTimeoutSec: number;
  readonly allowedVfolderHosts: HostPermissions;
}

const positiveOrNull = (value: number): number | null => (value > 0 ? value : null);

function toKeypairPolicy(row: KeypairResourcePolicyRow): KeypairPolicy {
  const pendingSlots = v.parse(slotMapColumn, row.max_pending_session_resource_slots);
  return {
    name: row.name,
    defaultForUnspecified: row.default_for_unspecified,
    totalResourceSlots: v.parse(slotMapColumn, row.total_resource_slots),
    maxSessionLifetimeSec: positiveOrNull(row.max_session_lifetime),
    maxConcurrentSessions: positiveOrNull(row.max_concurrent_sessions),
    maxPendingSessionCount: row.max_pending_session_count,
    maxPendingSessionResourceSlots: Object.keys(pendingSlots).length > 0 ? pendingSlots : null,
    maxConcurrentSftpSessions: row.max_concurrent_sftp_sessions,
    maxContainersPerSession: positiveOrNull(row.max_containers_per_session),
    idleTimeoutSec: row.idle_timeout,
    allowedVfolderHosts: v.parse(hostPermissionsColumn, row.allowed_vfolder_hosts),
  };
}

/**
 * The policy of a keypair.
 * @throws BackendError AccessKeyNotFound.
 */
export async function loadKeypairPolicy(sql: Db, accessKey: string): Promise<KeypairPolicy> {
  const row = await store.selectKeypairPolicy(sql, accessKey);
  if (row === null) throw new BackendError('AccessKeyNotFound');
  return toKeypairPolicy(row);
}

/**
 * The policy of a user: folders, quota and logins.
 * @throws BackendError UserNotFound.
 */
export async function loadUserPolicy(sql: Db, userId: string): Promise<UserResourcePolicyRow> {
  const row = await store.selectUserPolicy(sql, userId);
  if (row === null) throw new BackendError('UserNotFound');
  return row;
}

/**
 * The policy of a project: folders, quota and networks.
 * @throws BackendError ProjectNotFound.
 */
export async function loadProjectPolicy(
  sql: Db,
  projectId: string,
): Promise<ProjectResourcePolicyRow> {
  const row = await store.selectProjectPolicy(sql, projectId);
  if (row === null) throw new BackendError('ProjectNotFound');
  return row;
}
