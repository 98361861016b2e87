/** Downloads: single files, in whole or in part, straight from the disk; folders as archives. */
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import * as v from 'valibot';
import type { ArchiveFormat, ArchiveRequest } from '../archives/make.ts';
import { readList } from '../archives/notes.ts';
import type { StorageContext } from '../context.ts';
import { kindOf } from '../files/entries.ts';
import { findPlace, OpenFolder, openRegularFile } from '../files/place.ts';
import { folderId } from '../ids.ts';
import { StorageError, systemFailure } from '../problems.ts';
import { type FileVersion, wantedPart } from './ranges.ts';
import type { Answer, ClientRoutes } from './server.ts';

type DownloadContext = Pick<StorageContext, 'tokens' | 'volumes' | 'archives' | 'log'>;

const TYPES = {
  zip: 'application/zip',
  tar: 'application/x-tar',
  list: 'application/x-ndjson',
} as const;

/** Names the file for old and new clients (RFC 6266); quotes and line ends cannot break out. */
export function attachment(name: string): string {
  const ascii = name.replace(/[^\u0020-\u007e]/g, '').replace(/["\\]/g, '\\$&');
  const encoded = encodeURIComponent(name.toWellFormed()).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment;filename="${ascii}"; filename*=UTF-8''${encoded}`;
}

async function versionOf(file: FileHandle): Promise<FileVersion> {
  const { ino, size, mtimeNs, mtimeMs } = await file.stat({ bigint: true });
  return {
    sizeBytes: Number(size),
    etag: `"${ino.toString(36)}-${size.toString(36)}-${mtimeNs.toString(36)}"`,
    modifiedMs: Number(mtimeMs),
  };
}

/** @param path of the opened file, which Bun opens once more, to send it without copying. */
function fileResponse(
  request: Request,
  { path, version }: { readonly path: string; readonly version: FileVersion },
  headers: Headers,
): Response {
  const wanted = wantedPart(request.headers, version);
  headers.set('ETag', version.etag);
  headers.set('Last-Modified', new Date(version.modifiedMs).toUTCString());
  headers.set('Accept-Ranges', 'bytes');
  if (wanted.kind === 'not-modified') return new Response(null, { status: 304, headers });
  if (wanted.kind === 'failed') return new Response(null, { status: 412, headers });
  if (wanted.kind === 'unsatisfiable') {
    headers.set('Content-Range', `bytes */${version.sizeBytes}`);
    return new Response(null, { status: 416, headers });
  }
  const { first, last } =
    wanted.kind === 'part' ? wanted.range : { first: 0, last: version.sizeBytes - 1 };
  const isPart = wanted.kind === 'part';
  // In a whole answer this says nothing to clients; it keeps Bun from applying the range by itself.
  if (isPart || request.headers.has('range')) {
    headers.set('Content-Range', `bytes ${first}-${last}/${version.sizeBytes}`);
  }
  const status = isPart ? 206 : 200;
  if (request.method === 'HEAD') {
    headers.set('Content-Length', String(last - first + 1));
    return new Response(null, { status, headers });
  }
  return new Response(Bun.file(path).slice(first, last + 1), { status, headers });
}

const asNotFound = (path: string): StorageError =>
  new StorageError('FileNotFound', `There is no ${JSON.stringify(path)}.`);

/** A place that leads out of the folder is not told from one that is not there. */
async function findFile(root: string, path: string) {
  try {
    return await findPlace(root, path);
  } catch (error) {
    if (error instanceof StorageError && error.problem === 'InvalidSubpath') {
      throw asNotFound(path);
    }
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    await using folder = await OpenFolder.open(path);
    return kindOf(await folder.stat()) === 'folder';
  } catch {
    return false;
  }
}

function formatOf(url: URL): ArchiveFormat {
  const format = url.searchParams.get('format') ?? 'zip';
  if (format === 'zip' || format === 'tar' || format === 'list') return format;
  throw new StorageError('InvalidParameters', 'format is "zip", "tar" or "list".');
}

/** Files of more bytes are named in a tar, and not in it. */
function largestOf(url: URL): { largest?: number } {
  const text = url.searchParams.get('largest');
  if (text === null) return {};
  if (/^\d{1,15}$/.test(text) && formatOf(url) === 'tar') return { largest: Number(text) };
  throw new StorageError('InvalidParameters', 'largest is a number of bytes, with format=tar.');
}

/**
 * @param headers of the answer, which are completed.
 * @throws StorageError before anything is sent, when one of the names cannot be archived.
 */
async function archiveResponse(
  { archives, log }: DownloadContext,
  request: Request,
  { volume, headers, archive }: { volume: string; headers: Headers; archive: ArchiveRequest },
): Promise<Response> {
  headers.set('Content-Type', TYPES[archive.format]);
  if (request.method === 'HEAD') {
    await archives.check(volume, archive);
    return new Response(null, { headers });
  }
  const broke = (error: Error) => log.warn('an archive broke off', { error: systemFailure(error) });
  return new Response(await archives.make(volume, archive, broke), { headers });
}

async function download(context: DownloadContext, request: Request, url: URL): Promise<Answer> {
  const { tokens, volumes } = context;
  const query = url.searchParams;
  const claims = await tokens.download(query.get('token'));
  const root = await volumes.require(claims.volume).requireFolder(v.parse(folderId, claims.vfid));
  const folder = query.get('dst_dir') ?? '';
  const path = folder === '' ? claims.relpath : `${folder}/${claims.relpath}`;
  await using place = await findFile(root, path);
  const name = basename(place.trail.at(-1) ?? 'folder');
  const headers = new Headers();
  if (query.has('no_cache')) headers.set('Cache-Control', 'no-store');
  if (await isFolder(place.path)) {
    if (query.get('archive') !== 'true' && !claims.archive) {
      throw new StorageError(
        'InvalidParameters',
        `${JSON.stringify(path)} is a folder. Add archive=true to get it as an archive.`,
      );
    }
    const format = formatOf(url);
    headers.set('Content-Disposition', attachment(`${name}.${format}`));
    const archive = { root, top: place.trail, names: ['.'], format, ...largestOf(url) };
    return await archiveResponse(context, request, { volume: claims.volume, headers, archive });
  }
  const file = await openRegularFile(place.path, path);
  headers.set('Content-Type', 'application/octet-stream');
  headers.set('Content-Disposition', attachment(name));
  try {
    const opened = process.platform === 'linux' ? `/proc/self/fd/${file.fd}` : place.path;
    const source = { path: opened, version: await versionOf(file) };
    return { response: fileResponse(request, source, headers), release: () => void file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function downloadArchive(
  context: DownloadContext,
  request: Request,
  url: URL,
): Promise<Response> {
  const { tokens, volumes } = context;
  const claims = await tokens.archive(url.searchParams.get('token'));
  const id = v.parse(folderId, claims.virtual_folder_id);
  const volume = volumes.require(claims.volume);
  const root = await volume.requireFolder(id);
  const names = claims.list === undefined ? claims.files : await readList(volume, claims.list);
  const format = formatOf(url);
  const headers = new Headers();
  headers.set('Content-Disposition', attachment(claims.filename ?? `archive.${format}`));
  const archive = { root, top: [], names, format, ...largestOf(url) };
  return await archiveResponse(context, request, { volume: claims.volume, headers, archive });
}

export function downloadRoutes(context: StorageContext): ClientRoutes {
  const file = (request: Request, url: URL) => download(context, request, url);
  const archive = (request: Request, url: URL) => downloadArchive(context, request, url);
  return {
    '/download': { GET: file, HEAD: file },
    '/download-archive': { GET: archive, HEAD: archive },
  };
}
