/** One owner per cluster folder: a lock file naming the process that runs the cluster. */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage, UserError } from '../common/errors.ts';
import { isProcessAlive, processStartTicks } from '../common/processes.ts';

export interface FolderLock {
  release(): void;
}

/**
 * Takes the folder for this process.
 * @throws UserError when a living process holds it. A lock left by a killed one is taken over.
 */
export function lockFolder(folder: string): FolderLock {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw notWritable(folder, error);
  }
  const path = join(folder, 'lock');
  const mine = `${process.pid} ${processStartTicks(process.pid) ?? ''}`;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      const file = openSync(path, 'wx', 0o644);
      writeSync(file, mine);
      closeSync(file);
      return { release: () => rmSync(path, { force: true }) };
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) {
        throw notWritable(folder, error);
      }
    }
    const holder = livingHolder(path);
    if (holder !== null) {
      throw new UserError(`A cluster is already running on ${folder} (process ${holder}).`, {
        hint: 'Stop it with `backend.ai down`, or start another one with --env-id NAME.',
      });
    }
    rmSync(path, { force: true });
  }
  throw new UserError(`Cannot lock ${folder}: other processes keep taking and leaving it.`, {
    hint: 'Try again in a moment.',
  });
}

/** Why the folder cannot be used, for `up` and for whoever makes it. */
export const notWritable = (folder: string, error: unknown): UserError =>
  new UserError(`Cannot write to ${folder}: ${errorMessage(error)}`, {
    hint: 'Choose a writable place with --data-dir or BACKEND_DATA_DIR.',
    cause: error,
  });

function livingHolder(path: string): number | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return null;
  }
  const [pidText = '', ticksText = ''] = text.split(' ');
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0) return null;
  const startTicks = ticksText === '' ? null : Number(ticksText);
  return isProcessAlive(pid, startTicks) ? pid : null;
}
