/**
 * The cluster of this machine: where `backend.ai up` keeps it, and the record by which the other
 * commands find it. The record is written by `up` when it is ready and removed when it ends.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import * as v from 'valibot';
import { isProcessAlive } from './processes.ts';

export const localAccount = v.object({
  /** admin, domain-admin, user, user2 or monitor. */
  name: v.string(),
  email: v.string(),
  role: v.string(),
  password: v.string(),
  accessKey: v.string(),
  secretKey: v.string(),
});
export type LocalAccount = v.InferOutput<typeof localAccount>;

const record = v.object({
  envId: v.string(),
  pid: v.number(),
  /** Start time of that process in clock ticks after boot; tells a reused pid apart. */
  pidStartTicks: v.nullable(v.number()),
  /** The manager's URL without a trailing slash. */
  endpoint: v.string(),
  backend: v.string(),
  /** The page for people: `http://host:port`. */
  webUrl: v.string(),
  /** Health, and `/metrics/JOB` of each part; null or absent: its port was taken. */
  metricsUrl: v.nullish(v.string()),
  /** What sessions can't be limited to or kept from on this machine, in plain words. */
  isolationGaps: v.array(v.string()),
  startedAt: v.string(),
  accounts: v.array(localAccount),
});
export type LocalCluster = v.InferOutput<typeof record>;

export const DEFAULT_ENV_ID = 'default';

/** Where this user's programs keep what lasts: BACKEND_DATA_DIR, else the usual place. */
export const dataFolder = (env: Readonly<Record<string, string | undefined>>): string =>
  env.BACKEND_DATA_DIR ||
  join(env.XDG_DATA_HOME || join(env.HOME || homedir(), '.local/share'), 'backend.ai');

/** @throws RangeError when `envId` could not be a plain folder name. */
export function clusterFolder(
  env: Readonly<Record<string, string | undefined>>,
  options: { envId?: string; dataDir?: string } = {},
): string {
  const envId = options.envId ?? env.BACKEND_ENV_ID ?? DEFAULT_ENV_ID;
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(envId)) {
    throw new RangeError(
      `'${envId}' is not an environment id: use letters, digits, '-', '_', '.'.`,
    );
  }
  return join(resolve(options.dataDir ?? dataFolder(env)), envId);
}

const recordPath = (folder: string) => join(folder, 'cluster.json');

/** The running cluster whose state lives in `folder`; null when there is none. */
export function findLocalCluster(folder: string): LocalCluster | null {
  const path = recordPath(folder);
  if (!existsSync(path)) return null;
  let found: LocalCluster;
  try {
    found = v.parse(record, JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    // Written by another version or cut off by a crash: `up` writes it anew.
    return null;
  }
  return isProcessAlive(found.pid, found.pidStartTicks) ? found : null;
}

/** Publishes the record atomically, readable by its owner only: it holds the accounts' secrets. */
export function writeLocalCluster(folder: string, cluster: LocalCluster): void {
  mkdirSync(folder, { recursive: true });
  const staging = `${recordPath(folder)}.${cluster.pid}`;
  writeFileSync(staging, JSON.stringify(cluster, null, 2), { mode: 0o600 });
  renameSync(staging, recordPath(folder));
}

export function removeLocalCluster(folder: string): void {
  rmSync(recordPath(folder), { force: true });
}
