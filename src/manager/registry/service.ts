/** Container registries: where images come from. */
import type { Db } from '../db/connect.ts';
import * as store from './store.ts';

export type { RegistryRecord } from './store.ts';

const MAX_LISTED = 1000;
/** Never contacted; upstream's fixtures give local images the same one. */
const LOCAL_URL = 'http://localhost';

/** All registries by name, without credentials; at most 1000. */
export function listRegistries(sql: Db): Promise<store.RegistryRecord[]> {
  return store.selectAll(sql, MAX_LISTED);
}

/** What administrators see of registries, by name: all, or those with one name; at most 1000. */
export function listRegistryConfigurations(
  sql: Db,
  name: string | null = null,
): Promise<store.RegistryConfiguration[]> {
  return store.selectConfigurations(sql, name, MAX_LISTED);
}

/** The rows of the named registries, one per project; at most 1000. */
export function findRegistries(sql: Db, names: readonly string[]): Promise<store.RegistryRecord[]> {
  return store.selectByNames(sql, names, MAX_LISTED);
}

/** The registry that stands for the hosts' own images; made on first use. */
export async function ensureLocalRegistry(sql: Db): Promise<store.RegistryRecord> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const [found] = await store.selectByNames(sql, ['local'], 1);
    if (found) return found;
    await store.insertLocal(sql, 'local', LOCAL_URL);
  }
  throw new Error('the registry of local images vanished while it was being made');
}

/** `project/registry` → URL of all registries, at most 1000. */
export async function registryUrls(sql: Db): Promise<Record<string, string>> {
  const rows = await store.selectAll(sql, MAX_LISTED);
  return Object.fromEntries(
    rows.flatMap(({ project, registry_name: name, url }) =>
      project === null ? [] : [[`${project}/${name}`, url]],
    ),
  );
}
