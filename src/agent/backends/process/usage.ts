/**
 * What kernels use, from their control groups and /proc. Without control groups the processes below
 * the supervising shell are added up, from one look at /proc for all kernels together. The network is
 * the host's, so nobody can tell a kernel's part of it.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TICK_MS } from '../../stats/node-usage.ts';
import type { KernelUsage } from '../../stats/usage.ts';
import { type CgroupHierarchy, pidsIn } from './cgroup.ts';

/** Processes of one kernel that are looked into; the rest is not counted. */
const MAX_PROCESSES = 4096;
/** Bytes of a page, which Linux fixes at this on the architectures we run on. */
const PAGE_BYTES = 4096;
/** A limit from here on means none: version 1 prints a huge number for it. */
const NO_LIMIT_BYTES = 2 ** 60;

const readText = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');

/** The number after `name` on a line of its own; null without one. */
function field(text: string, name: string): number | null {
  const value = new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1];
  return value === undefined ? null : Number(value);
}

async function amountIn(folder: string | undefined, name: string): Promise<number | null> {
  if (folder === undefined) return null;
  const text = (await readText(join(folder, name))).trim();
  return /^\d+$/.test(text) ? Number(text) : null;
}

interface Memory {
  readonly bytes: number;
  readonly limitBytes: number | null;
}

async function cgroupMemory(version: 1 | 2, folder: string): Promise<Memory | null> {
  const [usageName, limitName, cacheName] =
    version === 2
      ? ['memory.current', 'memory.max', 'inactive_file']
      : ['memory.usage_in_bytes', 'memory.limit_in_bytes', 'total_inactive_file'];
  const [usage, limit, stat] = await Promise.all([
    amountIn(folder, usageName),
    amountIn(folder, limitName),
    readText(join(folder, 'memory.stat')),
  ]);
  if (usage === null) return null;
  return {
    // Pages of files that nobody uses are given up as soon as memory is short.
    bytes: Math.max(0, usage - (field(stat, cacheName) ?? 0)),
    limitBytes: limit === null || limit >= NO_LIMIT_BYTES ? null : limit,
  };
}

async function cgroupCpuMs(hierarchy: CgroupHierarchy, kernelId: string): Promise<number | null> {
  if (hierarchy.version === 1) {
    const parent = hierarchy.folders.get('cpuacct');
    const ns = await amountIn(parent && join(parent, kernelId), 'cpuacct.usage');
    return ns === null ? null : ns / 1e6;
  }
  const parent = hierarchy.folders.get('cpu');
  if (parent === undefined) return null;
  const us = field(await readText(join(parent, kernelId, 'cpu.stat')), 'usage_usec');
  return us === null ? null : us / 1000;
}

interface ProcessUsage {
  readonly cpuMs: number;
  readonly residentBytes: number;
  readonly parent: number;
}

/** From the text of `/proc/<pid>/stat`; time of children that were waited for counts too. */
function parseProcess(text: string): ProcessUsage | null {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  if (fields.length < 22) return null;
  // Fields 14 to 17 and 24 of the line; `fields` starts at field 3.
  const ticks = fields.slice(11, 15).reduce((sum, value) => sum + Number(value), 0);
  return {
    cpuMs: ticks * TICK_MS,
    residentBytes: Number(fields[21]) * PAGE_BYTES,
    parent: Number(fields[1]),
  };
}

/** Every process of the host with its parent. */
async function allProcesses(): Promise<Map<number, ProcessUsage>> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = new Map<number, ProcessUsage>();
  await Promise.all(
    names.map(async (name) => {
      const usage = parseProcess(await readText(`/proc/${name}/stat`));
      if (usage) found.set(Number(name), usage);
    }),
  );
  return found;
}

/** A process and all below it. */
function familyOf(root: number, processes: ReadonlyMap<number, ProcessUsage>): number[] {
  const children = Map.groupBy(processes.keys(), (pid) => processes.get(pid)?.parent ?? 0);
  const family = [root];
  for (let at = 0; at < family.length && family.length < MAX_PROCESSES; at += 1) {
    family.push(...(children.get(family[at] ?? 0) ?? []));
  }
  return family.slice(0, MAX_PROCESSES);
}

interface Io {
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** What processes read from and wrote to disks. null when none of them may be looked into. */
async function ioOf(pids: readonly number[]): Promise<Io | null> {
  let sum: { readBytes: number; writtenBytes: number } | null = null;
  for (const pid of pids.slice(0, MAX_PROCESSES)) {
    const text = (await readText(`/proc/${pid}/io`)).replaceAll(':', '');
    const read = field(text, 'read_bytes');
    const written = field(text, 'write_bytes');
    if (read === null || written === null) continue;
    sum ??= { readBytes: 0, writtenBytes: 0 };
    sum.readBytes += read;
    sum.writtenBytes += written;
  }
  return sum;
}

/** A kernel as it is to be looked at. */
export interface MeasuredKernel {
  readonly kernelId: string;
  /** Process id of the supervising shell. */
  readonly supervisor: number;
}

/** Everything but the scratch folder. */
export type ProcessKernelUsage = Omit<KernelUsage, 'scratchBytes'>;

/** Looks at kernels. Those that ended meanwhile are left out. */
export async function kernelUsages(
  hierarchy: CgroupHierarchy | null,
  kernels: readonly MeasuredKernel[],
): Promise<Map<string, ProcessKernelUsage>> {
  let scanned: Promise<Map<number, ProcessUsage>> | null = null;
  const scan = () => {
    scanned ??= allProcesses();
    return scanned;
  };
  const usages = new Map<string, ProcessKernelUsage>();
  for (const kernel of kernels) {
    const usage = await usageOf(hierarchy, kernel, scan);
    if (usage) usages.set(kernel.kernelId, usage);
  }
  return usages;
}

async function usageOf(
  hierarchy: CgroupHierarchy | null,
  { kernelId, supervisor }: MeasuredKernel,
  scan: () => Promise<ReadonlyMap<number, ProcessUsage>>,
): Promise<ProcessKernelUsage | null> {
  const memoryParent = hierarchy?.folders.get('memory');
  const [cpuMs, memory] = await Promise.all([
    hierarchy && cgroupCpuMs(hierarchy, kernelId),
    hierarchy && memoryParent
      ? cgroupMemory(hierarchy.version, join(memoryParent, kernelId))
      : null,
  ]);
  let pids = memoryParent ? await pidsIn(join(memoryParent, kernelId)) : [];
  let added = { cpuMs: 0, residentBytes: 0 };
  if (cpuMs === null || memory === null || pids.length === 0) {
    const processes = await scan();
    if (!processes.has(supervisor)) return null;
    pids = familyOf(supervisor, processes);
    added = sumOf(pids, processes);
  }
  const io = await ioOf(pids);
  return {
    cpuUsedMs: cpuMs ?? added.cpuMs,
    memoryBytes: memory?.bytes ?? added.residentBytes,
    memoryLimitBytes: memory?.limitBytes ?? null,
    ioReadBytes: io?.readBytes ?? null,
    ioWriteBytes: io?.writtenBytes ?? null,
    netRxBytes: null,
    netTxBytes: null,
  };
}

function sumOf(pids: readonly number[], processes: ReadonlyMap<number, ProcessUsage>) {
  const sum = { cpuMs: 0, residentBytes: 0 };
  for (const pid of pids) {
    sum.cpuMs += processes.get(pid)?.cpuMs ?? 0;
    sum.residentBytes += processes.get(pid)?.residentBytes ?? 0;
  }
  return sum;
}
