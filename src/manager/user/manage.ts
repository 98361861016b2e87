/** Making, changing and removing users. */
import type { TransactionSql } from 'postgres';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import { type AuthoredChange, type Change, type ChangeContext, change } from '../audit/service.ts';
import { followDomainRole, forgetElement, giveRoles } from '../authz/system-roles.ts';
import type { UserRow } from '../db/rows.generated.ts';
import type { Role } from '../http/route.ts';
import {
  addKeypair,
  changeKeypairsOf,
  DEFAULT_RATE_LIMIT,
  ownsKeypair,
  removeKeypairsOf,
} from '../keypair/manage.ts';
import { setProjectsOfUser } from '../project/manage.ts';
import { countUnfinishedSessions } from '../session/usage.ts';
import * as store from './manage-store.ts';
import { hashPassword } from './password.ts';

const ENTITY = 'user';
const BY_ADMINISTRATOR = 'admin-requested';
/** The policy of the keypair that a new user gets. */
const FIRST_KEYPAIR_POLICY = 'default';

// Addresses of internal networks have no top-level domain, or a short one.
const email = v.pipe(
  v.string(),
  v.regex(/^[^\s@]+@[^\s@]+$/, 'not an address such as user@example.com'),
  v.maxLength(64),
);
const status = v.picklist(['active', 'inactive', 'deleted', 'before-verification']);
const role = v.picklist(['superadmin', 'admin', 'user', 'monitor']);

type ChangeName = 'create' | 'modify';
const PROBLEMS = {
  create: 'UserCreationBadRequest',
  modify: 'UserModificationBadRequest',
} as const;

function checked<T>(
  name: ChangeName,
  what: string,
  schema: v.GenericSchema<unknown, T>,
  value: unknown,
): T {
  const parsed = parseOutside(schema, value);
  if (parsed.success) return parsed.output;
  throw new BackendError(PROBLEMS[name], `${what}: ${parsed.issues[0].message}`);
}

/** What an administrator says about a user; undefined leaves it as it is. */
export interface UserWishes
  extends Omit<store.UserChanges, 'status' | 'role' | 'password_changed_at' | 'totp_key'> {
  /** In plain text. */
  readonly password?: string;
  readonly status?: string;
  readonly role?: string;
  /** The projects of the user's domain to which it shall belong, all others are left. */
  readonly projectIds?: readonly string[];
}

/** The columns for the wishes. @throws BackendError as `name` says for values that are none. */
async function toColumns(
  name: ChangeName,
  { ctx }: AuthoredChange,
  wishes: UserWishes,
): Promise<store.UserChanges> {
  const { projectIds: _, password, status: wantedStatus, role: wantedRole, ...rest } = wishes;
  const now = ctx.clock.now();
  if (password !== undefined && password.length === 0) {
    throw new BackendError(PROBLEMS[name], 'password: must not be empty');
  }
  return {
    ...rest,
    ...(password === undefined
      ? {}
      : {
          password: await hashPassword(password, { random: ctx.random }),
          password_changed_at: now,
        }),
    ...(wantedStatus === undefined
      ? {}
      : {
          status: checked(name, 'status', status, wantedStatus),
          status_info: rest.status_info ?? BY_ADMINISTRATOR,
        }),
    ...(wantedRole === undefined ? {} : { role: checked(name, 'role', role, wantedRole) }),
    // Switched off, the secret is forgotten, so that switching on again starts a new enrolment.
    ...(rest.totp_activated === false ? { totp_key: null, totp_activated_at: null } : {}),
  };
}

const isAdministrator = (wanted: Role | null | undefined): boolean =>
  wanted === 'superadmin' || wanted === 'admin';

/** What the keypair that a new user starts with may; what is absent is as usual. */
export interface FirstKeypair {
  /** An active one works as soon as its user is active. */
  readonly isActive?: boolean;
  readonly resourcePolicy?: string;
  readonly rateLimit?: number;
}

/** The keypair that a new user starts with. */
function addFirstKeypair(
  by: AuthoredChange,
  tx: TransactionSql,
  note: (change: Change) => void,
  user: { userId: string; email: string; role: Role | null | undefined; active: boolean },
  wanted: FirstKeypair,
) {
  return addKeypair(tx, note, by.ctx.random, {
    userId: user.userId,
    email: user.email,
    isActive: wanted.isActive ?? user.active,
    isAdmin: isAdministrator(user.role),
    resourcePolicy: wanted.resourcePolicy ?? FIRST_KEYPAIR_POLICY,
    rateLimit: wanted.rateLimit ?? DEFAULT_RATE_LIMIT,
  });
}

/**
 * Makes a user with a keypair, which becomes its main one.
 * @throws BackendError UserConflict when address or name are taken, UserCreationBadRequest for
 *   values that cannot be, RepositoryIntegrityError for an unknown domain or policy,
 *   ProjectNotFound for a project of another domain.
 */
