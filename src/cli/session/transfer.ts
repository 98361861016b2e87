/** Moves files between this machine and a session, within the limits of one request. */
import { createWriteStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Extract, extract } from 'tar-stream';
import {
  type Client,
  DOWNLOAD_MAX_FILES,
  UPLOAD_MAX_FILE_BYTES,
  UPLOAD_MAX_FILES,
} from '../../client/index.ts';
import { UserError } from '../../common/errors.ts';
import { formatSize } from '../../common/sizes.ts';

export interface LocalFile {
  /** Where it goes, relative to the session's home. */
  readonly path: string;
  readonly source: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * Checks files before anything is sent.
 * @param basedir folder whose inside becomes the session's home.
 * @throws UserError for a file that is missing, too large or outside `basedir`.
 */
export async function localFiles(
  files: readonly string[],
  basedir: string,
  cwd: string,
): Promise<LocalFile[]> {
  const base = resolve(cwd, basedir);
  const found: LocalFile[] = [];
  for (const file of files) {
    const source = resolve(cwd, file);
    const path = relative(base, source);
    if (path.startsWith('..') || isAbsolute(path)) {
      throw new UserError(`${file} is not inside the base directory ${base}.`, {
        hint: 'Name another one with --basedir.',
      });
    }
    const info = await stat(source).catch(() => null);
    if (info === null) throw new UserError(`${file}: no such file.`);
    if (!info.isFile()) throw new UserError(`${file} is not a regular file.`);
    if (info.size >= UPLOAD_MAX_FILE_BYTES) {
      throw new UserError(
        `${file} is too large: ${formatSize(info.size)}, and an uploaded file must be smaller ` +
          `than ${formatSize(UPLOAD_MAX_FILE_BYTES)}.`,
      );
    }
    found.push({ path: path.split(sep).join('/'), source, size: info.size });
  }
  return found;
}

function* batches<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}

/** @param report called with the number of files sent so far. */
export async function uploadFiles(
  client: Client,
  session: string,
  files: readonly LocalFile[],
  report: (sent: number) => void,
): Promise<void> {
  let sent = 0;
  for (const batch of batches(files, UPLOAD_MAX_FILES)) {
    report(sent);
    await client.session.upload(
      session,
      batch.map(({ path, source }) => ({ path, content: Bun.file(source) })),
    );
    sent += batch.length;
  }
}

async function writeEntries(unpacker: Extract, folder: string): Promise<string[]> {
  const written: string[] = [];
  for await (const entry of unpacker) {
    const { name, type } = entry.header;
    const target = join(folder, name);
    if (/^\.\.(?:[/\\]|$)/.test(relative(folder, target))) {
      throw new UserError(`The archive names a file outside the destination: ${name}`);
    }
    if (type === 'directory') await mkdir(target, { recursive: true });
    if (type === 'file') {
      await mkdir(dirname(target), { recursive: true });
      await pipeline(entry, createWriteStream(target));
      written.push(target);
    } else {
      entry.resume();
    }
  }
  return written;
}

/** Unpacks regular files and folders of an archive below `folder`; nothing lands outside it. */
async function extractArchive(archive: Uint8Array, folder: string): Promise<string[]> {
  const unpacker = extract();
  const [fed, written] = await Promise.allSettled([
    pipeline(Readable.from([archive]), unpacker),
    writeEntries(unpacker, folder),
  ]);
  if (written.status === 'rejected') throw written.reason;
  if (fed.status === 'rejected') throw fed.reason;
  return written.value;
}

/**
 * Fetches files into `folder`, which is made when missing.
 * @param report called with the number of files fetched so far.
 * @returns the paths written.
 */
export async function downloadFiles(
  client: Client,
  session: string,
  files: readonly string[],
  folder: string,
  report: (received: number) => void,
): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const written: string[] = [];
  let received = 0;
  for (const batch of batches(files, DOWNLOAD_MAX_FILES)) {
    report(received);
    for (const archive of await client.session.download(session, batch)) {
      written.push(...(await extractArchive(archive, folder)));
    }
    received += batch.length;
  }
  return written;
}
