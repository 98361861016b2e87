/** Limits on CPU, memory and processes through control groups, version 1 or 2, where writable. */
import { access, constants, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../common/clock.ts';
import { errorCode, errorMessage } from '../../../common/errors.ts';
import { waitUntil } from './host-processes.ts';

const MOUNT = '/sys/fs/cgroup';
const PARENT = 'backend.ai';
const PERIOD_US = 100_000;
const PIDS_PER_KERNEL = 4096;
const KILL_DEADLINE_MS = 10_000;
const CONTROLLERS = ['cpu', 'memory', 'pids', 'cpuset'] as const;
type Controller = (typeof CONTROLLERS)[number];
/** Counts CPU time in version 1 and limits nothing; version 2 counts it in `cpu`. */
const ACCOUNTING = 'cpuacct';
type Group = Controller | typeof ACCOUNTING;

export interface Limits {
  /** Cores, possibly a fraction; null means unlimited. */
  readonly cpus: number | null;
  readonly memoryBytes: number | null;
  /** Logical CPUs; empty means all. */
  readonly cpuIds: readonly number[];
}

export interface CgroupHierarchy {
  readonly version: 1 | 2;
  /** Controllers with a folder we may write to. */
  readonly folders: ReadonlyMap<Group, string>;
}

async function prepareV1(): Promise<CgroupHierarchy | null> {
  const folders = new Map<Group, string>();
  for (const controller of [...CONTROLLERS, ACCOUNTING] as const) {
    const folder = join(MOUNT, controller, PARENT);
    try {
      await mkdir(folder, { recursive: true });
      if (controller === 'cpuset') await inheritCpuset(folder);
      folders.set(controller, folder);
    } catch {
      // Not mounted, or not ours to write: the limit becomes a gap that is told.
    }
  }
  return folders.size > 0 ? { version: 1, folders } : null;
}

/** A new v1 cpuset holds no CPU at all until it is given some. */
async function inheritCpuset(folder: string): Promise<void> {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if ((await readFile(join(folder, name), 'utf8')).trim() !== '') continue;
    await writeFile(join(folder, name), await readFile(join(folder, '..', name), 'utf8'));
  }
}

async function prepareV2(): Promise<CgroupHierarchy | null> {
  const parent = join(MOUNT, PARENT);
  try {
    const available = (await readFile(join(MOUNT, 'cgroup.controllers'), 'utf8')).trim().split(' ');
    const usable = CONTROLLERS.filter((controller) => available.includes(controller));
    await mkdir(parent, { recursive: true });
    const enable = usable.map((controller) => `+${controller}`).join(' ');
    await writeFile(join(MOUNT, 'cgroup.subtree_control'), enable);
    await writeFile(join(parent, 'cgroup.subtree_control'), enable);
    return { version: 2, folders: new Map(usable.map((controller) => [controller, parent])) };
  } catch {
    // Not ours to write: the limits become gaps that are told.
    return null;
  }
}

/** Finds the control groups that this process may make. @returns null when there are none. */
export async function prepareCgroups(): Promise<CgroupHierarchy | null> {
  try {
    await access(MOUNT, constants.W_OK);
  } catch {
    return null;
  }
  const isV2 = await access(join(MOUNT, 'cgroup.controllers')).then(
    () => true,
    () => false,
  );
  return isV2 ? await prepareV2() : await prepareV1();
}

function settings(version: 1 | 2, controller: Controller, limits: Limits): [string, string][] {
  const { cpus, memoryBytes, cpuIds } = limits;
  switch (controller) {
    case 'cpu': {
      if (cpus === null) return [];
      const quota = Math.max(1000, Math.round(cpus * PERIOD_US));
      return version === 2
        ? [['cpu.max', `${quota} ${PERIOD_US}`]]
        : [
            ['cpu.cfs_period_us', `${PERIOD_US}`],
            ['cpu.cfs_quota_us', `${quota}`],
          ];
    }
    case 'memory':
      if (memoryBytes === null) return [];
      return [[version === 2 ? 'memory.max' : 'memory.limit_in_bytes', `${memoryBytes}`]];
    case 'pids':
      return [['pids.max', `${PIDS_PER_KERNEL}`]];
    case 'cpuset':
      return cpuIds.length > 0 ? [['cpuset.cpus', cpuIds.join(',')]] : [];
    default:
      return controller satisfies never;
  }
}

