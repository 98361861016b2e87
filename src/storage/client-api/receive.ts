/** Writes the body of a request to the end of a staging file. */
import type { FileHandle } from 'node:fs/promises';
import { libc } from '../../common/libc.ts';
import { StorageError } from '../problems.ts';

/** Small pieces of a body are put together before they are written. Bytes. */
const WRITE_BYTES = 256 * 1024;

export interface Limits {
  /** Length of the file so far. Bytes. */
  readonly offset: number;
  /** Of the whole file. Bytes. */
  readonly size: number;
  /** Aborted when the request has a successor. */
  readonly interruption: AbortSignal;
}

export interface Receiving {
  /** Resolves when all of the body is written; rejects at once when the request has a successor. */
  readonly succeeded: Promise<void>;
  /** Never rejects; nothing is written any more after it, which may be later than a failure. */
  readonly ended: Promise<void>;
}

/** Rejects as soon as the signal is aborted. */
function interrupted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

const tooLarge = (size: number): StorageError =>
  new StorageError('TooLarge', `The upload was announced with ${size} bytes, and more arrived.`);

/** Has Bun write the body, which needs no memory of ours. Bun ends that when the request is answered. */
async function passOn(file: FileHandle, body: ReadableStream): Promise<void> {
  try {
    await Bun.write(Bun.file(file.fd), new Response(body));
  } catch (error) {
    // The connection is gone, by whichever side: what has arrived stays, and is gone on from.
    if (error instanceof Error && error.name === 'AbortError') return;
    throw error;
  }
}

async function writeAll(
  file: FileHandle,
  parts: readonly Uint8Array[],
  bytes: number,
  at: number,
): Promise<void> {
  if (bytes === 0) return;
  const { bytesWritten } = await file.writev([...parts], at);
  if (bytesWritten === bytes) return;
  // The rest after a short write, which a full disk causes before it is an error.
  const rest = Buffer.concat(parts).subarray(bytesWritten);
  let done = 0;
  while (done < rest.length) {
    done += (await file.write(rest, done, rest.length - done, at + bytesWritten + done))
      .bytesWritten;
  }
}

/** For a body whose length nobody told: counts it. */
async function countAndWrite(
  file: FileHandle,
  body: ReadableStream<Uint8Array>,
  { offset, size, interruption }: Limits,
): Promise<void> {
  let at = offset;
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  const flush = async () => {
    const parts = pending;
    const bytes = pendingBytes;
    [pending, pendingBytes] = [[], 0];
    await writeAll(file, parts, bytes, at);
    at += bytes;
  };
  const reader = body.getReader();
  try {
    while (!interruption.aborted) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + pendingBytes + value.length > size) throw tooLarge(size);
      pending.push(value);
      pendingBytes += value.length;
      if (pendingBytes >= WRITE_BYTES) await flush();
    }
  } finally {
    void passOver(reader);
    // What arrived before the connection broke need not be sent again.
    await flush();
  }
}

/**
 * Reads what is left of a refused body. Bun ends that once the request is answered; but without
 * anybody reading, the request would never be over.
 */
async function passOver(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  try {
    while (!(await reader.read()).done);
  } catch {
    // The connection is closed: there is nobody left to tell.
  }
}

/** @throws StorageError TooLarge when the body is announced to be. */
export function receive(request: Request, file: FileHandle, limits: Limits): Receiving {
  const { body, headers } = request;
  if (body === null) return { succeeded: Promise.resolve(), ended: Promise.resolve() };
  const announced = headers.get('content-length');
  if (announced !== null && limits.offset + Number(announced) > limits.size) {
    throw tooLarge(limits.size);
  }
  const canPassOn = announced !== null && libc()?.seek(file.fd, limits.offset) === true;
  const written = canPassOn ? passOn(file, body) : countAndWrite(file, body, limits);
  return {
    succeeded: Promise.race([written, interrupted(limits.interruption)]),
    ended: written.catch(() => {}),
  };
}
