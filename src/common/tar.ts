/** Reads a tar of small files, each of which is handed on as a whole. */
import { once } from 'node:events';
import { extract, type Header } from 'tar-stream';
import * as v from 'valibot';

/**
 * In a file's pax header: it was left out for its size, which is the value, and is to be fetched by
 * itself. Bytes.
 */
export const OMITTED_SIZE = 'BACKENDAI.omitted.size';
const omitted = v.object({ [OMITTED_SIZE]: v.pipe(v.string(), v.regex(/^\d{1,15}$/)) });

/** @returns bytes of a file that was left out; null when this one was not. */
export function omittedSize({ pax }: Header): number | null {
  const parsed = v.safeParse(omitted, pax);
  return parsed.success ? Number(parsed.output[OMITTED_SIZE]) : null;
}

/** Zeros that end a tar. Bytes. */
const END_BYTES = 1024;

export interface TarVisitor {
  /** Whether the entry's content is read into memory. What it throws ends the reading. */
  wants(header: Header): boolean;
  /** Called for those that are wanted, one after the other. */
  file(header: Header, content: Buffer): Promise<void> | undefined;
}

/**
 * @returns whether the end of an archive was seen: what broke off where an entry begins looks fine else.
 * @throws for what is no tar; what the source and the visitor throw.
 */
export async function readTar(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  visitor: TarVisitor,
): Promise<boolean> {
  const reader = extract();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {
    // Whoever waits for it at present is told.
  });
  const fail = (error: unknown): void => {
    failure.reject(error);
    reader.destroy();
  };
  reader.on('error', fail);
  reader.on('entry', (header, stream, next) => {
    // The reader tells.
    stream.on('error', () => {});
    try {
      if (!visitor.wants(header)) {
        stream.on('end', () => next());
        stream.resume();
        return;
      }
    } catch (error) {
      fail(error);
      return;
    }
    const chunks: Uint8Array[] = [];
    stream.on('data', (chunk) => {
      if (chunk instanceof Uint8Array) chunks.push(chunk);
    });
    stream.on('end', () => {
      try {
        const working = visitor.file(header, Buffer.concat(chunks));
        if (working === undefined) next();
        else working.then(() => next(), fail);
      } catch (error) {
        fail(error);
      }
    });
  });
  let tail: Uint8Array = new Uint8Array();
  try {
    for await (const chunk of source) {
      tail = chunk.length < END_BYTES ? Buffer.concat([tail, chunk]) : chunk;
      tail = tail.slice(-END_BYTES);
      if (!reader.write(chunk)) await Promise.race([once(reader, 'drain'), failure.promise]);
    }
    const finished = once(reader, 'finish');
    reader.end(null);
    await Promise.race([finished, failure.promise]);
  } finally {
    reader.destroy();
  }
  return tail.length === END_BYTES && tail.every((byte) => byte === 0);
}
