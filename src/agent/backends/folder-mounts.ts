/**
 * The folders that a kernel mounts, as the host has them now. A user can put links into a folder, also
 * after the manager looked: what is mounted must still lie inside the folder it was asked of.
 */
import { mkdir, realpath, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { KernelSpec } from '../../common/protocol/kernel.ts';

export interface FolderBind {
  readonly name: string;
  /** Without links. */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

const WORK = '/home/work';

async function resolved(name: string, path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw new Error(
      `folder '${name}' cannot be mounted: ${path} is not there. Is its volume mounted on this host?`,
      { cause: error },
    );
  }
}

/**
 * What to mount from where, outer targets first.
 * @throws Error naming the folder that is missing, no directory, or left through a link.
 */
export async function folderBinds(spec: Pick<KernelSpec, 'mounts'>): Promise<FolderBind[]> {
  const binds: FolderBind[] = [];
  for (const { name, root, subpath, target, readOnly } of spec.mounts) {
    const base = await resolved(name, root);
    const source = await resolved(name, join(base, subpath));
    const inner = relative(base, source);
    if (inner === '..' || inner.startsWith('../')) {
      throw new Error(`folder '${name}' cannot be mounted: '${subpath}' leads out of it`);
    }
    if (!(await stat(source)).isDirectory()) {
      throw new Error(`folder '${name}' cannot be mounted: '${subpath}' is no directory`);
    }
    binds.push({ name, source, target, readOnly });
  }
  return binds.sort((a, b) => a.target.split('/').length - b.target.split('/').length);
}

/**
 * Makes the places below /home/work to which folders are mounted, so that they belong to whoever
 * owns that folder. Those inside other mounts are theirs.
 * @param work the kernel's /home/work on the host, still without anything of the user's.
 */
export async function makeMountPoints(
  work: string,
  binds: readonly Pick<FolderBind, 'target'>[],
): Promise<string[]> {
  const made: string[] = [];
  for (const { target } of binds) {
    if (!target.startsWith(`${WORK}/`)) continue;
    const inside = binds.some((other) => target.startsWith(`${other.target}/`));
    if (inside) continue;
    const path = join(work, target.slice(WORK.length + 1));
    await mkdir(path, { recursive: true });
    made.push(path);
  }
  return made;
}
