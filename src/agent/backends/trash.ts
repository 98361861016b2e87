/** Deletes kernels' folders, whatever user programs left in them. */
import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';

/** What is deleted by then stays deleted; the caller tries again. */
const REMOVE_TIMEOUT_MS = 10 * 60_000;
const MAX_COMPLAINT_CHARACTERS = 300;

async function runTool(command: readonly string[]): Promise<string | null> {
  const child = Bun.spawn([...command], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
    timeout: REMOVE_TIMEOUT_MS,
  });
  let complaint = '';
  const decoder = new TextDecoder();
  for await (const chunk of child.stderr) {
    if (complaint.length < MAX_COMPLAINT_CHARACTERS) complaint += decoder.decode(chunk);
  }
  const exitCode = await child.exited;
  if (exitCode === 0) return null;
  return complaint.trim().slice(0, MAX_COMPLAINT_CHARACTERS) || `exit code ${exitCode}`;
}

/**
 * The system's own tools: they hold on to the folders they are in, so that neither paths too long to
 * be named, nor folders nested by the ten thousand, nor links put in a folder's place mislead them.
 * @throws Error naming what can't be deleted.
 */
async function removeTree(path: string): Promise<void> {
  if ((await runTool(['rm', '-rf', '--', path])) === null) return;
  // User programs may have left folders that even their owner can't enter.
  await runTool(['chmod', '-R', 'u+rwx', '--', path]);
  const complaint = await runTool(['rm', '-rf', '--', path]);
  if (complaint !== null) throw new Error(`can't delete ${path}: ${complaint}`);
}

/**
 * Moves a kernel's folder out of the way at once, so that a crash in between can't leave half a
 * kernel, and then deletes it. @throws Error when that fails.
 */
export async function removeToTrash(folder: string, name: string, trash: string): Promise<void> {
  await mkdir(trash, { recursive: true, mode: 0o700 });
  const doomed = join(trash, name);
  await removeTree(doomed);
  await rename(folder, doomed).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await removeTree(doomed);
}

/** Deletes what an earlier agent moved to the trash but did not finish. */
export async function emptyTrash(trash: string): Promise<void> {
  const names = await readdir(trash).catch((): string[] => []);
  for (const name of names) await removeTree(join(trash, name));
}
