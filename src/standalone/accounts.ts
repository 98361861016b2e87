/**
 * The accounts of a local cluster: made once with fresh secrets, kept beside the data in a file that
 * only the owner can read (the database holds passwords as hashes only).
 */
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { UserError } from '../common/errors.ts';
import { type LocalAccount, localAccount } from '../common/local-cluster.ts';
import type { Random } from '../common/random.ts';
import { seedAccounts } from '../manager/fixture/seed.ts';

const pathIn = (folder: string) => join(folder, 'accounts.json');

/** The cluster's accounts; a new cluster's database is filled first. */
export async function provideAccounts(
  folder: string,
  sql: Sql,
  random: Random,
): Promise<readonly LocalAccount[]> {
  const made = await seedAccounts(sql, random, (accounts) => save(folder, accounts));
  return made ?? read(folder);
}

async function read(folder: string): Promise<LocalAccount[]> {
  const path = pathIn(folder);
  const damaged = (what: string, cause?: unknown) =>
    new UserError(`${path} ${what}, so the accounts' secrets are unknown.`, {
      hint: 'Restore it from a backup, or start a fresh cluster with another --env-id.',
      cause,
    });
  if (!existsSync(path)) throw damaged('is missing');
  try {
    return v.parse(v.array(localAccount), JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw damaged('cannot be read', error);
  }
}

async function save(folder: string, accounts: readonly LocalAccount[]): Promise<void> {
  const staging = `${pathIn(folder)}.new`;
  await writeFile(staging, JSON.stringify(accounts, null, 2), { mode: 0o600 });
  await rename(staging, pathIn(folder));
}
