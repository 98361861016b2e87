/**
 * Clears away what the agent can not know of any more: its kernels whose folder was deleted under
 * them, and control groups left empty. Other agents' kernels stay, whatever became of their folders.
 */
import { readdir, readlink, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../common/clock.ts';
import { type CgroupHierarchy, pidsIn, removeCgroups } from './cgroup.ts';

/** A kernel that is being made has empty groups for a moment; never for this long. */
const EMPTY_FOR_MS = 10 * 60_000;
const KERNEL_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether the supervising shell, which works in the kernel's folder, has lost it. */
async function lostItsFolder(pids: readonly number[], kernelFolder: string): Promise<boolean> {
  const folders = await Promise.all(
    pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')),
  );
  return folders.includes(`${kernelFolder} (deleted)`);
}

/**
 * @param kernelsFolder where this agent's kernels have their folders.
 * @param emptyForMs how long a group must have existed to be removed when it is empty.
 * @returns the kernels that were ended because their folder is gone.
 */
export async function clearOrphans(
  kernelsFolder: string,
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
      if (await lostItsFolder(pids, join(kernelsFolder, kernelId))) {
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
