/** Who sees which sessions in the Relay lists, and what they may do to them. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { Caller } from '../http/route.ts';
import { sessionName } from './create-request.ts';
import { type SessionNodeRow, updateSession } from './node-store.ts';
import type { SessionVisibility } from './visibility-store.ts';

export type { ContainerRow } from './graphql-store.ts';
export type { SessionHistoryRow } from './history-store.ts';
export type { SessionNodeRow } from './node-store.ts';
export type { KernelV2Row, SessionV2Row } from './v2-store.ts';

export const SESSION_PERMISSIONS = [
  'read_attribute',
  'update_attribute',
  'delete_session',
  'start_app',
  'execute',
  'convert_to_image',
] as const;
export type SessionPermission = (typeof SESSION_PERMISSIONS)[number];

const MONITOR_PERMISSIONS: readonly SessionPermission[] = ['read_attribute', 'update_attribute'];

type Viewer = Pick<Caller, 'role' | 'userId' | 'domainName'>;

/** The sessions on which `caller` holds a permission. */
export function sessionVisibility(
  caller: Viewer,
  permission: SessionPermission,
): SessionVisibility {
  switch (caller.role) {
    case 'superadmin':
      return { kind: 'all' };
    case 'admin':
      return { kind: 'domain', domainName: caller.domainName };
    case 'monitor':
      return MONITOR_PERMISSIONS.includes(permission)
        ? { kind: 'all' }
        : { kind: 'owner', userId: caller.userId };
    case 'user':
      return { kind: 'owner', userId: caller.userId };
  }
}

/** What `caller` may do to a session that it sees. */
export function permissionsOn(
  caller: Viewer,
  session: { readonly user_uuid: string },
): readonly SessionPermission[] {
  const isOwn = session.user_uuid === caller.userId;
  return caller.role === 'monitor' && !isOwn ? MONITOR_PERMISSIONS : SESSION_PERMISSIONS;
}

/** Priorities that the scheduler knows; a higher one is placed first. */
const PRIORITY_RANGE = [0, 100] as const;

/**
 * Gives a live session another name or priority; null and absent leave one as it is.
 * @throws BackendError GenericForbidden unless an administrator asks; SessionNotFound also for a
 *   session that is not the caller's to see or has ended; InvalidAPIParameters for a priority out of
 *   range and a name that is taken or not allowed.
 */
export async function modifySession(
  by: ChangeContext,
  sessionId: string,
  wishes: { readonly name?: string | null; readonly priority?: number | null },
): Promise<void> {
  if (by.caller.role !== 'superadmin' && by.caller.role !== 'admin') {
    throw new BackendError('GenericForbidden', 'Forbidden operation. (admin privilege required)');
  }
  if (!isUuid(sessionId)) {
    throw new BackendError('SessionNotFound', `There is no session '${sessionId.slice(0, 100)}'.`);
  }
  const [least, most] = PRIORITY_RANGE;
  const priority = wishes.priority ?? null;
  if (priority !== null && (priority < least || priority > most)) {
    throw new BackendError('InvalidAPIParameters', `priority must be from ${least} to ${most}.`);
  }
  const name = wishes.name ?? null;
  const parsed = name === null ? null : v.safeParse(sessionName, name);
  if (parsed?.success === false) {
    throw new BackendError('InvalidAPIParameters', parsed.issues[0].message);
  }
  const visibility = sessionVisibility(by.caller, 'update_attribute');
  await change(
    by,
    async (tx, note) => {
      const changed = await updateSession(tx, visibility, sessionId, { name, priority });
      if (!changed) {
        throw new BackendError('SessionNotFound', `There is no live session ${sessionId}.`);
      }
      note({ entityType: 'session', entityId: sessionId, operation: 'update', ...changed });
    },
    'InvalidAPIParameters',
  );
  // Its place in the line may have changed.
  by.ctx.events.publish({ type: 'wake', loop: 'schedule' });
}

/**
 * The ids of the folders that a session mounts, each once. A mount names its folder in upstream's
 * notation, `<quota scope>/<32 hexadecimal digits>`.
 */
export function folderIdsOf({ vfolder_mounts }: Pick<SessionNodeRow, 'vfolder_mounts'>): string[] {
  const ids = (vfolder_mounts ?? []).flatMap(({ vfid }) => {
    const hex =
      typeof vfid === 'string' ? /([0-9a-f]{32})$/.exec(vfid.replaceAll('-', ''))?.[1] : undefined;
    return hex ? [hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')] : [];
  });
  return [...new Set(ids)];
}
