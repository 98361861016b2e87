/**
 * The folder of one kernel on the host. The container sees only parts of it; the record beside them
 * is what an agent needs to find the kernel again after a crash, so it is written first.
 */
import { chmod, chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
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
});
export type KernelRecord = v.InferOutput<typeof kernelRecord>;

/** Paths inside a kernel's folder. */
export interface KernelLayout {
  readonly kernelId: string;
  readonly folder: string;
  readonly record: string;
  /** Read by the container at /home/config. */
  readonly config: string;
  /** The container's /etc/hosts, where the agent writes it. */
  readonly hosts: string;
  /** The container's /home/work. */
  readonly work: string;
  /** Holds the runner's socket. */
  readonly socketFolder: string;
}

export const SOCKET_NAME = 'runner.sock';
const KERNEL_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function kernelLayout(scratchRoot: string, kernelId: string): KernelLayout {
  if (!KERNEL_ID.test(kernelId)) throw new RangeError(`'${kernelId}' is not a kernel id`);
  const folder = join(scratchRoot, kernelId);
  return {
    kernelId,
    folder,
    record: join(folder, 'kernel.json'),
    config: join(folder, 'config'),
    hosts: join(folder, 'hosts'),
    work: join(folder, 'work'),
    socketFolder: join(folder, 'socket'),
  };
}

/** Ids of the kernels that have a folder. */
export async function kernelIds(scratchRoot: string): Promise<string[]> {
  const names = await readdir(scratchRoot).catch((): string[] => []);
  return names.filter((name) => KERNEL_ID.test(name));
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Whether what the agent makes is the owner's as it is. */
export const isSelf = (owner: Owner): boolean =>
  process.getuid?.() === owner.uid && process.getgid?.() === owner.gid;

/** Makes the folders; those the container writes to belong to `owner`. @throws EEXIST. */
export async function makeFolders(layout: KernelLayout, owner: Owner): Promise<void> {
  await mkdir(layout.folder, { mode: 0o700 });
  await Promise.all([
    mkdir(layout.config, { mode: 0o755 }),
    mkdir(layout.work, { mode: 0o755 }),
    mkdir(layout.socketFolder, { mode: 0o700 }),
  ]);
  // The mode given to mkdir is subject to the umask.
  await chmod(layout.config, 0o755);
  if (isSelf(owner)) return;
  for (const path of [layout.work, layout.socketFolder]) await chown(path, owner.uid, owner.gid);
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

/** Where folders of ended kernels wait to be deleted. */
export const trashFolder = (scratchRoot: string): string => join(scratchRoot, '.trash');
