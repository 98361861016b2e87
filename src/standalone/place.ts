/**
 * Where a cluster keeps PostgreSQL's files. Normally inside its own folder; but when root runs it
 * from a home that the PostgreSQL account cannot enter, under /var/lib, with a note in the folder.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Random, randomString } from '../common/random.ts';
import { canReach, serverAccount } from './postgres/account.ts';

const SHARED_STATE = '/var/lib/backend.ai';

export interface PostgresPlace {
  /** Holds the data folder, its log and its secret. */
  readonly folder: string;
  /** Holds the unpacked server programs; shared by all clusters of the account. */
  readonly runtimeDir: string;
}

export async function postgresPlace(clusterFolder: string, random: Random): Promise<PostgresPlace> {
  const inside = join(clusterFolder, 'postgres');
  if (existsSync(join(inside, 'data')) || canReach(serverAccount(), join(inside, 'data'))) {
    return { folder: inside, runtimeDir: join(dirname(clusterFolder), '.runtime') };
  }
  const note = join(clusterFolder, 'postgres.location');
  if (!existsSync(note)) {
    const folder = join(SHARED_STATE, `postgres-${randomString(random, 10)}`);
    await mkdir(folder, { recursive: true, mode: 0o755 });
    await writeFile(note, `${folder}\n`);
    // Tells whoever finds the folder later what it belongs to.
    await writeFile(join(folder, 'owner'), `${clusterFolder}\n`);
  }
  return {
    folder: (await readFile(note, 'utf8')).trim(),
    runtimeDir: join(SHARED_STATE, 'runtime'),
  };
}

/** Deletes everything of a cluster that does not run; what clusters share stays. */
export async function removeCluster(clusterFolder: string): Promise<void> {
  const note = join(clusterFolder, 'postgres.location');
  if (existsSync(note)) {
    const folder = (await readFile(note, 'utf8')).trim();
    if (dirname(folder) === SHARED_STATE) await rm(folder, { recursive: true, force: true });
  }
  await rm(clusterFolder, { recursive: true, force: true });
}
