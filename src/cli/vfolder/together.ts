/**
 * Small files travel many at a time, as tars that the storage proxy unpacks or makes: a request for each
 * would take far longer than its bytes.
 */
import { mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { extract, pack } from 'tar-stream';
import type { TransferOptions } from '../../client/transfer.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { pooled } from '../../common/pooled.ts';
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

/** The files as they are now, which may be longer than when they were looked for. */
async function tarOf(batch: readonly LocalEntry[]): Promise<Blob> {
  const tar = pack();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const collected = (async () => {
    for await (const chunk of tar) {
      if (chunk instanceof Uint8Array) chunks.push(Uint8Array.from(chunk));
    }
  })();
  for (const { path, source } of batch) {
    tar.entry({ name: path }, Buffer.from(await Bun.file(source).bytes()));
  }
  tar.finalize();
  await collected;
  return new Blob(chunks);
}

/**
 * @returns the files that are to be uploaded one by one: large ones, and all when the server cannot
 * unpack.
 * @throws ApiError, ConnectionError, or what reading a file throws.
 */
export async function uploadTogether(
  { client, log }: TransferPlace,
  { folderId, target, settings }: UploadPlace,
  files: readonly LocalEntry[],
  reportOf: (part: string) => Report,
): Promise<LocalEntry[]> {
  const { small = [], large = [] } = Object.groupBy(files, ({ size }) =>
    size <= SMALL_BYTES ? 'small' : 'large',
  );
  if (small.length < MIN_FILES) return [...files];
  const send = async (batch: readonly LocalEntry[]): Promise<boolean> => {
    const tar = await tarOf(batch);
    const ticket = await client.folder.unpackTicket(folderId, target, tar.size);
    if (!ticket.unpacks) return false;
    const [first] = batch;
    const name = `${first?.path} and ${batch.length - 1} more`;
    log(`Uploading ${name} via ${ticket.url} ...`);
    const bytes = batch.reduce((sum, { size }) => sum + size, 0);
    const tell = reportOf(name);
    const report: Report = (done, total) => tell(Math.round((done / total) * bytes), bytes);
    await client.folder.transfer.upload(ticket, tar, { ...settings, report }, true);
    return true;
  };
  const [first = [], ...others] = batchesOf(small);
  if (!(await send(first))) return [...files];
  await pooled(others, PARALLEL, async (batch) => {
    if (!(await send(batch))) throw new Error('the server unpacked one archive, and not another');
  });
  return large;
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
async function put(local: string, content: Buffer, replaces: boolean): Promise<void> {
  const partial = `${local}.backend.ai-part-${process.pid}`;
  try {
    await writeFile(partial, content);
    if (!replaces && (await stat(local).catch(() => null)) !== null) {
      throw new UserError(`${local} has appeared meanwhile; it was left alone.`);
    }
    await rename(partial, local);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
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
  reportOf: (part: string) => Report,
): Promise<T[]> {
  const small = files.flatMap((file) =>
    file.size !== undefined && file.size <= SMALL_BYTES ? [{ file, size: file.size }] : [],
  );
  if (small.length < MIN_FILES) return [...files];
  const arrived = new Set<string>();
  const made = new Set<string>();
  const receive = async (batch: readonly (typeof small)[number][]): Promise<void> => {
    const wanted = new Map(batch.map(({ file }) => [file.path, file.local]));
    const name = `${batch[0]?.file.path} and ${batch.length - 1} more`;
    const ticket = await client.folder.archiveTicket(folderId, [...wanted.keys()]);
    const body = await client.folder.transfer.tar(ticket, settings);
    if (body === null) return;
    log(`Downloading ${name} ...`);
    const reader = extract();
    const source = Readable.from(body, { objectMode: false });
    source.on('error', (error) => reader.destroy(error));
    source.pipe(reader);
    const report = reportOf(name);
    const total = batch.reduce((sum, { size }) => sum + size, 0);
    let done = 0;
    for await (const entry of reader) {
      const { name: path, type, size = 0 } = entry.header;
      const local = wanted.get(path);
      // A name that nobody asked for is nobody's file; one that has grown is downloaded by itself.
      if (local === undefined || type !== 'file' || size > MAX_BATCH_BYTES) {
        entry.resume();
        continue;
      }
      const chunks: Uint8Array[] = [];
      for await (const chunk of entry) if (chunk instanceof Uint8Array) chunks.push(chunk);
      const directory = dirname(local);
      if (!made.has(directory)) await mkdir(directory, { recursive: true });
      made.add(directory);
      await put(local, Buffer.concat(chunks), replaces);
      arrived.add(local);
      done += size;
      report(done, total);
    }
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
