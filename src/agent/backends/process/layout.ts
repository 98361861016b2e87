/**
 * The folder of one kernel on the host. It holds everything needed to find the kernel again after a
 * crash of the agent, so it is written before the kernel starts.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { kernelSpec, servicePort } from '../../../common/protocol/kernel.ts';
import { recordedAllocations } from '../../resources/allocations.ts';
import { recordedPlace, recordText } from '../record.ts';

const kernelRecord = v.object({
  version: v.literal(1),
  spec: kernelSpec,
  ...recordedAllocations,
  ...recordedPlace,
  servicePorts: v.array(servicePort),
  isolationGaps: v.array(v.string()),
  sandbox: v.picklist(['bubblewrap', 'unshare', 'none']),
});
export type KernelRecord = v.InferOutput<typeof kernelRecord>;

/** Paths inside a kernel's folder. */
export interface KernelLayout {
  readonly kernelId: string;
  readonly folder: string;
  readonly record: string;
  /** `/proc/<pid>/stat` of the supervising shell, written by itself. */
  readonly pid: string;
  /** Exit code of the runner, written by the supervising shell. */
  readonly exit: string;
  readonly log: string;
  readonly previousLog: string;
  readonly environment: string;
  readonly bootstrap: string;
  readonly etc: string;
  /** The kernel's /home/config. */
  readonly config: string;
  readonly work: string;
  readonly tmp: string;
  /** Holds the runner's socket. */
  readonly socketFolder: string;
  /** Where the `unshare` sandbox builds its file system; empty on the host. */
  readonly root: string;
}

export const SOCKET_NAME = 'runner.sock';
const KERNEL_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function kernelLayout(kernelsFolder: string, kernelId: string): KernelLayout {
  if (!KERNEL_ID.test(kernelId)) throw new RangeError(`'${kernelId}' is not a kernel id`);
  const folder = join(kernelsFolder, kernelId);
  return {
    kernelId,
    folder,
    record: join(folder, 'kernel.json'),
    pid: join(folder, 'pid'),
    exit: join(folder, 'exit'),
    log: join(folder, 'log'),
    previousLog: join(folder, 'log.1'),
    environment: join(folder, 'environment'),
    bootstrap: join(folder, 'bootstrap.sh'),
    etc: join(folder, 'etc'),
    config: join(folder, 'config'),
    work: join(folder, 'work'),
    tmp: join(folder, 'tmp'),
    socketFolder: join(folder, 'socket'),
    root: join(folder, 'root'),
  };
}

/** Ids of the kernels that have a folder. */
export async function kernelIds(kernelsFolder: string): Promise<string[]> {
  const names = await readdir(kernelsFolder).catch((): string[] => []);
  return names.filter((name) => KERNEL_ID.test(name));
}

export async function makeFolders(layout: KernelLayout): Promise<void> {
  await mkdir(layout.folder, { mode: 0o700 });
  await Promise.all([
    mkdir(layout.work, { mode: 0o755 }),
    mkdir(layout.tmp, { mode: 0o1777 }),
    mkdir(layout.socketFolder, { mode: 0o700 }),
    mkdir(layout.etc),
    mkdir(layout.config),
    mkdir(layout.root),
  ]);
}

export const writeRecord = (layout: KernelLayout, record: KernelRecord): Promise<void> =>
  writeFile(layout.record, recordText(record), { mode: 0o600 });

/** @returns null when there is no readable record. */
export async function readRecord(layout: KernelLayout): Promise<KernelRecord | null> {
  try {
    const parsed = v.safeParse(kernelRecord, JSON.parse(await readFile(layout.record, 'utf8')));
    return parsed.success ? parsed.output : null;
  } catch {
    // Lost or cut short by a crash: the caller treats the kernel as unknown.
    return null;
  }
}

/** The exit code of a kernel that ended; null while it runs or when the code was lost. */
export async function readExitCode(layout: KernelLayout): Promise<number | null> {
  const text = await readFile(layout.exit, 'utf8').catch(() => '');
  return /^\d+\n$/.test(text) ? Number(text) : null;
}
