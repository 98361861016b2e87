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

/** A request that writes at present. */
interface Writer {
  readonly interruption: AbortController;
  readonly ended: Promise<void>;
}

/** Writes the body at the end of `file`. @returns the new length. */
async function append(
  file: FileHandle,
  body: ReadableStream<Uint8Array>,
  limits: { readonly from: number; readonly size: number; readonly signal: AbortSignal },
): Promise<number> {
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
    // What arrived before the connection broke need not be sent again.
    await flush();
  }
  limits.signal.throwIfAborted();
  return offset;
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
  readonly #writers = new Map<string, Writer>();

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
   * Ends a request that still writes to the same upload. It is most often one whose connection broke
   * without a sign: whoever asks now is its successor.
   */
  async #takeOver(session: string): Promise<void> {
    for (let writer = this.#writers.get(session); writer; writer = this.#writers.get(session)) {
      writer.interruption.abort(
        new StorageError('TusLeaseLost', 'Another request goes on with it.'),
      );
      await writer.ended;
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
    await this.#takeOver(upload.session);
    const { target, session } = upload;
    const file = await openStaging(target.root, session);
    try {
      const length = file ? (await file.stat()).size : await this.#finishedLength(upload);
      return progress(200, length, target);
    } finally {
      await file?.close();
    }
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
    await this.#takeOver(upload.session);
    const { promise, resolve } = Promise.withResolvers<void>();
    const interruption = new AbortController();
    this.#writers.set(upload.session, { interruption, ended: promise });
    try {
      return await this.#write(request, upload, offset, interruption.signal);
    } finally {
      this.#writers.delete(upload.session);
      resolve();
    }
  }

  async #write(
    request: Request,
    upload: Upload,
    offset: number,
    signal: AbortSignal,
  ): Promise<Response> {
    const { target, session } = upload;
    const file = await openStaging(target.root, session);
    if (file === null) {
      mustFit(offset, await this.#finishedLength(upload));
      return progress(204, target.size, target);
    }
    let length: number;
    try {
      length = (await file.stat()).size;
      mustFit(offset, length);
      const announced = Number(request.headers.get('content-length') ?? 0);
      if (offset + announced > target.size) {
        throw new StorageError(
          'TooLarge',
          `The upload was announced with ${target.size} bytes; this would make ${offset + announced}.`,
        );
      }
      if (request.body) {
        length = await append(file, request.body, { from: offset, size: target.size, signal });
      }
      if (length === target.size) await file.datasync();
    } finally {
      await file.close();
    }
    if (length === target.size) await finishUpload(target, session);
    return progress(204, length, target);
  }
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
