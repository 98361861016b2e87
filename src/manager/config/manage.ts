/** What superadmins change about the cluster as a whole, and details that everybody may ask for. */
import { BackendError } from '../../common/errors.ts';
import { type ConfigTree, toTree } from '../../stores/config/scopes.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import type { Db } from '../db/connect.ts';
import type { Caller } from '../http/route.ts';
import { endAllSessions } from '../session/service.ts';
import * as store from './store.ts';
import { checkKey, toEntries } from './tree.ts';

const ENTITY = 'config';
const STATUS_KEY = 'manager/status';
/** Values under these names may open doors: the log says only that they changed. */
const SECRET = /password|secret|token|private|credential/i;

/**
 * One value, or with `prefix` everything at and below the key; null for a value that is absent.
 * @throws BackendError InvalidAPIParameters for an impossible key.
 */
export async function readConfig(
  { config }: Pick<ManagerContext, 'config'>,
  key: string,
  prefix: boolean,
): Promise<string | ConfigTree | null> {
  const plain = checkKey(key);
  return prefix ? toTree(await config.list(plain), plain) : config.get(plain);
}

/** Records the change first: one that cannot be recorded is not made. */
function record(
  by: ChangeContext,
  key: string,
  operation: 'update' | 'delete',
  after: object | null,
  apply: () => Promise<unknown>,
): Promise<void> {
  return change(by, async (_, note) => {
    note({ entityType: ENTITY, entityId: key, operation, after });
    await apply();
  });
}

const shown = (entries: ReadonlyMap<string, string>): object =>
  Object.fromEntries(
    [...entries].map(([key, value]) => [key, SECRET.test(key) ? '(hidden)' : value]),
  );

/**
 * Sets one value, or a map of at most 16, all or none.
 * @throws BackendError InvalidAPIParameters.
 */
export async function setConfig(
  by: ChangeContext,
  { config }: Pick<ManagerContext, 'config'>,
  key: string,
  value: unknown,
): Promise<void> {
  const entries = toEntries(key, value);
  await record(by, checkKey(key), 'update', shown(entries), () => config.putMany(entries));
}

/** Removes a value, or with `prefix` also everything below it. */
export async function deleteConfig(
  by: ChangeContext,
  { config }: Pick<ManagerContext, 'config'>,
  key: string,
  prefix: boolean,
): Promise<void> {
  const plain = checkKey(key);
  await record(by, plain, 'delete', null, () =>
    prefix ? config.deletePrefix(plain) : config.delete(plain),
  );
}

/**
 * Freezes the cluster, or lets it run again.
 * @param endSessions also ends every session, once no new ones can be made.
 * @throws BackendError InvalidAPIParameters when sessions are to be ended while it runs.
 */
export async function setStatus(
  by: ChangeContext,
  ctx: ManagerContext,
  status: 'running' | 'frozen',
  endSessions: boolean,
): Promise<void> {
  if (endSessions && status !== 'frozen') {
    throw new BackendError('InvalidAPIParameters', 'force_kill is for freezing the manager only.');
  }
  const after = { status, ...(endSessions ? { force_kill: true } : {}) };
  await record(by, STATUS_KEY, 'update', after, () => ctx.config.put(STATUS_KEY, status));
  if (endSessions) await endAllSessions(ctx, by);
}

/**
 * How each resource slot in use is shown; with `groupName` those that its agents have. Users ask
 * about resource groups that are open to them.
 */
export async function slotDetails(sql: Db, caller: Caller, groupName: string | null) {
  const scope = caller.isSuperadmin ? null : caller;
  const rows = await store.selectSlotDetails(sql, groupName, scope);
  return Object.fromEntries(
    rows.map((row) => [
      row.slot_name,
      {
        slot_name: row.slot_name,
        description: row.description,
        human_readable_name: row.display_name,
        display_unit: row.display_unit,
        number_format: row.number_format,
        display_icon: row.display_icon,
      },
    ]),
  );
}
