/** Writes the owner's dotfiles into the home folder of a kernel that has not started yet. */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { homePathParts } from '../../common/home-path.ts';
import type { KernelSpec } from '../../common/protocol/kernel.ts';

/** Folders above the files: as open as a home folder is. */
const FOLDER_MODE = 0o755;

export interface HomeOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * @param home the folder on the host; nobody else writes there yet.
 * @param owner to whom files and folders are given; null keeps them the agent's.
 * @throws RangeError for a path outside the home folder, and what the file system throws.
 */
export async function writeDotfiles(
  home: string,
  files: KernelSpec['dotfiles'],
  owner: HomeOwner | null,
): Promise<void> {
  const give = async (path: string) => {
    if (owner !== null) await chown(path, owner.uid, owner.gid);
  };
  for (const { path, mode, data } of files) {
    const parts = homePathParts(path);
    if (parts === null) throw new RangeError(`'${path}' is no path in a home folder`);
    let folder = home;
    for (const part of parts.slice(0, -1)) {
      folder = join(folder, part);
      const isNew = (await mkdir(folder, { recursive: true, mode: FOLDER_MODE })) !== undefined;
      if (isNew) await give(folder);
    }
    const file = join(home, ...parts);
    await writeFile(file, data);
    await chmod(file, mode);
    await give(file);
  }
}
