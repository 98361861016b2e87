/**
 * Uploads as the tus protocol (1.0.0) has them, without creation: that is the manager's.
 *
 * How much has arrived is the length of the staging file, and nothing else. So an upload goes on after
 * any break, the proxy's own death included, from the last byte that was written; and several proxies
 * may serve the same volume.
 */
import type { FileHandle } from 'node:fs/promises';
import * as v from 'valibot';
import type { StorageContext } from '../context.ts';
import { folderId } from '../ids.ts';
import { StorageError } from '../problems.ts';
import { finishUpload, isFinished, openStaging, type UploadTarget } from '../staging.ts';
import type { ClientRoutes } from './server.ts';

const TUS_VERSION = '1.0.0';
/** Small pieces of a body are put together before they are written. Bytes. */
const WRITE_BYTES = 1024 * 1024;

interface Upload {
  readonly target: UploadTarget;
  readonly session: string;
  /** Milliseconds of the epoch. */
  readonly begunMs: number;
}

/** A request that is being worked on. */
interface Running {
  readonly interruption: AbortController;
  readonly ended: Promise<void>;
}

/** Writes the body at the end of `file`. */
async function append(
  file: FileHandle,
  body: ReadableStream<Uint8Array>,
  limits: { readonly from: number; readonly size: number; readonly signal: AbortSignal },
): Promise<void> {
  let offset = limits.from;
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  const flush = async () => {
    const parts = pending;
    const bytes = pendingBytes;
    [pending, pendingBytes] = [[], 0];
    offset += await writeAll(file, parts, bytes, offset);
  };
  const reader = body.getReader();
  const interrupt = () => void reader.cancel();
  limits.signal.addEventListener('abort', interrupt, { once: true });
  try {
    for (;;) {
      limits.signal.throwIfAborted();
      const { done, value: chunk } = await reader.read();
      if (done) break;
      if (offset + pendingBytes + chunk.length > limits.size) {
        throw new StorageError(
          'TooLarge',
          `The upload was announced with ${limits.size} bytes, and more arrived.`,
        );
      }
      pending.push(chunk);
      pendingBytes += chunk.length;
      if (pendingBytes >= WRITE_BYTES) await flush();
    }
  } finally {
    limits.signal.removeEventListener('abort', interrupt);
    void passOver(reader);
    // What arrived before the connection broke need not be sent again.
    await flush();
  }
  limits.signal.throwIfAborted();
}

/**
 * Reads what is left of a refused body. Bun ends that once the request is answered; but without
 * anybody reading, the request would never be over.
 */
async function passOver(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  try {
    while (!(await reader.read()).done);
  } catch {
    // The connection is closed, by whichever side: there is nobody left to tell.
  }
}

async function writeAll(
  file: FileHandle,
  parts: readonly Uint8Array[],
  bytes: number,
  at: number,
): Promise<number> {
  if (bytes === 0) return 0;
  const { bytesWritten } = await file.writev([...parts], at);
  if (bytesWritten === bytes) return bytes;
  // The rest after a short write, which a full disk causes before it is an error.
  const rest = Buffer.concat(parts).subarray(bytesWritten);
  let done = 0;
  while (done < rest.length) {
    done += (await file.write(rest, done, rest.length - done, at + bytesWritten + done))
      .bytesWritten;
  }
  return bytes;
}

function offsetOf(request: Request): number {
  const text = request.headers.get('upload-offset') ?? '';
  const offset = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(offset)) return offset;
  throw new StorageError(
    'InvalidParameters',
    'The header Upload-Offset is missing or no number: say where in the file the body begins.',
  );
}

class Uploads {
  readonly #context: StorageContext;
  readonly #running = new Map<string, Running>();

  constructor(context: StorageContext) {
    this.#context = context;
  }

