/** Moves one file, going on with what an earlier run began when that run was killed or gave up. */
import { rename, rm, stat } from 'node:fs/promises';
import { ApiError, SourceError } from '../../client/errors.ts';
import type { FileTicket } from '../../client/folder.ts';
import type { Client } from '../../client/index.ts';
import type { TransferOptions } from '../../client/transfer.ts';
import { errorCode, UserError } from '../../common/errors.ts';
import { formatSize } from '../../common/sizes.ts';
import {
  REMEMBERED_BYTES,
  type TransferKey,
  type Unfinished,
  type UploadState,
} from './unfinished.ts';

/** Of the file's beginning, which must be the same still. Bytes. */
const HEAD_BYTES = 1024 ** 2;
/** To upload a file that changes meanwhile. */
const MAX_ATTEMPTS = 3;
/** How long an upload may be gone on with whose ticket tells no end. Milliseconds. */
const UPLOAD_MS = 24 * 3_600_000;
/** How long the beginning of a download is kept. Milliseconds. */
const DOWNLOAD_MS = 7 * 24 * 3_600_000;

export interface TransferPlace {
  readonly client: Client;
  readonly unfinished: Unfinished;
  /** Tells the user a line that matters. */
  readonly tell: (text: string) => void;
  /** Tells a line that only logs keep. */
  readonly log: (text: string) => void;
}

/**
 * The time of the last change of any kind is part of it: unlike that of the content's, nobody sets it
 * back.
 */
async function versionOf(local: string, size: number): Promise<UploadState['version']> {
  const { mtimeMs, ctimeMs } = await stat(local);
  const beginning = await Bun.file(local).slice(0, HEAD_BYTES).arrayBuffer();
  const head = new Bun.CryptoHasher('sha256').update(beginning).digest('hex');
  return { size, modifiedMs: mtimeMs, changedMs: ctimeMs, head };
}

/** The server has no such upload: its token expired or is not known, or the beginning was deleted. */
const isRefusal = (error: unknown): boolean => error instanceof ApiError && error.status < 500;

/** One upload of a file. */
class Upload {
  private readonly place: TransferPlace;
  private readonly key: TransferKey;
  private readonly content: Blob;
  private readonly options: TransferOptions;
  private fresh: FileTicket | null = null;

  constructor(place: TransferPlace, key: TransferKey, size: number, options: TransferOptions) {
    this.place = place;
    this.key = key;
    // The slice keeps to the size that was announced when the file grows meanwhile.
    this.content = Bun.file(key.local).slice(0, size);
    this.options = options;
  }

  /** For a new upload; always the same one, since each leaves something in the folder. */
  async newTicket(): Promise<FileTicket> {
    const { folderId, path } = this.key;
    const { folder } = this.place.client;
    this.fresh ??= await folder.uploadTicket(folderId, path, this.content.size);
    return this.fresh;
  }

  send(ticket: FileTicket, isNew = false): Promise<void> {
    return this.place.client.folder.transfer.upload(ticket, this.content, this.options, isNew);
  }

  /** Whether uploads go to another address now than this ticket's. */
  private async hasMoved(ticket: FileTicket): Promise<boolean> {
    return (await this.newTicket()).url !== ticket.url;
  }

  /**
   * @returns false when it is to be uploaded from its beginning. That is so also when all of it has
   * arrived: nobody knows then whether the file there is still this one.
   */
  async goOn({ ticket }: UploadState): Promise<boolean> {
    const { transfer } = this.place.client.folder;
    let arrived = 'some part';
    try {
      const offset = await transfer.uploadOffset(ticket, this.options);
      if (offset >= this.content.size) return false;
      arrived = `${formatSize(offset)} of ${formatSize(this.content.size)}`;
    } catch (error) {
      // Gone from there, or away for the moment? The manager knows.
      if (isRefusal(error) || (await this.hasMoved(ticket))) return false;
    }
    this.place.tell(`Going on with ${this.key.local}, of which ${arrived} has arrived ...`);
    try {
      await this.send(ticket);
      return true;
    } catch (error) {
      if (isRefusal(error)) return false;
      throw error;
    }
  }
}

