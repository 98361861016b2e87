/** What a synchronisation has to do, from how both sides are and how they were. Pure. */
import type { SyncState } from '../state.ts';

export interface FileVersion {
  readonly size: number;
  readonly modifiedMs: number;
}

export type Side = 'local' | 'remote';

export interface SyncPlan {
  /** Paths to copy to the folder, and from it. */
  readonly up: readonly string[];
  readonly down: readonly string[];
  /** Paths that both sides changed. */
  readonly conflicts: readonly string[];
  /** Paths that are gone on one side, and unchanged on the other, where they are to be deleted. */
  readonly deleteLocal: readonly string[];
  readonly deleteRemote: readonly string[];
}

const same = (a: FileVersion, b: FileVersion): boolean =>
  a.size === b.size && Math.abs(a.modifiedMs - b.modifiedMs) < 1;

/**
 * Compares both sides with what they were after the last time. Without such knowledge files of the
 * same size count as the same.
 * @param prefer which side wins where both changed; null leaves such files alone.
 */
export function planSync(
  local: ReadonlyMap<string, FileVersion>,
  remote: ReadonlyMap<string, FileVersion>,
  known: SyncState,
  prefer: Side | null,
): SyncPlan {
  const plan = {
    up: [] as string[],
    down: [] as string[],
    conflicts: [] as string[],
    deleteLocal: [] as string[],
    deleteRemote: [] as string[],
  };
  const paths = new Set([...local.keys(), ...remote.keys()]);
  for (const path of [...paths].sort()) {
    const here = local.get(path);
    const there = remote.get(path);
    const before = known[path];
    const localChanged = !before || !here || !same(here, before.local);
    const remoteChanged = !before || !there || !same(there, before.remote);
    if (here && there) {
      if (!localChanged && !remoteChanged) continue;
      if (!before && here.size === there.size) continue;
      if (localChanged && !remoteChanged) plan.up.push(path);
      else if (remoteChanged && !localChanged) plan.down.push(path);
      else if (prefer === 'local') plan.up.push(path);
      else if (prefer === 'remote') plan.down.push(path);
      else plan.conflicts.push(path);
    } else if (here) {
      // Gone there: deleted, unless it is new or was changed here since.
      if (before && !localChanged) plan.deleteLocal.push(path);
      else plan.up.push(path);
    } else if (before && !remoteChanged) plan.deleteRemote.push(path);
    else plan.down.push(path);
  }
  return plan;
}
