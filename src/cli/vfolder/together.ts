/**
 * Small files are uploaded many at a time, as tars that the storage proxy unpacks: a request for each
 * would take far longer than its bytes.
 */
import { pack } from 'tar-stream';
import type { TransferOptions } from '../../client/transfer.ts';
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

function* batchesOf(files: readonly LocalEntry[]): Generator<LocalEntry[]> {
  let batch: LocalEntry[] = [];
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
