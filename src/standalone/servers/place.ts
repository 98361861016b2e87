/**
 * Which servers a cluster of this machine keeps its data in. It begins with a PostgreSQL of its own; once
 * its data was moved, the `manager.toml` in its folder names the servers, and `mgr … -f` works with it too.
 */
import { existsSync, readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import * as v from 'valibot';
import { formatHostPort, type HostPort } from '../../common/config/values.ts';
import { loadManagerConfig, type ManagerConfig } from '../../manager/config-file.ts';
import type { RedisAddress } from '../../stores/live/settings.ts';

/** PostgreSQL, etcd and Redis, with what they ask for. */
export interface Servers {
  readonly database: {
    readonly host: string;
    readonly port: number;
    /** Its standbys, any of which may take its place. */
    readonly others: readonly HostPort[];
    readonly database: string;
    readonly user: string;
    readonly password: string | undefined;
  };
  readonly etcd: {
    readonly addrs: readonly string[];
    readonly namespace: string;
    readonly user: string | undefined;
    readonly password: string | undefined;
  };
  readonly redis: RedisAddress;
  /** Where agents of other machines will reach the manager; null: nowhere. */
  readonly internalAddr: HostPort | null;
}

export const managerKeyPath = (folder: string): string => join(folder, 'manager.key');
export const managerId = (envId: string): string => `local-${envId}`;

/** By its presence the data is elsewhere. */
export const configPath = (folder: string): string => join(folder, 'manager.toml');
const retiredPath = (folder: string): string => `${configPath(folder)}.retired`;

export const isMoved = (folder: string): boolean => existsSync(configPath(folder));

/** What a moved cluster uses, and where agents of other machines reach its manager. */
export type Place = Pick<ManagerConfig, 'db' | 'etcd'> & { readonly internalAddr: HostPort | null };

/**
 * The `[db]` and `[etcd]` of a moved cluster; null of one that has its own PostgreSQL.
 * @throws UserError when the file cannot be read.
 */
export function readPlace(folder: string): Place | null {
  if (!isMoved(folder)) return null;
  const { db, etcd, internalAddr } = loadManagerConfig({
    explicitPath: configPath(folder),
    places: { cwd: folder, home: folder },
    // What is meant for other installations of this user must not lead to other data.
    env: {},
  });
  return { db, etcd, internalAddr: saysInternalAddr(folder) ? internalAddr : null };
}

/** Where a database is, for people: all addresses of its servers, and its name. */
export const databaseTitle = (
  { host, port, others }: HostPort & { readonly others: readonly HostPort[] },
  name: string,
): string => `${[{ host, port }, ...others].map(formatHostPort).join(',')}/${name}`;

const managerSection = v.object({ manager: v.object({ 'internal-addr': v.unknown() }) });

/** A manager that is a program of its own listens for agents unless told otherwise; this one does not. */
const saysInternalAddr = (folder: string): boolean =>
  v.is(managerSection, Bun.TOML.parse(readFileSync(configPath(folder), 'utf8')));

/** The app proxy's database beside the manager's. */
export const appProxyDatabase = (name: string): string => `${name}_appproxy`;

/** From now on the cluster uses these servers. */
export async function usePlace(
  folder: string,
  envId: string,
  { database, etcd, internalAddr }: Servers,
): Promise<void> {
  const table = {
    db: {
      addr: [database, ...database.others].map(({ host, port }) => ({ host, port })),
      name: database.database,
      user: database.user,
      ...(database.password === undefined ? {} : { password: database.password }),
    },
    etcd: {
      addr: [...etcd.addrs],
      namespace: etcd.namespace,
      ...(etcd.user === undefined ? {} : { user: etcd.user }),
      ...(etcd.password === undefined ? {} : { password: etcd.password }),
    },
    manager: {
      id: managerId(envId),
      'rpc-auth-manager-keypair': managerKeyPath(folder),
      ...(internalAddr === null ? {} : { 'internal-addr': internalAddr }),
    },
  };
  const text = `# Where \`backend.ai up\` keeps this cluster's data; written by \`backend.ai servers move\`.\n${stringify(table)}`;
  const staging = `${configPath(folder)}.new`;
  await writeFile(staging, text, { mode: 0o600, flush: true });
  await rename(staging, configPath(folder));
  await rm(retiredPath(folder), { force: true });
}

/** From now on the cluster uses its own PostgreSQL again. @returns the file that named the servers. */
export async function leavePlace(folder: string): Promise<string> {
  await rename(configPath(folder), retiredPath(folder));
  return retiredPath(folder);
}
