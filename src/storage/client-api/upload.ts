/**
 * Uploads as the tus protocol (1.0.0) has them, without creation: that is the manager's.
 *
 * How much has arrived is the length of the staging file, and nothing else. So an upload goes on after
 * any break, the proxy's own death included, from the last byte that was written; and several proxies
 * may serve the same volume.
 */
import type { FileHandle } from 'node:fs/promises';
import * as v from 'valibot';
import { isUnpacked, keepUnpacked } from '../archives/notes.ts';
import type { StorageContext } from '../context.ts';
import { folderId } from '../ids.ts';
import { StorageError } from '../problems.ts';
import {
  discardArchive,
  finishUpload,
  isFinished,
  openStaging,
  type UploadTarget,
} from '../staging.ts';
import type { Volume } from '../volumes/volume.ts';
import { receive } from './receive.ts';
import type { ClientRoutes } from './server.ts';

const TUS_VERSION = '1.0.0';

interface Upload {
  readonly volume: Volume;
  readonly target: UploadTarget;
  readonly session: string;
  /** Milliseconds of the epoch. */
  readonly begunMs: number;
}

/** A request that is being worked on. */
interface Turn {
  readonly interruption: AbortController;
  /** Resolves when the next request may begin. */
  readonly ended: Promise<void>;
  /** Keeps the next request waiting, also after this one is answered. */
  until(work: Promise<void>): void;
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
  readonly #turns = new Map<string, Turn>();

  constructor(context: StorageContext) {
    this.#context = context;
  }

  async #read(url: URL): Promise<Upload> {
    const { tokens, volumes } = this.#context;
    const claims = await tokens.upload(url.searchParams.get('token'));
    const folder = url.searchParams.get('dst_dir') ?? '';
    const volume = volumes.require(claims.volume);
    const root = await volume.requireFolder(v.parse(folderId, claims.vfid));
    const path = folder === '' ? claims.relpath : `${folder}/${claims.relpath}`;
    const begunMs = (claims.iat ?? claims.exp) * 1000;
    const target = { root, path, size: claims.size, unpacks: claims.unpack };
    return { volume, target, session: claims.session, begunMs };
  }

  /**
   * Runs one request of an upload at a time. One that still writes is ended: it is most often one whose
   * connection broke without a sign, and whoever asks now is its successor.
   */
  async #exclusively<T>(session: string, action: (turn: Turn) => Promise<T>): Promise<T> {
    for (let other = this.#turns.get(session); other; other = this.#turns.get(session)) {
      other.interruption.abort(
        new StorageError('TusLeaseLost', 'Another request goes on with it.'),
      );
      await other.ended;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const awaited: Promise<void>[] = [];
    const turn: Turn = {
      interruption: new AbortController(),
      ended: promise,
      until: (work) => awaited.push(work),
    };
    this.#turns.set(session, turn);
    const end = async () => {
      await Promise.allSettled(awaited);
      this.#turns.delete(session);
      resolve();
    };
    try {
      return await action(turn);
    } finally {
      void end();
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
  async #settle(file: FileHandle, upload: Upload): Promise<number> {
    const { target, session } = upload;
    try {
      const { size } = await file.stat();
      if (size < target.size) return size;
      if (target.unpacks) await this.#unpack(file, upload);
      else await finishUpload(target, session, file);
      return size;
    } finally {
      await file.close();
    }
  }

  /**
   * It is noted that this is done before the archive goes away: what is in it may look different by then,
   * and does not tell.
   */
  async #unpack(file: FileHandle, { volume, target, session }: Upload): Promise<void> {
    const { archives, clock, settings } = this.#context;
    const { root, path } = target;
    if (!(await isUnpacked(volume, session))) {
      try {
        await archives.unpack(volume.name, { archive: file.fd, root, into: path, session });
      } catch (error) {
        // One that is refused for what is in it would be refused each time.
        if (error instanceof StorageError) await discardArchive(root, session);
        throw error;
      }
      const lifetimeMs = settings.tokenLifetimeMs;
      await keepUnpacked(volume, session, { nowMs: clock.now().getTime(), lifetimeMs });
    }
    await discardArchive(root, session);
  }

  /** @throws StorageError TusSessionNotFound. */
  async #finishedLength({ volume, target, session, begunMs }: Upload): Promise<number> {
    const isDone = target.unpacks ? isUnpacked(volume, session) : isFinished(target, begunMs);
    if (await isDone) return target.size;
    throw new StorageError(
      'TusSessionNotFound',
      'There is no such upload: it was finished, or nobody went on with it for a day.',
    );
  }

  async patch(request: Request, url: URL): Promise<Response> {
    const upload = await this.#read(url);
    const offset = offsetOf(request);
    return await this.#exclusively(upload.session, async (turn) => {
      const file = await openStaging(upload.target.root, upload.session);
      if (file === null) {
        mustFit(offset, await this.#finishedLength(upload));
        return progress(204, offset, upload.target);
      }
      await this.#receive(request, file, upload, { offset, turn });
      return progress(204, await this.#settle(file, upload), upload.target);
    });
  }

  /** Writes the body to the file, which is closed when that fails. */
  async #receive(
    request: Request,
    file: FileHandle,
    { target }: Upload,
    { offset, turn }: { readonly offset: number; readonly turn: Turn },
  ): Promise<void> {
    let ended = Promise.resolve();
    try {
      mustFit(offset, (await file.stat()).size);
      const interruption = turn.interruption.signal;
      const receiving = receive(request, file, { offset, size: target.size, interruption });
      ended = receiving.ended;
      await receiving.succeeded;
    } catch (error) {
      turn.until(ended.then(() => file.close()));
      throw error;
    }
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
