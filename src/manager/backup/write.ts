/** Writes archives: entries in order, and for a backup the manifest that proves it whole. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { type Pack, pack } from 'tar-stream';
import { errorMessage, UserError } from '../../common/errors.ts';
import { MANIFEST, type Manifest, PART_BYTES } from './manifest.ts';

/** Made anew, never one that is there. */
const OWN_FILE = { mode: 0o600, flags: 'wx' };

/** Adds what an archive consists of. */
export interface ArchiveWriter {
  /** SHA-256 of each entry so far, by its name. */
  readonly digests: Readonly<Record<string, string>>;
  add(name: string, content: Uint8Array | string): Promise<void>;
  /**
   * Adds a stream as entries of `PART_BYTES` and less.
   * @returns how many entries and lines it is.
   */
  addParts(
    nameOf: (part: number) => string,
    content: AsyncIterable<Uint8Array>,
  ): Promise<{ parts: number; lines: number }>;
}

class TarWriter implements ArchiveWriter {
  readonly #pack: Pack;
  readonly #now: Date;
  readonly digests: Record<string, string> = {};

  constructor(target: Pack, now: Date) {
    this.#pack = target;
    this.#now = now;
  }

  async add(name: string, content: Uint8Array | string): Promise<void> {
    const bytes = Buffer.from(content);
    this.digests[name] = createHash('sha256').update(bytes).digest('hex');
    await new Promise<void>((resolve, reject) => {
      const header = { name, mode: 0o600, mtime: this.#now, size: bytes.byteLength };
      this.#pack.entry(header, bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  async addParts(nameOf: (part: number) => string, content: AsyncIterable<Uint8Array>) {
    const held: Uint8Array[] = [];
    let size = 0;
    let parts = 0;
    let lines = 0;
    const flush = async () => {
      await this.add(nameOf(parts), Buffer.concat(held));
      parts += 1;
      held.length = 0;
      size = 0;
    };
    for await (const chunk of content) {
      // A newline within a value is escaped by COPY and by JSON, so each ends a row.
      for (const byte of chunk) if (byte === 0x0a) lines += 1;
      held.push(chunk);
      size += chunk.byteLength;
      if (size >= PART_BYTES) await flush();
    }
    if (size > 0) await flush();
    return { parts, lines };
  }
}

/**
 * Writes a gzipped tar archive to `file`, which appears when it is whole; only its owner may read it.
 * @throws UserError when the file cannot be written, and what `fill` throws; nothing is left then.
 */
export async function writeArchive<T>(
  file: string,
  now: Date,
  fill: (writer: ArchiveWriter) => Promise<T>,
): Promise<T> {
  const partial = `${file}.partial`;
  try {
    // Of a run that was killed. One of somebody else's would be theirs to read, or lead elsewhere.
    await rm(partial, { force: true });
    const archive = pack();
    const written = pipeline(archive, createGzip(), createWriteStream(partial, OWN_FILE));
    const filled = async () => {
      const result = await fill(new TarWriter(archive, now));
      archive.finalize();
      return result;
    };
    const filling = filled().catch((error: unknown) => {
      archive.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    });
    // The file's failure is told rather than that of the entry which could not be added to it.
    const [onDisk, content] = await Promise.allSettled([written, filling]);
    if (onDisk.status === 'rejected') throw onDisk.reason;
    if (content.status === 'rejected') throw content.reason;
    await flushed(partial);
    await rename(partial, file);
    return content.value;
  } catch (error) {
    await rm(partial, { force: true });
    throw isSystemError(error)
      ? new UserError(`Cannot write ${file}: ${errorMessage(error)}.`, {
          hint: 'Name a file in an existing folder with enough space.',
          cause: error,
        })
      : error;
  }
}

/**
 * Writes a backup, whose last entry tells everything before it.
 * @throws as `writeArchive` does.
 */
export const writeBackup = (
  file: string,
  now: Date,
  fill: (writer: ArchiveWriter) => Promise<Omit<Manifest, 'entries'>>,
): Promise<Manifest> =>
  writeArchive(file, now, async (writer) => {
    const manifest = { ...(await fill(writer)), entries: { ...writer.digests } };
    await writer.add(MANIFEST, `${JSON.stringify(manifest, null, 2)}\n`);
    return manifest;
  });

const isSystemError = (error: unknown): boolean =>
  error instanceof Error && 'syscall' in error && 'errno' in error && !('address' in error);

async function flushed(path: string): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