export interface KernelCgroups {
  /** A process with one thread that writes 0 into these files has joined the groups. */
  readonly joinFiles: string[];
  readonly enforced: ReadonlySet<Controller>;
  readonly gaps: string[];
}

/** What is missing where a control group can't be used, and what is done instead. */
const GAPS: Record<Controller, string> = {
  cpu: 'CPU time is not limited',
  memory: 'Memory is limited for each process, not for the session as a whole',
  pids: 'The number of processes is not limited',
  cpuset: 'Programs may leave the CPUs they were started on',
};

const gapWithout = (controller: Controller) => `${GAPS[controller]}: no writable control group.`;

/** What no kernel can be limited in, for want of control groups. */
export const missingControls = (hierarchy: CgroupHierarchy | null): string[] =>
  CONTROLLERS.filter((controller) => !hierarchy?.folders.has(controller)).map(gapWithout);

/** Makes the control groups of one kernel. What can't be limited is named in `gaps`. */
export async function createCgroups(
  hierarchy: CgroupHierarchy | null,
  kernelId: string,
  limits: Limits,
): Promise<KernelCgroups> {
  const folders = new Set<string>();
  const enforced = new Set<Controller>();
  const gaps: string[] = [];
  for (const controller of CONTROLLERS) {
    const parent = hierarchy?.folders.get(controller);
    if (!hierarchy || !parent) {
      gaps.push(gapWithout(controller));
      continue;
    }
    const folder = join(parent, kernelId);
    try {
      await mkdir(folder, { recursive: true });
      folders.add(folder);
      if (controller === 'cpuset' && hierarchy.version === 1) await inheritCpuset(folder);
      for (const [name, value] of settings(hierarchy.version, controller, limits)) {
        await writeFile(join(folder, name), value);
      }
      enforced.add(controller);
    } catch (error) {
      gaps.push(`${GAPS[controller]}: ${errorMessage(error)}.`);
    }
  }
  const accounting = hierarchy?.folders.get(ACCOUNTING);
  if (accounting !== undefined) {
    const folder = join(accounting, kernelId);
    // Without it the kernel runs as well, and its time is added up from its processes.
    const made = await mkdir(folder, { recursive: true }).then(
      () => true,
      () => false,
    );
    if (made) folders.add(folder);
  }
  // Version 1 moves a single thread at once; for a whole process it waits for every CPU.
  const file = hierarchy?.version === 1 ? 'tasks' : 'cgroup.procs';
  return { joinFiles: [...folders].map((folder) => join(folder, file)), enforced, gaps };
}

/** Processes of a group; none when it does not exist. */
export async function pidsIn(folder: string): Promise<number[]> {
  const text = await readFile(join(folder, 'cgroup.procs'), 'utf8').catch(() => '');
  return text
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 0);
}

/** Kills what is left in the kernel's groups and removes them. @throws Error when something survives. */
export async function removeCgroups(
  clock: Clock,
  hierarchy: CgroupHierarchy | null,
  kernelId: string,
): Promise<void> {
  for (const parent of new Set(hierarchy?.folders.values() ?? [])) {
    const folder = join(parent, kernelId);
    const removed = await waitUntil(clock, KILL_DEADLINE_MS, async () => {
      for (const pid of await pidsIn(folder)) killQuietly(pid);
      return await removeEmpty(folder);
    });
    if (!removed) throw new Error(`the control group ${folder} still holds processes`);
  }
}

/** @returns false while the kernel still counts processes in it. */
async function removeEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return true;
    if (errorCode(error) === 'EBUSY') return false;
    throw error;
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended between being listed and being killed.
  }
}
