/** Reads the end of a container's log, which the daemon sends as frames of both output streams. */
import { type DockerEngine, isMissing } from '../../../common/docker/engine.ts';

const HEADER_BYTES = 8;
/** The daemon counts the tail in lines; a line has at least one byte. */
const MAX_TAIL_LINES = 100_000;

/** Takes the frames apart; keeps the last `maxBytes` bytes of their content. */
export class FrameTail {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #size = 0;
  #header = Buffer.alloc(0);
  #left = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(data: Buffer): void {
    let rest = data;
    while (rest.length > 0) {
      if (this.#left === 0) {
        const wanted = HEADER_BYTES - this.#header.length;
        this.#header = Buffer.concat([this.#header, rest.subarray(0, wanted)]);
        rest = rest.subarray(wanted);
        if (this.#header.length < HEADER_BYTES) return;
        this.#left = this.#header.readUInt32BE(4);
        this.#header = Buffer.alloc(0);
      } else {
        const part = rest.subarray(0, this.#left);
        rest = rest.subarray(part.length);
        this.#left -= part.length;
        this.#keep(part);
      }
    }
  }

  #keep(part: Buffer): void {
    this.#chunks.push(part);
    this.#size += part.length;
    for (
      let first = this.#chunks[0];
      first && this.#size - first.length >= this.#maxBytes;
      first = this.#chunks[0]
    ) {
      this.#chunks.shift();
      this.#size -= first.length;
    }
  }

  /** The text so far; a character cut in half at the start is dropped. */
  text(): string {
    const all = Buffer.concat(this.#chunks);
    let start = Math.max(0, all.length - this.#maxBytes);
    const isCut = start > 0;
    for (let skipped = 0; isCut && skipped < 3 && isContinuation(all[start]); skipped += 1) {
      start += 1;
    }
    return all.subarray(start).toString('utf8');
  }
}

const isContinuation = (byte: number | undefined): boolean =>
  byte !== undefined && (byte & 0xc0) === 0x80;

/** The last `maxBytes` of a container's log; empty when there is no such container. */
export async function containerLog(
  engine: DockerEngine,
  containerId: string,
  maxBytes: number,
): Promise<string> {
  if (maxBytes <= 0) return '';
  const tail = Math.min(maxBytes, MAX_TAIL_LINES);
  const frames = new FrameTail(maxBytes);
  try {
    // The log driver bounds the whole log, and with it this answer.
    const content = await engine.call((docker, abortSignal) =>
      docker
        .getContainer(containerId)
        .logs({ stdout: true, stderr: true, follow: false, tail, abortSignal }),
    );
    frames.push(content);
    return frames.text();
  } catch (error) {
    if (isMissing(error)) return '';
    throw error;
  }
}
