/** Dotfiles of keypairs, projects and domains, and the keypair's bootstrap script. */
import { BackendError } from '../../common/errors.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { Db } from '../db/connect.ts';
import type { Caller } from '../http/route.ts';
import { storedBootstrapScript } from '../keypair/service.ts';
import { type Dotfile, unpackDotfiles } from './format.ts';
import { dotfilesInTheWay } from './placement.ts';
import { type DotfileChange, packWithinLimit } from './rules.ts';
import * as store from './store.ts';

export type { Holder } from './store.ts';

/** Names of the kinds of rows in the audit log. */
const ENTITIES = { keypair: 'keypair', project: 'project', domain: 'domain' } as const;

/** Superadmins reach everything, domain admins their domain, others what they belong to. */
function reachOf(caller: Caller): store.Reach {
  if (caller.isSuperadmin) return { kind: 'all' };
  const { domainName, userId } = caller;
  if (caller.role === 'admin') return { kind: 'domain', domainName };
  return { kind: 'member', domainName, userId };
}

/** The same words whether the holder is absent or out of reach. */
function unreachable(holder: store.Holder): BackendError {
  switch (holder.kind) {
    case 'keypair':
      return new BackendError('AccessKeyNotFound');
    case 'project':
      return new BackendError(
        'GroupNotFound',
        `There is no project '${holder.nameOrId}' you may see.`,
      );
    case 'domain':
      return new BackendError('DomainNotFound', `There is no domain '${holder.name}' you may see.`);
  }
}

/**
 * The dotfiles of a holder. A keypair must be one the caller may act for.
 * @throws BackendError AccessKeyNotFound, GroupNotFound or DomainNotFound, also when the caller may
 *   not see the holder.
 */
export async function listDotfiles(
  sql: Db,
  caller: Caller,
  holder: store.Holder,
): Promise<Dotfile[]> {
  const row = await store.selectHolder(sql, holder, reachOf(caller));
  if (row === null) throw unreachable(holder);
  return unpackDotfiles(row.dotfiles);
}

/**
 * Changes the dotfiles of a holder in one transaction, so that concurrent changes all remain.
 * @throws BackendError as `listDotfiles` and the change say; DotfileCreationFailed when full.
 */
export function changeDotfiles(
  by: ChangeContext,
  holder: store.Holder,
  apply: DotfileChange,
): Promise<void> {
  return change(by, async (tx, note) => {
    const row = await store.selectHolder(tx, holder, reachOf(by.caller), true);
    if (row === null) throw unreachable(holder);
    const before = unpackDotfiles(row.dotfiles);
    const after = apply(before);
    await store.updateDotfiles(tx, holder.kind, row.id, packWithinLimit(after));
    // Dotfiles hold passwords and tokens: the record names the files only.
    const paths = (files: readonly Dotfile[]) => ({ dotfile_paths: files.map(({ path }) => path) });
    note({
      entityType: ENTITIES[holder.kind],
      entityId: row.id,
      operation: 'update',
      before: paths(before),
      after: paths(after),
    });
  });
}

/**
 * Makes sure that a session's folders can be mounted beside its dotfiles.
 * @param mounts where folders are to be mounted.
 * @throws BackendError DotfileVFolderPathConflict naming what is in the way.
 */
export async function checkBesideMounts(
  sql: Db,
  session: Parameters<typeof store.selectForSession>[1],
  mounts: readonly string[],
): Promise<void> {
  if (mounts.length === 0) return;
  const [path] = dotfilesInTheWay(await store.selectForSession(sql, session), mounts);
  if (path === undefined) return;
  throw new BackendError(
    'DotfileVFolderPathConflict',
    `The dotfile '${path}' is where a folder is to be mounted. Mount that elsewhere or remove the dotfile.`,
  );
}

/** The script that new sessions of the keypair run first; empty when there is none. */
export const bootstrapScript = (sql: Db, caller: Caller): Promise<string> =>
  storedBootstrapScript(sql, caller.accessKey);

/** Replaces that script. */
export function setBootstrapScript(by: ChangeContext, script: string): Promise<void> {
  const { accessKey } = by.caller;
  return change(by, async (tx, note) => {
    await store.updateBootstrapScript(tx, accessKey, script);
    note({
      entityType: ENTITIES.keypair,
      entityId: accessKey,
      operation: 'update',
      after: { bootstrap_script_length: script.length },
    });
  });
}
