/** What a daemon can enforce, and what that leaves open for its kernels. */
import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import type { DockerEngine } from '../../../common/docker/engine.ts';

const information = v.object({
  NCPU: v.number(),
  MemTotal: v.number(),
  MemoryLimit: v.optional(v.boolean(), false),
  SwapLimit: v.optional(v.boolean(), false),
  CpuCfsQuota: v.optional(v.boolean(), false),
  CPUSet: v.optional(v.boolean(), false),
  PidsLimit: v.optional(v.boolean(), false),
  Runtimes: v.optional(v.nullable(v.record(v.string(), v.unknown())), {}),
  SecurityOptions: v.optional(v.nullable(v.array(v.string())), []),
});
const versionAnswer = v.object({
  Components: v.optional(v.nullable(v.array(v.object({ Name: v.string() }))), []),
});

export interface DaemonTraits {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly isPodman: boolean;
  readonly memoryLimit: boolean;
  readonly swapLimit: boolean;
  readonly cpuLimit: boolean;
  readonly cpuPinning: boolean;
  readonly pidsLimit: boolean;
  readonly seccomp: boolean;
  /** Names of what can run containers; `nvidia` attaches GPUs. */
  readonly runtimes: readonly string[];
}

/** @throws BackendError ServiceUnavailable. */
export async function describeDaemon(engine: DockerEngine): Promise<DaemonTraits> {
  const [infoAnswer, versionText] = await Promise.all([
    engine.call((docker) => docker.info()),
    engine.call((docker) => docker.version()),
  ]);
  const info = v.parse(information, infoAnswer);
  const { Components } = v.parse(versionAnswer, versionText);
  return {
    cpus: info.NCPU,
    memoryBytes: info.MemTotal,
    isPodman: (Components ?? []).some(({ Name }) => Name.startsWith('Podman')),
    memoryLimit: info.MemoryLimit,
    swapLimit: info.SwapLimit,
    cpuLimit: info.CpuCfsQuota,
    cpuPinning: info.CPUSet,
    pidsLimit: info.PidsLimit,
    seccomp: (info.SecurityOptions ?? []).some((option) => option.startsWith('name=seccomp')),
    runtimes: Object.keys(info.Runtimes ?? {}),
  };
}

/** Limits and separations that this daemon can't give, in plain words. */
export function gapsOf(daemon: DaemonTraits): string[] {
  const gaps = ['Disk space below /home/work is not limited.'];
  if (!daemon.memoryLimit) gaps.push('Memory is not limited: the daemon has no memory control.');
  else if (!daemon.swapLimit) gaps.push('Use of swap is not limited.');
  if (!daemon.cpuLimit) gaps.push('CPU time is not limited: the daemon has no CPU control.');
  if (!daemon.pidsLimit) gaps.push('The number of processes is not limited.');
  if (!daemon.seccomp) gaps.push('System calls are not filtered: the daemon has no seccomp.');
  return gaps;
}

/** The hard limits of this process, which its children can't exceed; null means unlimited. */
export async function hardLimits(): Promise<{
  openFiles: number | null;
  lockedBytes: number | null;
}> {
  const text = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const hard = (name: string): number | null => {
    const value = new RegExp(`^${name}\\s+\\S+\\s+(\\d+)`, 'm').exec(text)?.[1];
    return value === undefined ? null : Number(value);
  };
  return {
    openFiles: hard('Max open files'),
    lockedBytes: hard('Max locked memory'),
  };
}