export async function createUser(
  by: AuthoredChange,
  address: string,
  wishes: UserWishes & {
    readonly username: string;
    readonly password: string;
    readonly domain_name: string;
    readonly resource_policy: string;
  },
  firstKeypair: FirstKeypair = {},
): Promise<{ userId: string; accessKey: string; secretKey: string | null }> {
  const { username, domain_name: domainName, resource_policy: resourcePolicy } = wishes;
  checked('create', 'email', email, address);
  checked('create', 'username', v.pipe(v.string(), v.trim(), v.minLength(1)), username);
  const changes = await toColumns('create', by, wishes);
  return change(
    by,
    async (tx, note) => {
      const userId = by.ctx.random.uuid();
      await store.insertUser(tx, { userId, email: address, username, domainName, resourcePolicy });
      const active = (changes.status ?? 'active') === 'active';
      const owner = { userId, email: address, role: changes.role, active };
      const keypair = await addFirstKeypair(by, tx, note, owner, firstKeypair);
      const { access_key: accessKey, secret_key: secretKey } = keypair;
      const after = await store.updateUser(tx, userId, { ...changes, main_access_key: accessKey });
      await giveRoles(tx, 'user', userId);
      await setProjectsOfUser(tx, { userId, domainName, projectIds: wishes.projectIds ?? [] });
      note({ entityType: ENTITY, entityId: userId, operation: 'create', after });
      return { userId, accessKey, secretKey };
    },
    'UserConflict',
  );
}

async function lockedUser(tx: TransactionSql, key: store.UserKey): Promise<UserRow> {
  const row = await store.lockUser(tx, key);
  if (row) return row;
  const named = typeof key === 'string' ? key : key.userId;
  throw new BackendError('UserNotFound', `There is no user '${named}'.`);
}

/** An administrator who locks himself out may leave nobody who can let him in again. */
function checkNotSelf(by: ChangeContext, userId: string, what: string): void {
  if (by.caller.userId === userId) {
    throw new BackendError('GenericForbidden', `You cannot ${what} your own account.`);
  }
}

/**
 * Changes a user. A new role also decides whether the keypairs are administrators'. In another
 * domain the user leaves the projects of the old one.
 * @throws BackendError UserNotFound, UserConflict when the name is taken, UserModificationBadRequest
 *   for values that cannot be, KeyPairForbidden for a main access key of somebody else,
 *   GenericForbidden for taking away one's own access.
 */
export async function modifyUser(
  by: ChangeContext,
  key: store.UserKey,
  wishes: UserWishes,
): Promise<string> {
  const changes = await toColumns('modify', by, wishes);
  return change(
    by,
    async (tx, note) => {
      const before = await lockedUser(tx, key);
      const userId = before.uuid;
      if ((changes.status ?? 'active') !== 'active') checkNotSelf(by, userId, 'deactivate');
      if ((changes.role ?? before.role) !== before.role) checkNotSelf(by, userId, 'demote');
      const { main_access_key: mainKey } = changes;
      if (mainKey && !(await ownsKeypair(tx, userId, mainKey))) {
        throw new BackendError(
          'KeyPairForbidden',
          "Cannot set another user's access key as the main access key.",
        );
      }
      const after = await store.updateUser(tx, userId, changes);
      const domainName = after?.domain_name ?? null;
      if (domainName !== null && (wishes.projectIds || domainName !== before.domain_name)) {
        await setProjectsOfUser(tx, { userId, domainName, projectIds: wishes.projectIds ?? [] });
      }
      if (changes.role !== undefined && changes.role !== before.role) {
        await changeKeypairsOf(tx, note, userId, { is_admin: isAdministrator(changes.role) });
        if (domainName !== null) {
          await followDomainRole(tx, { userId, domainName, isAdmin: changes.role === 'admin' });
        }
      }
      note({ entityType: ENTITY, entityId: userId, operation: 'update', before, after });
      return userId;
    },
    'UserConflict',
  );
}

/**
 * Closes an account: the user and its keypairs can no longer be used, everything else stays.
 * @throws BackendError UserNotFound; GenericForbidden for one's own account.
 */
export function deleteUser(by: ChangeContext, key: store.UserKey): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await lockedUser(tx, key);
    checkNotSelf(by, before.uuid, 'delete');
    const after = await store.updateUser(tx, before.uuid, {
      status: 'deleted',
      status_info: BY_ADMINISTRATOR,
    });
    await changeKeypairsOf(tx, note, before.uuid, { is_active: false });
    note({ entityType: ENTITY, entityId: before.uuid, operation: 'delete', before, after });
  });
}

/** Closes the caller's own account: it can no longer be used, but an administrator may reopen it. */
export function closeOwnAccount(by: ChangeContext): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await lockedUser(tx, by.caller.email);
    const after = await store.updateUser(tx, before.uuid, {
      status: 'inactive',
      status_info: 'user-signout',
    });
    await changeKeypairsOf(tx, note, before.uuid, { is_active: false });
    note({ entityType: ENTITY, entityId: before.uuid, operation: 'update', before, after });
  });
}

/**
 * Removes a user with its keypairs. Finished sessions stay, as they are what was used.
 * @throws BackendError UserNotFound; UserPurgeFailure while there are sessions or folders;
 *   GenericForbidden for one's own account.
 */
export function purgeUser(by: ChangeContext, key: store.UserKey): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await lockedUser(tx, key);
    const { uuid: userId } = before;
    checkNotSelf(by, userId, 'purge');
    const sessions = await countUnfinishedSessions(tx, { kind: 'user', userId });
    if (sessions > 0) {
      throw new BackendError(
        'UserPurgeFailure',
        `The user still has ${sessions} session(s). Terminate them first.`,
      );
    }
    const folders = await store.countFolders(tx, userId);
    if (folders > 0) {
      throw new BackendError(
        'UserPurgeFailure',
        `The user still owns ${folders} virtual folder(s). Delete them first.`,
      );
    }
    await store.deleteBelongings(tx, userId, before.email);
    await removeKeypairsOf(tx, userId);
    await store.deleteUser(tx, userId);
    await forgetElement(tx, 'user', userId);
    note({ entityType: ENTITY, entityId: userId, operation: 'purge', before });
  });
}
