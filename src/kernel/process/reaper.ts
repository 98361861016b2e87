/**
 * Collects orphans that ended, when the runner is process 1 of its container: nobody else does, and
 * each would keep a process id for as long as the session lives.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { libc } from '../../common/libc.ts';

const SWEEP_MS = 5000;
const WNOHANG = 1;
/** Children we started ourselves; Bun waits for those. */
const ownChildren = new Set<number>();

/** Keeps the reaper away from a child until it has been waited for. */
export function keepFromReaper(pid: number, exited: Promise<unknown>): void {
  ownChildren.add(pid);
  const forget = () => ownChildren.delete(pid);
  exited.then(forget, forget);
}

/** Sweeps every few seconds from now on. Does nothing unless this is process 1. */
export function startReaper(): void {
  if (process.pid === 1) setInterval(reapOrphans, SWEEP_MS).unref();
}

function reapOrphans(): void {
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || ownChildren.has(pid) || !isOurZombie(pid)) continue;
    libc()?.waitpid(pid, WNOHANG);
  }
}

/** The fields after the parenthesised name in /proc/PID/stat: state, then parent. */
function isOurZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z 1 ');
  } catch {
    // It has gone meanwhile.
    return false;
  }
}
