/**
 * Small files travel many at a time, as tars that the storage proxy unpacks or makes: a request for each
 * would take far longer than its bytes.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { type Header, pack } from 'tar-stream';
import type { TransferOptions } from '../../client/transfer.ts';
import { errorCode, errorMessage, UserError } from '../../common/errors.ts';
import { pooled } from '../../common/pooled.ts';
import { omittedSize, readTar } from '../../common/tar.ts';
import type { LocalEntry } from './local.ts';
import type { TransferPlace } from './transfer.ts';

/** Larger files take so long that a request of their own does not matter. Bytes. */
const SMALL_BYTES = 256 * 1024;
/** With fewer small files it is not worth it. */
const MIN_FILES = 8;
const MAX_BATCH_BYTES = 8 * 1024 ** 2;
const MAX_BATCH_FILES = 1000;
const PARALLEL = 3;

export interface UploadPlace {
  readonly folderId: string;
  /** Directory of the folder that paths begin at; empty for its root. */
  readonly target: string;
  readonly settings: Omit<TransferOptions, 'report'>;
}

type Report = (done: number, total: number) => void;
type ReportOf = (part: string) => Report;

function* batchesOf<T extends { readonly size: number }>(files: readonly T[]): Generator<T[]> {
  let batch: T[] = [];
  let bytes = 0;
  for (const file of files) {
    if (batch.length === MAX_BATCH_FILES || bytes + file.size > MAX_BATCH_BYTES) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(file);
    bytes += file.size;
  }
  if (batch.length > 0) yield batch;
}

/** What became of the files of a batch. */
interface Packed {
  readonly tar: Blob;
  /** Those that are large by now. */
  readonly large: LocalEntry[];
  /** Those that are gone. */
  readonly gone: LocalEntry[];
}

/** Room for one byte more than a small file has. */
const room = Buffer.allocUnsafe(SMALL_BYTES + 1);

/** What a file holds when it is read; null when it is large. */
function contentOf({ source, size }: LocalEntry): Buffer | null {
  const file = openSync(source, 'r');
  try {
    let at = 0;
    // One that is as long as it was needs no second look for its end.
    for (let bytes = -1; bytes !== 0 && !(bytes === at && at === size); at += bytes) {
      bytes = readSync(file, room, at, room.length - at, at);
    }
    return at > SMALL_BYTES ? null : Buffer.from(room.subarray(0, at));
  } finally {
    closeSync(file);
  }
}

/** The files as they are now, which may be something else than when they were looked for. */
async function packed(batch: readonly LocalEntry[]): Promise<Packed> {
  const tar = pack();
  const large: LocalEntry[] = [];
  const gone: LocalEntry[] = [];
  for (const entry of batch) {
    try {
      const content = contentOf(entry);
      if (content === null) large.push({ ...entry, size: statSync(entry.source).size });
      else tar.entry({ name: entry.path }, content);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      gone.push(entry);
    }
  }
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return { tar: new Blob([Buffer.concat(chunks)]), large, gone };
}

export interface Remaining {
  /** The files that are to be uploaded one by one: large ones, and all when the server cannot unpack. */
  readonly singly: readonly LocalEntry[];
  readonly gone: readonly LocalEntry[];
}

/**
 * @param prepare called once before anything is sent: whether the server makes the directories of the
 * files that it unpacks.
 * @throws ApiError, ConnectionError, or what reading a file throws.
 */
export async function uploadTogether(
  { client, log, tell }: TransferPlace,
  { folderId, target, settings }: UploadPlace,
  files: readonly LocalEntry[],
  { prepare, reportOf }: { prepare: (unpacks: boolean) => Promise<void>; reportOf: ReportOf },
): Promise<Remaining> {
  const { small = [], large = [] } = Object.groupBy(files, ({ size }) =>
    size <= SMALL_BYTES ? 'small' : 'large',
  );
  if (small.length < MIN_FILES) {
    await prepare(false);
    return { singly: files, gone: [] };
  }
  const singly = [...large];
  const gone: LocalEntry[] = [];
  let isPrepared = false;
  const send = async (batch: readonly LocalEntry[]): Promise<boolean> => {
    const content = await packed(batch);
    const ticket = await client.folder.unpackTicket(folderId, target, content.tar.size);
    const unpacks = ticket.unpacks === true;
    if (!isPrepared) await prepare(unpacks);
    isPrepared = true;
    if (!unpacks) return false;
    for (const { source } of content.large) tell(`${source} has grown; it is uploaded by itself.`);
    singly.push(...content.large);
    gone.push(...content.gone);
    const name = `${batch[0]?.path} and ${batch.length - 1} more`;
    log(`Uploading ${name} via ${ticket.url} ...`);
    const bytes = batch.reduce((sum, { size }) => sum + size, 0);
    const progress = reportOf(name);
    const report: Report = (done, total) => progress(Math.round((done / total) * bytes), bytes);
    await client.folder.transfer.upload(ticket, content.tar, { ...settings, report }, true);
    return true;
  };
  const [first = [], ...others] = batchesOf(small);
  if (!(await send(first))) return { singly: files, gone: [] };
  await pooled(others, PARALLEL, async (batch) => {
    if (!(await send(batch))) throw new Error('the server unpacked one archive, and not another');
  });
  return { singly, gone };
}

export interface DownloadTarget {
  /** Path in the folder. */
  readonly path: string;
  /** Absolute path on this machine. */
  readonly local: string;
  /** Bytes, where a listing told. */
  readonly size?: number;
}

export interface DownloadPlace {
  readonly folderId: string;
  readonly settings: Omit<TransferOptions, 'report'>;
  /** Files that are there already are replaced. */
  readonly replaces: boolean;
}