/** The file as it is now, and whether it is another one than a while ago; null when it is gone. */
async function fileNow(local: string): Promise<{ size: number; ino: number } | null> {
  try {
    const { size, ino } = await stat(local);
    return { size, ino };
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/**
 * Uploads a file, as much of it as there is when that begins. When it becomes shorter meanwhile or
 * another one takes its place, it is uploaded once more.
 * @returns false when it is gone.
 * @throws ApiError when it is refused; UserError when it does not stay the same; what fetch throws when
 * breaks do not end.
 */
export async function uploadFile(
  place: TransferPlace,
  key: TransferKey,
  options: TransferOptions,
): Promise<boolean> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const before = await fileNow(key.local);
    if (before === null) return false;
    try {
      await uploadVersion(place, key, before.size, options);
      const after = await fileNow(key.local);
      if (after === null || after.ino === before.ino) return true;
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      if ((await fileNow(key.local))?.size === before.size) throw error.cause ?? error;
    }
    place.tell(`${key.local} has changed while it was uploaded; once more ...`);
  }
  throw new UserError(`${key.local} changes faster than it is uploaded.`, {
    hint: 'Copy it, and upload the copy.',
  });
}

/** Uploads the first `size` bytes of a file. */
async function uploadVersion(
  place: TransferPlace,
  key: TransferKey,
  size: number,
  options: TransferOptions,
): Promise<void> {
  const { unfinished, log } = place;
  const upload = new Upload(place, key, size, options);
  const isLarge = size >= REMEMBERED_BYTES;
  const version = isLarge ? await versionOf(key.local, size) : null;
  const begun = isLarge ? unfinished.upload(key) : null;
  const isSame = begun !== null && Bun.deepEquals(begun.version, version);
  if (isSame) unfinished.rememberUpload(key, begun, UPLOAD_MS);
  if (!isSame || !(await upload.goOn(begun))) {
    const ticket = await upload.newTicket();
    if (version !== null) unfinished.rememberUpload(key, { ticket, version }, UPLOAD_MS);
    log(`Uploading ${key.local} via ${ticket.url} ...`);
    await upload.send(ticket, true);
  }
  if (isLarge) unfinished.forgetUpload(key);
}

/** What `vfolder sync` leaves out: beginnings of downloads. */
export const isPartial = (path: string): boolean => /\.backend\.ai-part-\d+$/.test(path);

/** The beginning of a download that an earlier run left; null when there is none. */
async function takeBeginning(
  { unfinished }: TransferPlace,
  key: TransferKey,
  partial: string,
): Promise<{ bytes: number; version: string } | null> {
  const begun = unfinished.download(key);
  if (begun === null) return null;
  const info = await stat(begun.partial).catch(() => null);
  if (info === null || !info.isFile() || info.size === 0) return null;
  unfinished.rememberDownload(key, { partial, version: begun.version }, DOWNLOAD_MS);
  await rename(begun.partial, partial);
  return { bytes: info.size, version: begun.version };
}

/**
 * Downloads a file; it is there when all of it is.
 * @throws ApiError when it is refused; what fetch and the file system throw.
 */
export async function downloadFile(
  place: TransferPlace,
  key: TransferKey,
  options: TransferOptions & {
    /** A file that is there already is replaced. */
    readonly replaces: boolean;
  },
): Promise<void> {
  const { client, unfinished, tell, log } = place;
  const { local, folderId, path } = key;
  const partial = `${local}.backend.ai-part-${process.pid}`;
  const ticket = await client.folder.downloadTicket(folderId, path);
  const beginning = await takeBeginning(place, key, partial);
  let isRemembered = beginning !== null;
  let isTold = false;
  log(`Downloading to ${local} ...`);
  try {
    await client.folder.transfer.download(ticket, partial, options, {
      beginning,
      begun: ({ version, done, total }) => {
        if (beginning !== null && !isTold && done > 0) {
          isTold = true;
          const there = `${formatSize(done)} of ${formatSize(total)}`;
          tell(`Going on with ${local}, of which ${there} is there ...`);
        }
        if (version === null || total < REMEMBERED_BYTES) return;
        unfinished.rememberDownload(key, { partial, version }, DOWNLOAD_MS);
        isRemembered = true;
      },
    });
    if (!options.replaces && (await stat(local).catch(() => null)) !== null) {
      throw new UserError(`${local} has appeared meanwhile; it was left alone.`);
    }
    await rename(partial, local);
  } catch (error) {
    // A beginning that nobody remembers is of no use.
    if (!isRemembered) await rm(partial, { force: true });
    throw error;
  }
  if (isRemembered) unfinished.forgetDownload(key);
}
