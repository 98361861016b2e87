/** Whether another process of this machine lives, and whether it is still the one that was meant. */
import { readFileSync } from 'node:fs';
import { errorCode } from './errors.ts';

interface ProcessStat {
  /** R, S, D, Z, … as in /proc. */
  readonly state: string;
  /** Start time in clock ticks after boot; tells a reused pid apart. */
  readonly startTicks: number;
}

/** From /proc; null where there is none, or no such process. */
function processStat(pid: number): ProcessStat | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name, in parentheses, may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', startTicks: Number(fields[19]) };
  } catch {
    return null;
  }
}

/** Start time of a process in clock ticks after boot; null where /proc does not tell. */
export const processStartTicks = (pid: number): number | null =>
  processStat(pid)?.startTicks ?? null;

/**
 * Whether `pid` is a living process; one that ended but was not collected by its parent is not.
 * @param startTicks what `processStartTicks` said about the process that is meant, if known.
 */
export function isProcessAlive(pid: number, startTicks: number | null = null): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errorCode(error) !== 'EPERM') return false;
  }
  const stat = processStat(pid);
  if (stat === null) return true;
  return stat.state !== 'Z' && (startTicks === null || startTicks === stat.startTicks);
}
