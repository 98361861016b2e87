/** Cuts a stream of bytes into the packets of SFTP. */
import { MalformedPacket } from './wire.ts';

/** Longest packet taken, and so the most that waits here. Bytes. */
export const MAX_PACKET_BYTES = 260 * 1024;

/**
 * The packets of a stream, without their lengths; nothing is read ahead of what is asked for.
 * @throws MalformedPacket when one is empty or too long, or the stream ends inside one.
 */
export async function* packets(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  let wanted = 4;
  let isHead = true;
  for await (const chunk of stream) {
    chunks.push(chunk);
    size += chunk.length;
    while (size >= wanted) {
      const all =
        chunks.length === 1 && chunks[0]
          ? Buffer.from(chunks[0].buffer, chunks[0].byteOffset, chunks[0].length)
          : Buffer.concat(chunks, size);
      const part = all.subarray(0, wanted);
      const rest = all.subarray(wanted);
      chunks = rest.length === 0 ? [] : [rest];
      size = rest.length;
      if (isHead) {
        wanted = part.readUInt32BE();
        if (wanted < 1 || wanted > MAX_PACKET_BYTES) {
          throw new MalformedPacket(`a packet of ${wanted} bytes`);
        }
      } else {
        yield part;
        wanted = 4;
      }
      isHead = !isHead;
    }
  }
  if (size > 0 || !isHead) throw new MalformedPacket('the stream ends inside a packet');
}