  async #read(url: URL): Promise<Upload> {
    const { tokens, volumes } = this.#context;
    const claims = await tokens.upload(url.searchParams.get('token'));
    const folder = url.searchParams.get('dst_dir') ?? '';
    const root = await volumes.require(claims.volume).requireFolder(v.parse(folderId, claims.vfid));
    const path = folder === '' ? claims.relpath : `${folder}/${claims.relpath}`;
    const begunMs = (claims.iat ?? claims.exp) * 1000;
    return { target: { root, path, size: claims.size }, session: claims.session, begunMs };
  }

  /**
   * Runs one request of an upload at a time. One that still writes is ended: it is most often one whose
   * connection broke without a sign, and whoever asks now is its successor.
   */
  async #exclusively<T>(
    session: string,
    action: (interruption: AbortSignal) => Promise<T>,
  ): Promise<T> {
    for (let other = this.#running.get(session); other; other = this.#running.get(session)) {
      other.interruption.abort(
        new StorageError('TusLeaseLost', 'Another request goes on with it.'),
      );
      await other.ended;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const interruption = new AbortController();
    this.#running.set(session, { interruption, ended: promise });
    try {
      return await action(interruption.signal);
    } finally {
      this.#running.delete(session);
      resolve();
    }
  }

  options(): Response {
    return new Response(null, {
      status: 204,
      headers: {
        'Tus-Resumable': TUS_VERSION,
        'Tus-Version': TUS_VERSION,
        'Tus-Max-Size': String(this.#context.settings.maxUploadBytes),
        'X-Content-Type-Options': 'nosniff',
      },
    });
  }

  async head(url: URL): Promise<Response> {
    const upload = await this.#read(url);
    return await this.#exclusively(upload.session, async () => {
      const file = await openStaging(upload.target.root, upload.session);
      const length = file ? await this.#settle(file, upload) : await this.#finishedLength(upload);
      return progress(200, length, upload.target);
    });
  }

  /**
   * Closes the staging file, which takes its place when it is complete. A client that hears with HEAD
   * that everything has arrived sends no more: so this is where a proxy goes on that was cut off then.
   * @returns its length.
   */
  async #settle(file: FileHandle, { target, session }: Upload): Promise<number> {
    let length: number;
    try {
      length = (await file.stat()).size;
      if (length === target.size) await file.datasync();
    } finally {
      await file.close();
    }
    if (length === target.size) await finishUpload(target, session);
    return length;
  }

  /** @throws StorageError TusSessionNotFound. */
  async #finishedLength({ target, begunMs }: Upload): Promise<number> {
    if (await isFinished(target, begunMs)) return target.size;
    throw new StorageError(
      'TusSessionNotFound',
      'There is no such upload: it was finished, or nobody went on with it for a day.',
    );
  }

  async patch(request: Request, url: URL): Promise<Response> {
    const upload = await this.#read(url);
    const offset = offsetOf(request);
    return await this.#exclusively(upload.session, async (interruption) => {
      const file = await openStaging(upload.target.root, upload.session);
      if (file === null) {
        mustFit(offset, await this.#finishedLength(upload));
        return progress(204, offset, upload.target);
      }
      try {
        await receive(request, file, { offset, size: upload.target.size, interruption });
      } catch (error) {
        await file.close();
        throw error;
      }
      return progress(204, await this.#settle(file, upload), upload.target);
    });
  }
}

/** Writes the body to the end of the staging file. @throws StorageError when it does not fit there. */
async function receive(
  request: Request,
  file: FileHandle,
  limits: { readonly offset: number; readonly size: number; readonly interruption: AbortSignal },
): Promise<void> {
  const { offset, size, interruption } = limits;
  mustFit(offset, (await file.stat()).size);
  const announced = Number(request.headers.get('content-length') ?? 0);
  if (offset + announced > size) {
    throw new StorageError(
      'TooLarge',
      `The upload was announced with ${size} bytes; this would make ${offset + announced}.`,
    );
  }
  if (request.body) await append(file, request.body, { from: offset, size, signal: interruption });
}

function mustFit(offset: number, length: number): void {
  if (offset === length) return;
  throw new StorageError(
    'OffsetMismatch',
    `${length} bytes have arrived so far; the body begins at ${offset}. Ask with HEAD where to go on.`,
  );
}

function progress(status: 200 | 204, offset: number, { size }: UploadTarget): Response {
  return new Response(null, {
    status,
    headers: {
      'Tus-Resumable': TUS_VERSION,
      'Cache-Control': 'no-store',
      'Upload-Offset': String(offset),
      'Upload-Length': String(size),
    },
  });
}

export function uploadRoutes(context: StorageContext): ClientRoutes {
  const uploads = new Uploads(context);
  return {
    '/upload': {
      OPTIONS: async () => uploads.options(),
      HEAD: (_request, url) => uploads.head(url),
      PATCH: (request, url) => uploads.patch(request, url),
    },
  };
}
