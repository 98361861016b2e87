/** Looks at the node through /proc: CPU time, memory, disks and network. Starts no process. */
import { readFile, statfs } from 'node:fs/promises';
import type { DiskUsage, NodeUsage } from './usage.ts';

/** Length of a clock tick, which Linux fixes for user space at a hundredth of a second. */
export const TICK_MS = 10;
const MAX_DISKS = 32;
const DISK_TIMEOUT_MS = 2_000;
/** File systems that hold data of this node; memory, overlays and images of read-only media don't. */
const DISK_TYPES =
  /^(ext[234]|xfs|btrfs|zfs|f2fs|jfs|reiserfs|bcachefs|nfs4?|ceph|lustre|fuseblk)$/;

/** User (with niced) and system time per CPU, from the text of /proc/stat. */
export const parseCpuTimes = (text: string): number[] =>
  [...text.matchAll(/^cpu\d+ (\d+) (\d+) (\d+) /gm)].map(
    ([, user, nice, system]) => (Number(user) + Number(nice) + Number(system)) * TICK_MS,
  );

/** Memory in use and in total, from the text of /proc/meminfo. Bytes. */
export function parseMemory(text: string): { usedBytes: number; totalBytes: number } {
  const amount = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024;
  const totalBytes = amount('MemTotal');
  return { usedBytes: Math.max(0, totalBytes - amount('MemAvailable')), totalBytes };
}

/** Bytes through all interfaces but the loopback, from the text of /proc/net/dev. */
export function parseNetwork(text: string): { rxBytes: number; txBytes: number } {
  const sum = { rxBytes: 0, txBytes: 0 };
  for (const [, name, counters = ''] of text.matchAll(/^\s*([^\s:]+):(.*)$/gm)) {
    if (name === 'lo') continue;
    const values = counters.trim().split(/\s+/).map(Number);
    sum.rxBytes += values[0] ?? 0;
    sum.txBytes += values[8] ?? 0;
  }
  return sum;
}

/** Where disks are mounted, each device once, from the text of /proc/self/mounts. */
export function parseMounts(text: string): string[] {
  const byDevice = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [device, mountPoint, type] = line.split(' ');
    if (!device || !mountPoint || !type || !DISK_TYPES.test(type)) continue;
    if (!byDevice.has(device)) byDevice.set(device, unescapeMount(mountPoint));
  }
  return [...byDevice.values()].slice(0, MAX_DISKS);
}

const unescapeMount = (path: string): string =>
  path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );

/** null when the file system does not answer in time, as one of the network may. */
async function diskUsage(mountPoint: string): Promise<DiskUsage | null> {
  const { promise: late, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), DISK_TIMEOUT_MS);
  try {
    const found = await Promise.race([statfs(mountPoint), late]);
    if (found === null || found.blocks === 0) return null;
    const totalBytes = found.blocks * found.bsize;
    return { mountPoint, totalBytes, usedBytes: totalBytes - found.bfree * found.bsize };
  } catch {
    // Unmounted since it was listed, or not ours to look at.
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** @throws Error where there is no /proc. */
export async function readNodeUsage(): Promise<NodeUsage> {
  const [stat, meminfo, network, mounts] = await Promise.all(
    ['stat', 'meminfo', 'net/dev', 'self/mounts'].map((name) => readFile(`/proc/${name}`, 'utf8')),
  );
  const memory = parseMemory(meminfo ?? '');
  const { rxBytes, txBytes } = parseNetwork(network ?? '');
  const disks = await Promise.all(parseMounts(mounts ?? '').map(diskUsage));
  return {
    cpuUsedMs: parseCpuTimes(stat ?? ''),
    memoryUsedBytes: memory.usedBytes,
    memoryTotalBytes: memory.totalBytes,
    disks: disks.filter((disk) => disk !== null),
    netRxBytes: rxBytes,
    netTxBytes: txBytes,
  };
}
