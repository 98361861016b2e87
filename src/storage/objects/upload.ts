/** Stores an object of unknown length: in one request when it is small, else in parts. */
import { StorageError } from '../problems.ts';
import type { ObjectRequest } from './bucket.ts';

/** S3's own limit. */
const MAX_PARTS = 10_000;

type Ask = (request: Omit<ObjectRequest, 'key'>) => Promise<Response>;

/**
 * Pieces of exactly `bytes`, but for the last, which may be empty only when there is no other. Each is
 * good until the next is asked for, since they share their memory.
 */
async function* partsOf(
  body: AsyncIterable<Uint8Array>,
  bytes: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const part = new Uint8Array(bytes);
  let filled = 0;
  let isFirst = true;
  for await (const piece of body) {
    for (let at = 0; at < piece.length; ) {
      if (filled === bytes) {
        yield part;
        isFirst = false;
        filled = 0;
      }
      const some = piece.subarray(at, at + bytes - filled);
      part.set(some, filled);
      filled += some.length;
      at += some.length;
    }
  }
  if (filled > 0 || isFirst) yield part.subarray(0, filled);
}

/** @throws StorageError when the answer lacks the element. */
async function elementOf(response: Response, name: string): Promise<string> {
  const text = await response.text();
  const found = new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1];
  if (found === undefined) {
    throw new StorageError('ObjectStorageFailed', `The server answered without ${name}: ${text}`);
  }
  return found.replaceAll('&quot;', '"').replaceAll('&amp;', '&');
}

const completion = (etags: readonly string[]): string =>
  `<CompleteMultipartUpload>${etags
    .map((etag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${etag}</ETag></Part>`)
    .join('')}</CompleteMultipartUpload>`;

/**
 * Holds one part in memory at a time. What was begun and fails is given up at the server as well.
 * @param ask makes a request about the object.
 * @throws what `body` throws, or StorageError.
 */
export async function storeInParts(
  ask: Ask,
  body: AsyncIterable<Uint8Array>,
  type: string,
  partBytes: number,
): Promise<void> {
  const headers = { 'Content-Type': type };
  const parts = partsOf(body, partBytes);
  const first = (await parts.next()).value ?? new Uint8Array();
  if (first.length < partBytes) {
    await ask({ method: 'PUT', headers, body: first });
    return;
  }
  const begun = await ask({ method: 'POST', query: { uploads: '' }, headers });
  const uploadId = await elementOf(begun, 'UploadId');
  const etags: string[] = [];
  const store = async (part: Uint8Array<ArrayBuffer>) => {
    if (etags.length === MAX_PARTS) {
      throw new StorageError(
        'TooLarge',
        `The object has more than ${MAX_PARTS} parts of ${partBytes} bytes. Set a larger upload-chunk-size.`,
      );
    }
    const query = { partNumber: `${etags.length + 1}`, uploadId };
    const { headers: answer } = await ask({ method: 'PUT', query, body: part });
    etags.push(answer.get('etag') ?? '');
  };
  try {
    await store(first);
    for await (const part of parts) await store(part);
    const done = await ask({ method: 'POST', query: { uploadId }, body: completion(etags) });
    // Failures at this point come with status 200.
    await elementOf(done, 'ETag');
  } catch (error) {
    await ask({ method: 'DELETE', query: { uploadId } }).catch(() => {
      // The first failure is the one to tell; servers forget unfinished uploads by rules of their own.
    });
    throw error;
  }
}
