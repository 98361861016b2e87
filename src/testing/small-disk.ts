/** A file system of its own that a test can fill: in memory, mounted by root. */
import { mkdirSync, statfsSync } from 'node:fs';
import { until } from './until.ts';

/** What an installer asks for at least; taken only as far as it is used. */
const ROOMY = '4g';

export interface SmallDisk {
  readonly path: string;
  /** Leaves no byte free; whoever writes now is told so. */
  fill(): Promise<void>;
  /** Gives the room back. */
  empty(): void;
  remove(): void;
}

/** Why there can be none; null when there can. */
export const missingForSmallDisk = (): string | null =>
  process.platform === 'linux' && process.getuid?.() === 0 ? null : 'a disk of its own needs root';

const mount = (...args: string[]) => Bun.spawnSync(['mount', ...args], { stdin: 'ignore' });

/** @param path a folder that is made. */
export function mountSmallDisk(path: string): SmallDisk {
  mkdirSync(path);
  const resize = (size: string) => mount('-o', `remount,size=${size}`, path).success;
  const { success, stderr } = mount('-t', 'tmpfs', '-o', `size=${ROOMY}`, 'tmpfs', path);
  if (!success) throw new Error(`no disk of its own: ${stderr.toString().trim()}`);
  return {
    path,
    async fill() {
      // Refused when something was written since it was looked at.
      await until(() => {
        const { blocks, bfree, bsize } = statfsSync(path);
        return resize(String((blocks - bfree) * bsize));
      }, 'the disk is full');
    },
    empty() {
      if (!resize(ROOMY)) throw new Error(`${path} cannot be given its room back`);
    },
    remove() {
      Bun.spawnSync(['umount', '-l', path], { stdin: 'ignore' });
    },
  };
}
