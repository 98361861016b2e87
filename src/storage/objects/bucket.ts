/**
 * One bucket of an S3 server. Objects pass through in pieces, so that any number of them, of any size,
 * take little memory; every answer of the server is waited for only so long.
 */
import type { S3Client } from 'bun';
import type { Clock } from '../../common/clock.ts';
import { errorCode, errorMessage } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';
import type { ObjectStorageSettings } from '../settings.ts';
import { postFields, signedAddress } from './signing.ts';
import { storeInParts } from './upload.ts';

/** Until a piece has arrived or is stored. */
const PIECE_MS = 60_000;
const ANSWER_MS = 15_000;
/** An object is read in ranges of this size, each when the one before was taken. Bytes. */
const RANGE_BYTES = 4 * 1024 * 1024;
/** Of an address for one request that follows at once. Seconds. */
const OWN_USE_S = 300;
const DELETE_WIDTH = 8;
const ATTEMPTS = 4;
const FIRST_PAUSE_MS = 50;

export interface ObjectMeta {
  readonly contentLength: number;
  readonly contentType: string | null;
  readonly lastModified: Date | null;
  readonly etag: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

interface ListedObject {
  readonly key: string;
  readonly size: number;
}

/** One request to the server about a key. */
export interface ObjectRequest {
  readonly method: 'GET' | 'HEAD' | 'DELETE' | 'PUT' | 'POST';
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
}

export class ObjectBucket {
  readonly #settings: ObjectStorageSettings;
  readonly #name: string;
  readonly #client: S3Client;
  readonly #clock: Clock;

