/**
 * One owner per cluster folder. The lock is SQLite's lock of a file, which the system takes back when
 * its holder dies, however it dies: nothing has to guess whether a lock that was found is stale.
 */
import { Database } from 'bun:sqlite';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode, errorMessage, UserError } from '../common/errors.ts';
import { isProcessAlive, processStartTicks } from '../common/processes.ts';

export interface FolderLock {
  release(): void;
}

/** Stays empty, and stays when it is released: a file made anew could be locked by two. */
const lockPath = (folder: string) => join(folder, 'owner.lock');
/** Says who the owner is; for messages only. */
const ownerPath = (folder: string) => join(folder, 'owner.pid');

/**
 * Takes the folder for this process, until it releases it or ends.
 * @throws UserError when another process has it, or when it cannot be written.
 */
export function lockFolder(folder: string): FolderLock {
  let file: Database;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    file = new Database(lockPath(folder), { create: true });
  } catch (error) {
    throw notWritable(folder, error);
  }
  try {
    file.run('BEGIN EXCLUSIVE');
    writeFileSync(ownerPath(folder), `${process.pid} ${processStartTicks(process.pid) ?? ''}`);
  } catch (error) {
    file.close();
    if (errorCode(error) !== 'SQLITE_BUSY') {
      throw notWritable(folder, error);
    }
    const owner = lockOwner(folder);
    throw new UserError(
      `A cluster is already running on ${folder}${owner === null ? '' : ` (process ${owner})`}.`,
      { hint: 'Stop it with `backend.ai down`, or start another one with --env-id NAME.' },
    );
  }
  return {
    release() {
      rmSync(ownerPath(folder), { force: true });
      file.close();
    },
  };
}

/** The living process that last took the folder; null when there is none. Takes no lock. */
export function lockOwner(folder: string): number | null {
  let text: string;
  try {
    text = readFileSync(ownerPath(folder), 'utf8');
  } catch (error) {
    // No folder yet, or a file in its place, which whoever makes the folder will tell.
    if (['ENOENT', 'ENOTDIR'].includes(String(errorCode(error)))) return null;
    throw error;
  }
  const [pidText = '', ticksText = ''] = text.split(' ');
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0) return null;
  return isProcessAlive(pid, ticksText === '' ? null : Number(ticksText)) ? pid : null;
}

/** Why the folder cannot be used, for `up` and for whoever makes it. */
export const notWritable = (folder: string, error: unknown): UserError =>
  new UserError(`Cannot write to ${folder}: ${errorMessage(error)}`, {
    hint: 'Choose a writable place with --data-dir or BACKEND_DATA_DIR.',
    cause: error,
  });
