/**
 * Tasks on disk, beside the data they are about: one that was begun is ended by the next proxy of the
 * same name, whatever became of the one that began it.
 */
import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { errorCode } from '../../common/errors.ts';

const work = v.variant('name', [
  v.object({ name: v.literal('delete_vfolder'), folder: v.string() }),
  v.object({
    name: v.literal('delete_files'),
    folder: v.string(),
    paths: v.array(v.string()),
    recursive: v.boolean(),
  }),
  v.object({ name: v.literal('clone_vfolder'), folder: v.string(), target: v.string() }),
]);
/** What is to be done. Folders as managers write them. */
export type Work = v.InferOutput<typeof work>;

const entry = v.object({
  id: v.pipe(v.string(), v.uuid()),
  /** The proxy that does it. */
  nodeId: v.string(),
  startedAt: v.string(),
  work,
  /** Null until it ended. */
  end: v.nullable(
    v.object({ status: v.picklist(['done', 'failed']), message: v.string(), at: v.string() }),
  ),
});
export type JournalEntry = v.InferOutput<typeof entry>;

export class Journal {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** On disk when this resolves. */
  async write(value: JournalEntry): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const path = join(this.#folder, `${value.id}.json`);
    const fresh = `${path}.new`;
    try {
      const file = await open(fresh, 'w', 0o600);
      try {
        await file.writeFile(JSON.stringify(value));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(fresh, path);
    } catch (error) {
      // A full disk takes a name, but no content.
      await unlink(fresh).catch(() => {});
      throw error;
    }
  }

  async forget(id: string): Promise<void> {
    try {
      await unlink(join(this.#folder, `${id}.json`));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }

  /** Those of all proxies, oldest first. A file that is none of ours is passed over. */
  async read(): Promise<JournalEntry[]> {
    const names = await readdir(this.#folder).catch((error: unknown): string[] => {
      if (errorCode(error) === 'ENOENT') return [];
      throw error;
    });
    const entries: JournalEntry[] = [];
    for (const name of names) {
      if (!name.endsWith('.json')) continue;
      const found = parseEntry(await readFile(join(this.#folder, name), 'utf8'));
      if (found) entries.push(found);
    }
    return entries.sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
  }
}

function parseEntry(text: string): JournalEntry | null {
  try {
    const parsed = v.safeParse(entry, JSON.parse(text));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}