/** The file is there when all of it is. */
function put(local: string, content: Uint8Array, replaces: boolean): void {
  const partial = `${local}.backend.ai-part-${process.pid}`;
  try {
    const file = openSync(partial, 'w');
    try {
      for (let at = 0; at < content.length; ) at += writeSync(file, content, at);
    } finally {
      closeSync(file);
    }
    if (!replaces && existsSync(local)) {
      throw new UserError(`${local} has appeared meanwhile; it was left alone.`);
    }
    renameSync(partial, local);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
}

/** Writes files of tars, and makes the directories that they are in. */
class Receiver {
  readonly #replaces: boolean;
  readonly #made = new Set<string>();

  constructor(replaces: boolean) {
    this.#replaces = replaces;
  }

  directory(path: string): void {
    if (this.#made.has(path)) return;
    mkdirSync(path, { recursive: true });
    this.#made.add(path);
  }

  file(local: string, content: Uint8Array): void {
    this.directory(dirname(local));
    put(local, content, this.#replaces);
  }
}

/**
 * @returns the files that are to be downloaded one by one: large ones, those that did not come, and all
 * when the server makes no tars.
 * @throws UserError, or what writing a file throws.
 */
export async function downloadTogether<T extends DownloadTarget>(
  { client, log }: TransferPlace,
  { folderId, settings, replaces }: DownloadPlace,
  files: readonly T[],
  reportOf: ReportOf,
): Promise<T[]> {
  const small = files.flatMap((file) =>
    file.size !== undefined && file.size <= SMALL_BYTES ? [{ file, size: file.size }] : [],
  );
  if (small.length < MIN_FILES) return [...files];
  const arrived = new Set<string>();
  const receiver = new Receiver(replaces);
  const receive = async (batch: readonly (typeof small)[number][]): Promise<void> => {
    const wanted = new Map(batch.map(({ file }) => [file.path, file.local]));
    const name = `${batch[0]?.file.path} and ${batch.length - 1} more`;
    const ticket = await client.folder.archiveTicket(folderId, [...wanted.keys()]);
    const body = await client.folder.transfer.tar(ticket, settings, SMALL_BYTES);
    if (body === null) return;
    log(`Downloading ${name} ...`);
    const report = reportOf(name);
    const total = batch.reduce((sum, { size }) => sum + size, 0);
    let done = 0;
    await readTar(body, {
      // A name that nobody asked for is nobody's file; one that has grown is downloaded by itself.
      wants: (header) => isSmallFile(header) && wanted.has(header.name),
      file({ name: path }, content) {
        const local = wanted.get(path);
        if (local === undefined) return undefined;
        receiver.file(local, content);
        arrived.add(local);
        done += content.length;
        report(done, total);
        return undefined;
      },
    });
  };
  await pooled([...batchesOf(small)], PARALLEL, async (batch) => {
    try {
      await receive(batch);
    } catch (error) {
      if (error instanceof UserError) throw error;
      // One by one they are tried again, and the reason told if it stays.
      log(`${batch.length} files are downloaded one by one: ${errorMessage(error)}`);
    }
  });
  return files.filter(({ local }) => !arrived.has(local));
}

const isSmallFile = (header: Header): boolean =>
  header.type === 'file' && header.size <= SMALL_BYTES && omittedSize(header) === null;

export interface TreeDownload {
  /** Paths of the files that are there now. */
  readonly arrived: ReadonlySet<string>;
  /** Files that are to be downloaded one by one. */
  readonly large: readonly { readonly path: string; readonly size: number }[];
  /** False when files may be missing, for whatever reason: a listing tells which. */
  readonly isWhole: boolean;
}

/** Whether a path of a folder is a directory's, `.` being the folder, or of something in it. */
export const isBelow = (directory: string, path: string): boolean =>
  directory === '.' || path === directory || path.startsWith(`${directory}/`);

/**
 * Downloads a directory as it comes, without a listing of it, to where nothing is yet.
 * @param path of the directory; `localOf` where a path of the folder goes.
 * @throws UserError, or what writing a file throws.
 */
export async function downloadTree(
  { client, log }: TransferPlace,
  { folderId, settings, replaces }: DownloadPlace,
  path: string,
  { localOf, received }: { localOf: (path: string) => string; received: (bytes: number) => void },
): Promise<TreeDownload> {
  const arrived = new Set<string>();
  const large: { path: string; size: number }[] = [];
  const receiver = new Receiver(replaces);
  try {
    const ticket = await client.folder.archiveTicket(folderId, [path]);
    const body = await client.folder.transfer.tar(ticket, settings, SMALL_BYTES);
    if (body === null) return { arrived, large, isWhole: false };
    log(`Downloading ${path} ...`);
    let bytes = 0;
    const isWhole = await readTar(body, {
      wants(header) {
        const { name, type, size } = header;
        // A link on the way was followed: what comes would go where it does not belong.
        if (!isBelow(path, name)) throw new Error(`${path} is another directory's name`);
        if (type === 'directory') receiver.directory(localOf(name));
        if (isSmallFile(header)) return true;
        if (type === 'file') large.push({ path: name, size: omittedSize(header) ?? size });
        return false;
      },
      file({ name }, content) {
        receiver.file(localOf(name), content);
        arrived.add(name);
        bytes += content.length;
        received(bytes);
        return undefined;
      },
    });
    return { arrived, large, isWhole };
  } catch (error) {
    if (error instanceof UserError) throw error;
    log(`${path} is downloaded file by file: ${errorMessage(error)}`);
    return { arrived, large, isWhole: false };
  }
}
