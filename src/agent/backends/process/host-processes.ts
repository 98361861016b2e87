/** Host processes identified by pid and start time, since pids are reused. */
import { readdir, readFile } from 'node:fs/promises';
import type { Clock } from '../../../common/clock.ts';
import { errorCode } from '../../../common/errors.ts';
import type { KernelLayout } from './layout.ts';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot. */
  readonly startTime: string;
}

/** Parses a line of `/proc/<pid>/stat`; the command name in it may hold spaces and parentheses. */
export function parseStat(line: string): (ProcessIdentity & { state: string }) | null {
  const match = /^(\d+) \(.*\) (\S) (.*)$/s.exec(line.trim());
  // Field 22 of the line; the third group starts at field 4.
  const startTime = match?.[3]?.split(' ')[18];
  if (!match?.[1] || !match[2] || startTime === undefined) return null;
  return { pid: Number(match[1]), startTime, state: match[2] };
}

/** The supervising shell that a kernel's folder names; null when it never got that far. */
export async function readSupervisor(layout: KernelLayout): Promise<ProcessIdentity | null> {
  const text = await readFile(layout.pid, 'utf8').catch(() => '');
  return text.endsWith('\n') ? parseStat(text) : null;
}

/** Whether exactly this process exists and is not just a corpse. */
export async function isAlive(process: ProcessIdentity): Promise<boolean> {
  const stat = parseStat(await readFile(`/proc/${process.pid}/stat`, 'utf8').catch(() => ''));
  return stat !== null && stat.startTime === process.startTime && stat.state !== 'Z';
}

/** Sends SIGKILL to a process or (negative pid) group; one that is gone already is fine. */
function forceKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

/** Kills the supervising shell with its process group, if it is still that shell. */
export async function killGroup(supervisor: ProcessIdentity): Promise<void> {
  if (!(await isAlive(supervisor))) return;
  forceKill(-supervisor.pid);
}

/** Longest time a killed process may take to disappear. */
const KILL_DEADLINE_MS = 10_000;
const POLL_MS = 5;

/** Waits until `isGone`. @returns false when that did not happen within `timeoutMs`. */
export async function waitUntil(
  clock: Clock,
  timeoutMs: number,
  isGone: () => Promise<boolean>,
): Promise<boolean> {
  const deadline = clock.monotonicMs() + timeoutMs;
  while (!(await isGone())) {
    if (clock.monotonicMs() >= deadline) return false;
    await clock.sleep(POLL_MS);
  }
  return true;
}

/**
 * Kills every process whose environment names the kernel. Only needed without a pid namespace, where
 * a program may have left its process group.
 * @throws Error when one of them survives.
 */
export async function killByEnvironment(clock: Clock, marker: string): Promise<void> {
  const gone = await waitUntil(clock, KILL_DEADLINE_MS, async () => {
    const pids = await pidsWithEnvironment(marker);
    for (const pid of pids) forceKill(pid);
    return pids.length === 0;
  });
  if (!gone) throw new Error(`processes with ${marker} can't be killed`);
}

async function pidsWithEnvironment(marker: string): Promise<number[]> {
  const names = await readdir('/proc');
  const found = await Promise.all(
    names.map(async (name) => {
      if (!/^\d+$/.test(name) || Number(name) === process.pid) return null;
      const environment = await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '');
      return environment.split('\0').includes(marker) ? Number(name) : null;
    }),
  );
  return found.filter((pid) => pid !== null);
}

/** Waits for a killed supervisor to be gone. @throws Error when it stays. */
export async function waitForEnd(clock: Clock, supervisor: ProcessIdentity): Promise<void> {
  const gone = await waitUntil(clock, KILL_DEADLINE_MS, async () => !(await isAlive(supervisor)));
  if (!gone) throw new Error(`process ${supervisor.pid} does not end although it was killed`);
}
