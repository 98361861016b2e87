/**
 * How much is below the work folders of kernels. Walking them costs disk accesses, so each is walked
 * once a minute at the most, one at a time, in the background, and not at all beyond a number of files.
 */
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../common/clock.ts';
import { errorCode } from '../../common/errors.ts';

const LOOK_AGAIN_MS = 60_000;
const MAX_ENTRIES = 20_000;
/** How long a folder with too many files is left alone. Milliseconds. */
const TOO_LARGE_PAUSE_MS = 30 * 60_000;

/**
 * Bytes that the files below a folder take on the disk, links to the same file counted once.
 * @returns null when there are more than `maxEntries` of them.
 */
export async function folderBytes(
  folder: string,
  maxEntries: number = MAX_ENTRIES,
): Promise<number | null> {
  const waiting = [folder];
  const linked = new Set<string>();
  let bytes = 0;
  let entries = 0;
  for (let current = waiting.pop(); current !== undefined; current = waiting.pop()) {
    for await (const entry of await openQuietly(current)) {
      entries += 1;
      if (entries > maxEntries) return null;
      const path = join(current, entry.name);
      if (entry.isDirectory()) waiting.push(path);
      const info = await lstat(path).catch(() => null);
      if (info === null) continue;
      const identity = `${info.dev}:${info.ino}`;
      if (info.nlink > 1 && !entry.isDirectory()) {
        if (linked.has(identity)) continue;
        linked.add(identity);
      }
      bytes += info.blocks * 512;
    }
  }
  return bytes;
}

/** Files come and go while they are counted. */
async function openQuietly(folder: string) {
  try {
    return await opendir(folder);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errorCode(error))) return [];
    throw error;
  }
}

interface Known {
  bytes: number | null;
  /** Monotonic time from which on it is looked at again. */
  dueAtMs: number;
}

export class ScratchSizes {
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();
  #walk: Promise<void> | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The sizes as last seen, and starts to look again at those that are due.
   * @param folders all that are of interest, by kernel; others are forgotten.
   */
  sizes(folders: ReadonlyMap<string, string>): ReadonlyMap<string, number | null> {
    for (const kernelId of this.#known.keys()) {
      if (!folders.has(kernelId)) this.#known.delete(kernelId);
    }
    this.#walk ??= this.#look(folders).finally(() => {
      this.#walk = null;
    });
    return new Map([...folders.keys()].map((id) => [id, this.#known.get(id)?.bytes ?? null]));
  }

  /** Waits for the walk under way. */
  async settled(): Promise<void> {
    await this.#walk;
  }

  async #look(folders: ReadonlyMap<string, string>): Promise<void> {
    for (const [kernelId, folder] of folders) {
      if ((this.#known.get(kernelId)?.dueAtMs ?? 0) > this.#clock.monotonicMs()) continue;
      // What fails to be read is not known; the kernel itself is fine.
      const bytes = await folderBytes(folder).catch(() => null);
      const pauseMs = bytes === null ? TOO_LARGE_PAUSE_MS : LOOK_AGAIN_MS;
      this.#known.set(kernelId, { bytes, dueAtMs: this.#clock.monotonicMs() + pauseMs });
    }
  }
}
