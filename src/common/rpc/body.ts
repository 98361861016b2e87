/** Reads the body of a request or response without letting its sender decide how much memory it takes. */
import { BackendError } from '../errors.ts';

/** Large enough for one file transfer (32 MiB as base64) with its envelope. Bytes. */
export const MAX_RPC_BODY_BYTES = 48 * 1024 * 1024;

/**
 * The whole body.
 * @throws BackendError InvalidAPIParameters when it is longer than `maxBytes`.
 */
export async function readBody(
  message: { headers: Headers; body: ReadableStream<Uint8Array> | null },
  maxBytes: number,
): Promise<Uint8Array> {
  const tooLarge = () =>
    new BackendError('InvalidAPIParameters', `The body is larger than ${maxBytes} bytes.`);
  if (Number(message.headers.get('content-length') ?? 0) > maxBytes) throw tooLarge();
  if (!message.body) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of message.body) {
    size += chunk.byteLength;
    if (size > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, size);
}
