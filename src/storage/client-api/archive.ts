/** Zip and tar archives, made while they are sent: nothing of them is kept anywhere. */
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { ZipFile } from 'yazl';
import type { Logger } from '../../common/logger.ts';
import { checkNames, type Walked, type WalkTreeOptions, walkTree } from '../files/walk.ts';
import { StorageError, systemFailure } from '../problems.ts';

export type ArchiveFormat = 'zip' | 'tar';

export interface ArchiveRequest extends Omit<WalkTreeOptions, 'followsLinks'> {
  readonly format: ArchiveFormat;
}

const TYPES = { zip: 'application/zip', tar: 'application/x-tar' } as const;

/** Fast rather than small: data sets and models hardly shrink. */
const ZIP_LEVEL = 1;
const ZIP_FIRST_DATE = new Date(1980, 0, 1);
const ZIP_LAST_DATE = new Date(2107, 0, 1);
const TAR_FIRST_DATE = new Date(0);
/** Archives that are made at the same time. */
const MAX_AT_ONCE = 64;

/** An archive in the making. */
interface Writer {
  /** The bytes of the archive, made as they are read. */
  readonly output: AsyncIterable<unknown>;
  /**
   * Resolves when the entry is written, so that one file is open at a time.
   * @param source the entry's content, when it is a file; read to its end or destroyed.
   */
  add(entry: Walked, source: Readable): Promise<void>;
  end(): void;
  /** Ends `output`, with the error if there is one. */
  destroy(error?: Error): void;
}

/**
 * Names that no program takes for a path out of its target folder: Windows ones read backslashes as
 * slashes and `C:` as a drive.
 */
export function archiveName(name: string): string {
  const parts = name
    .replaceAll('\\', '_')
    .split('/')
    .map((part) => part.replace(/^([a-zA-Z]):/, '$1_'));
  return parts.join('/');
}

const clamp = (date: Date, min: Date, max: Date): Date =>
  date < min ? min : date > max ? max : date;

function closed(stream: Readable): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once('close', resolve);
    stream.once('error', reject);
  });
}

function zipWriter(): Writer {
  const zip = new ZipFile();
  const output = zip.outputStream;
  const destroy = (error?: Error) => {
    if (output instanceof Readable) output.destroy(error);
  };
  zip.on('error', destroy);
  return {
    output,
    destroy,
    async add(entry, source) {
      const name = archiveName(entry.name);
      const mtime = clamp(entry.info.mtime, ZIP_FIRST_DATE, ZIP_LAST_DATE);
      const { mode } = entry.info;
      if (entry.kind === 'folder') zip.addEmptyDirectory(name, { mtime, mode });
      if (entry.kind !== 'file') return;
      const done = closed(source);
      zip.addReadStream(source, name, { mtime, mode, compressionLevel: ZIP_LEVEL });
      await done;
    },
    end: () => zip.end(),
  };
}

function tarWriter(): Writer {
  const tar = pack();
  return {
    output: tar,
    destroy: (error) => tar.destroy(error),
    async add(entry, source) {
      const { info } = entry;
      const header = {
        name: archiveName(entry.name),
        mode: info.mode & 0o7777,
        mtime: info.mtime < TAR_FIRST_DATE ? TAR_FIRST_DATE : info.mtime,
        uid: info.uid,
        gid: info.gid,
      };
      if (entry.kind === 'link') {
        tar.entry({ ...header, type: 'symlink', linkname: entry.target });
      } else if (entry.kind === 'folder') {
        tar.entry({ ...header, type: 'directory' });
      } else {
        await pipeline(source, tar.entry({ ...header, size: info.size }));
      }
    },
    end: () => tar.finalize(),
  };
}

/** What is to be read of an entry: of a file, as much as it held when it was opened. */
async function contentOf(entry: Walked): Promise<Readable> {
  if (entry.kind !== 'file') return Readable.from([]);
  const { size } = entry.info;
  if (size > 0) return createReadStream('', { fd: entry.file, end: size - 1 });
  await entry.file.close();
  return Readable.from([]);
}

/** Writes the entries no faster than the archive is read, until it is complete or given up. */
class ArchiveStream {
  readonly #writer: Writer;
  readonly #log: Logger;
  #source: Readable | null = null;
  #isGivenUp = false;

  constructor(writer: Writer, log: Logger) {
    this.#writer = writer;
    this.#log = log;
  }

  async fill(entries: AsyncIterable<Walked>): Promise<void> {
    try {
      for await (const entry of entries) {
        this.#source = await contentOf(entry);
        if (this.#isGivenUp) this.#source.destroy();
        if (this.#isGivenUp) return;
        await this.#writer.add(entry, this.#source);
      }
      this.#writer.end();
    } catch (error) {
      if (this.#isGivenUp) return;
      this.#log.warn('an archive broke off', { error: systemFailure(error) });
      this.#writer.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  giveUp(): void {
    this.#isGivenUp = true;
    this.#source?.destroy();
    this.#writer.destroy();
  }

  body(): ReadableStream<Uint8Array> {
    const chunks = this.#writer.output[Symbol.asyncIterator]();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else if (value instanceof Uint8Array) controller.enqueue(value);
      },
      cancel: () => this.giveUp(),
    });
  }
}

/** Makes archives, a bounded number at a time: each keeps files open and a processor busy. */
export class Archives {
  readonly #log: Logger;
  #running = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * @param headers of the answer, which are completed.
   * @throws StorageError before anything is sent, when one of the names cannot be archived.
   */
  async respond(request: Request, headers: Headers, archive: ArchiveRequest): Promise<Response> {
    const options = { ...archive, followsLinks: archive.format === 'zip' };
    await checkNames(options);
    headers.set('Content-Type', TYPES[archive.format]);
    if (request.method === 'HEAD') return new Response(null, { headers });
    if (this.#running >= MAX_AT_ONCE) {
      throw new StorageError(
        'Busy',
        `${MAX_AT_ONCE} archives are being made at present. Try again in a moment.`,
      );
    }
    this.#running += 1;
    const writer = archive.format === 'zip' ? zipWriter() : tarWriter();
    const stream = new ArchiveStream(writer, this.#log);
    void stream.fill(walkTree(options)).finally(() => {
      this.#running -= 1;
    });
    return new Response(stream.body(), { headers });
  }
}
