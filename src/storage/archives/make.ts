/**
 * Zip and tar archives, made while they are sent: nothing of them is kept anywhere. Runs in a worker.
 */
import { closeSync, createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { ZipFile } from 'yazl';
import { OMITTED_SIZE } from '../../common/tar.ts';
import { readNow } from '../files/blocking.ts';
import { checkNames, type Walked, type WalkTreeOptions, walkTree } from '../files/walk.ts';

/** `list` tells what would be in a tar, as lines of JSON. */
export type ArchiveFormat = 'zip' | 'tar' | 'list';

/** With `largest` names are as they are, since whoever asks for it knows where to put files. */
export interface ArchiveRequest extends Omit<WalkTreeOptions, 'followsLinks'> {
  readonly format: ArchiveFormat;
}

/** Fast rather than small: data sets and models hardly shrink. */
const ZIP_LEVEL = 1;
const ZIP_FIRST_DATE = new Date(1980, 0, 1);
const ZIP_LAST_DATE = new Date(2107, 0, 1);
const TAR_FIRST_DATE = new Date(0);
/** Smaller files are read as a whole. Bytes. */
const SMALL_BYTES = 256 * 1024;
const PIECE_BYTES = 256 * 1024;

/** An archive in the making. */
interface Writer {
  /** The bytes of the archive, made as they are read. */
  readonly output: AsyncIterable<unknown>;
  /**
   * Resolves when the entry is written, so that one file is open at a time.
   * @param source the entry's content, when it is a file; read to its end or destroyed.
   */
  add(entry: Walked, source: Readable): Promise<void>;
  /** The same with the content of a small file; absent where it makes nothing faster. */
  addWhole?(entry: Walked, content: Buffer | null): Promise<void>;
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

/** @param exact whether names are as they are. */
function tarWriter(exact: boolean): Writer {
  const tar = pack();
  const headerOf = ({ name, info }: Walked) => ({
    name: exact ? name : archiveName(name),
    mode: info.mode & 0o7777,
    mtime: info.mtime < TAR_FIRST_DATE ? TAR_FIRST_DATE : info.mtime,
    uid: info.uid,
    gid: info.gid,
  });
  const put = (header: Parameters<typeof tar.entry>[0], content: Buffer | string) =>
    new Promise<void>((resolve, reject) => {
      tar.entry(header, content, (error) => (error ? reject(error) : resolve()));
    });
  return {
    output: tar,
    destroy: (error) => tar.destroy(error),
    async addWhole(entry, content) {
      const header = headerOf(entry);
      if (content !== null) await put(header, content);
      else if (entry.kind === 'link')
        tar.entry({ ...header, type: 'symlink', linkname: entry.target });
      else if (entry.kind === 'folder') tar.entry({ ...header, type: 'directory' });
      else {
        const pax = { path: header.name, [OMITTED_SIZE]: String(entry.info.size) };
        await put({ ...header, pax }, '');
      }
    },
    async add(entry, source) {
      await pipeline(source, tar.entry({ ...headerOf(entry), size: entry.info.size }));
    },
    end: () => tar.finalize(),
  };
}

/** What is to be read of an entry: of a file, as much as it held when it was opened. */
function contentOf(entry: Walked): Readable {
  if (entry.kind !== 'file') return Readable.from([]);
  const { size } = entry.info;
  if (size > 0) return createReadStream('', { fd: entry.fd, end: size - 1 });
  closeSync(entry.fd);
  return Readable.from([]);
}

function readAndClose(fd: number, size: number): Buffer {
  try {
    return readNow(fd, size);
  } finally {
    closeSync(fd);
  }
}

/** Writes the entries no faster than the archive is read, until it is complete or given up. */
class Archive {
  readonly #writer: Writer;
  #source: Readable | null = null;
  #isGivenUp = false;

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  async fill(entries: AsyncIterable<Walked>): Promise<void> {
    try {
      for await (const entry of entries) {
        if (await this.#add(entry)) continue;
        return;
      }
      this.#writer.end();
    } catch (error) {
      if (this.#isGivenUp) return;
      this.#writer.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** @returns false when the archive was given up. */
  async #add(entry: Walked): Promise<boolean> {
    const isSmall = entry.kind !== 'file' || entry.info.size <= SMALL_BYTES;
    if (isSmall && this.#writer.addWhole) {
      const content = entry.kind === 'file' ? readAndClose(entry.fd, entry.info.size) : null;
      if (this.#isGivenUp) return false;
      await this.#writer.addWhole(entry, content);
      return true;
    }
    this.#source = contentOf(entry);
    if (this.#isGivenUp) this.#source.destroy();
    if (this.#isGivenUp) return false;
    await this.#writer.add(entry, this.#source);
    return true;
  }

  giveUp(): void {
    this.#isGivenUp = true;
    this.#source?.destroy();
    this.#writer.destroy();
  }

  /** The archive, in pieces of about the same size. */
  async *pieces(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    let parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const part of this.#writer.output) {
      if (!(part instanceof Uint8Array)) continue;
      parts.push(part);
      bytes += part.length;
      if (bytes < PIECE_BYTES) continue;
      yield joined(parts, bytes);
      [parts, bytes] = [[], 0];
    }
    if (bytes > 0) yield joined(parts, bytes);
  }
}

interface Listed {
  readonly path: string;
  readonly type: 'FILE' | 'DIRECTORY' | 'SYMLINK';
  /** Bytes. */
  readonly size: number;
  readonly mode: number;
  /** ISO 8601. */
  readonly modified: string;
}

const KINDS = { file: 'FILE', large: 'FILE', folder: 'DIRECTORY', link: 'SYMLINK' } as const;

const listed = ({ name, kind, info: { size, mode, mtime } }: Walked): Listed => ({
  ...{ path: name, type: KINDS[kind], size, mode },
  modified: mtime.toISOString(),
});

/** A line for each entry; the last one tells that it is the last. */
async function* listPieces(
  entries: AsyncIterable<Walked>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  let lines: string[] = [];
  let characters = 0;
  const piece = () => {
    const bytes = encoder.encode(lines.join(''));
    [lines, characters] = [[], 0];
    return bytes;
  };
  for await (const entry of entries) {
    const line = `${JSON.stringify(listed(entry))}\n`;
    lines.push(line);
    characters += line.length;
    if (characters >= PIECE_BYTES) yield piece();
  }
  lines.push(`${JSON.stringify({ end: true })}\n`);
  yield piece();
}

/** A copy with memory of its own, which can be given away. */
function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export interface ArchiveInTheMaking {
  readonly pieces: AsyncGenerator<Uint8Array<ArrayBuffer>>;
  /** Lets go of all that is open. */
  giveUp(): void;
}

/** @throws StorageError before anything is made, when one of the names cannot be archived. */
export async function makeArchive(request: ArchiveRequest): Promise<ArchiveInTheMaking> {
  const options = treeOf(request);
  await checkNames(options);
  if (request.format === 'list') {
    const pieces = listPieces(walkTree(options));
    return { pieces, giveUp: () => void pieces.return(undefined) };
  }
  const exact = request.largest !== undefined;
  const archive = new Archive(request.format === 'zip' ? zipWriter() : tarWriter(exact));
  void archive.fill(walkTree(options));
  return { pieces: archive.pieces(), giveUp: () => archive.giveUp() };
}

/** @throws StorageError as `makeArchive` does. */
export const checkArchive = (request: ArchiveRequest): Promise<void> => checkNames(treeOf(request));

const treeOf = (request: ArchiveRequest): WalkTreeOptions => ({
  ...request,
  followsLinks: request.format === 'zip',
  ...(request.format === 'list' && { largest: -1 }),
});
