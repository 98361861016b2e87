/**
 * Clears away what no agent can know of any more: kernels whose folder was deleted under them, and
 * control groups left empty. Other agents of this host may be at work, so what could be theirs stays.
 */
import { readdir, readlink, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../common/clock.ts';
import { type CgroupHierarchy, pidsIn, removeCgroups } from './cgroup.ts';

/** A kernel that is being made has empty groups for a moment; never for this long. */
const EMPTY_FOR_MS = 10 * 60_000;
const KERNEL_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether the supervising shell, which works in the kernel's folder, has lost it. */
async function lostItsFolder(pids: readonly number[], kernelId: string): Promise<boolean> {
  const folders = await Promise.all(
    pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')),
  );
  return folders.some((folder) => folder.endsWith(`/kernels/${kernelId} (deleted)`));
}

/**
 * @param emptyForMs how long a group must have existed to be removed when it is empty.
 * @returns the kernels that were ended because their folder is gone.
 */
export async function clearOrphans(
  hierarchy: CgroupHierarchy | null,
  clock: Clock,
  emptyForMs: number = EMPTY_FOR_MS,
): Promise<string[]> {
  const ended = new Set<string>();
  for (const parent of new Set(hierarchy?.folders.values() ?? [])) {
    const names = await readdir(parent).catch((): string[] => []);
    for (const kernelId of names.filter((name) => KERNEL_ID.test(name))) {
      const folder = join(parent, kernelId);
      const pids = await pidsIn(folder);
      if (await lostItsFolder(pids, kernelId)) {
        await removeCgroups(clock, hierarchy, kernelId);
        ended.add(kernelId);
      } else if (pids.length === 0) {
        const info = await stat(folder).catch(() => null);
        const ageMs = info === null ? 0 : clock.now().getTime() - info.mtimeMs;
        if (info !== null && ageMs >= emptyForMs) {
          await rmdir(folder).catch(() => {
            // Somebody else was faster, or uses it after all.
          });
        }
      }
    }
  }
  return [...ended];
}