  constructor(settings: ObjectStorageSettings, name: string, clock: Clock) {
    this.#settings = settings;
    this.#name = name;
    this.#clock = clock;
    this.#client = new Bun.S3Client({
      endpoint: settings.endpoint,
      region: settings.region,
      accessKeyId: settings.accessKey,
      secretAccessKey: settings.secretKey,
      bucket: name,
    });
  }

  #failed(error: unknown, what: string): StorageError {
    const reason = errorMessage(error) || errorCode(error);
    return new StorageError(
      'ObjectStorageFailed',
      `${what} failed at ${this.#settings.endpoint}: ${reason}`,
    );
  }

  #address(method: string, key: string, query = {}, expirationSec = OWN_USE_S): string {
    const { endpoint } = this.#settings;
    const now = this.#clock.now();
    const what = { method, endpoint, bucket: this.#name, key, query, now, expirationSec };
    return signedAddress(this.#settings, what);
  }

  /** S3 servers fail now and then, and expect to be asked again. @throws what fetch throws. */
  async #send({ method, key, query, headers, body }: ObjectRequest): Promise<Response> {
    const mayRepeat = method !== 'POST';
    for (let attempt = 1; ; attempt += 1) {
      const isLast = !mayRepeat || attempt === ATTEMPTS;
      try {
        const response = await fetch(this.#address(method, key, query), {
          ...{ method, headers, body },
          signal: AbortSignal.timeout(PIECE_MS),
        });
        if (response.status < 500 || isLast) return response;
        await response.body?.cancel();
      } catch (error) {
        const isSilence = error instanceof Error && error.name === 'TimeoutError';
        if (isSilence || isLast) throw error;
      }
      await this.#clock.sleep(FIRST_PAUSE_MS * 2 ** attempt);
    }
  }

  /** @throws StorageError unless the server answers that it did it. */
  async #ask(request: ObjectRequest): Promise<Response> {
    const { method, key } = request;
    const what = `${method} of the object ${JSON.stringify(key)}`;
    let response: Response;
    try {
      response = await this.#send(request);
    } catch (error) {
      throw this.#failed(error, what);
    }
    if (response.ok) return response;
    const text = await response.text().catch(errorMessage);
    if (response.status === 404) {
      throw new StorageError(
        'ObjectNotFound',
        `There is no object ${JSON.stringify(key)} in the bucket ${this.#name}.`,
      );
    }
    const reason = /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? '';
    throw this.#failed(new Error(`${response.status} ${reason}`.trim()), what);
  }

  async meta(key: string): Promise<ObjectMeta> {
    const { headers } = await this.#ask({ method: 'HEAD', key });
    const modified = headers.get('last-modified');
    const own = [...headers].filter(([name]) => name.startsWith('x-amz-meta-'));
    return {
      contentLength: Number(headers.get('content-length') ?? 0),
      contentType: headers.get('content-type'),
      lastModified: modified === null ? null : new Date(modified),
      etag: headers.get('etag'),
      metadata: Object.fromEntries(own.map(([k, text]) => [k.slice('x-amz-meta-'.length), text])),
    };
  }

  /** The object's bytes. One that is replaced meanwhile ends with an error, not with a mixture. */
  async download(key: string): Promise<{ meta: ObjectMeta; body: AsyncIterable<Uint8Array> }> {
    const meta = await this.meta(key);
    return { meta, body: this.#ranges(key, meta) };
  }

  async *#ranges(key: string, { contentLength, etag }: ObjectMeta): AsyncGenerator<Uint8Array> {
    const what = `reading the object ${JSON.stringify(key)}`;
    for (let at = 0; at < contentLength; at += RANGE_BYTES) {
      const end = Math.min(at + RANGE_BYTES, contentLength) - 1;
      const headers = { Range: `bytes=${at}-${end}` };
      const response = await this.#ask({ method: 'GET', key, headers });
      const piece = await response.bytes().catch((error: unknown) => {
        throw this.#failed(error, what);
      });
      if (response.headers.get('etag') !== etag || piece.length !== end - at + 1) {
        throw this.#failed(new Error('it was replaced meanwhile'), what);
      }
      yield piece;
    }
  }

  /**
   * Stores what `body` gives. Nothing is stored when it fails half way.
   * @throws what `body` throws, or StorageError.
   */
  async upload(key: string, body: AsyncIterable<Uint8Array>, type: string): Promise<void> {
    const { uploadChunkBytes } = this.#settings;
    await storeInParts((request) => this.#ask({ ...request, key }), body, type, uploadChunkBytes);
  }

  /** Up to 1000 objects whose keys begin with `prefix`, in order; `after` is the last key of a page. */
  async list(prefix: string, after?: string): Promise<{ items: ListedObject[]; isLast: boolean }> {
    const what = `listing ${JSON.stringify(prefix)}`;
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`no answer in ${ANSWER_MS} ms`)), ANSWER_MS);
    try {
      const start = after === undefined ? {} : { startAfter: after };
      const page = await Promise.race([this.#client.list({ prefix, ...start }), promise]);
      const items = (page.contents ?? []).map(({ key, size }) => ({ key, size: size ?? 0 }));
      return { items, isLast: page.isTruncated !== true || items.length === 0 };
    } catch (error) {
      throw this.#failed(error, what);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Deletes an object, or, when the key ends with a slash, all whose keys begin with it. */
  async remove(key: string): Promise<void> {
    if (!key.endsWith('/')) return await this.#removeOne(key);
    for (let after: string | undefined; ; ) {
      const { items, isLast } = await this.list(key, after);
      const queue = items.values();
      const worker = async () => {
        for (const item of queue) await this.#removeOne(item.key);
      };
      await Promise.all(Array.from({ length: DELETE_WIDTH }, worker));
      if (isLast) return;
      after = items.at(-1)?.key;
    }
  }

  async #removeOne(key: string): Promise<void> {
    await this.#ask({ method: 'DELETE', key }).catch((error: unknown) => {
      const isGone = error instanceof StorageError && error.problem === 'ObjectNotFound';
      if (!isGone) throw error;
    });
  }

  /** An address with which anybody reads the object for some seconds. */
  presignDownload(key: string, expirationSec: number | null): string {
    const seconds = expirationSec ?? this.#settings.presignedDownload.expirationSec;
    return this.#address('GET', key, {}, seconds);
  }

  /** An address, and the fields of a form, with which anybody stores the object for some seconds. */
  presignUpload(key: string): { url: string; fields: Record<string, string> } {
    const { endpoint, presignedUpload } = this.#settings;
    const { minBytes, maxBytes, expirationSec } = presignedUpload;
    const fields = postFields(this.#settings, {
      ...{ bucket: this.#name, key, expirationSec, now: this.#clock.now() },
      sizes: maxBytes === null ? null : [minBytes ?? 0, maxBytes],
    });
    return { url: `${new URL(endpoint).origin}/${this.#name}`, fields };
  }
}
