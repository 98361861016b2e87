/** Finds the end of a message's body in the bytes as they come, without changing them. */
import type { BodyLength } from './head.ts';

/** What the bytes given last contain. */
export interface BodyProgress {
  /** How many of them belong to the body. */
  readonly bytes: number;
  readonly isComplete: boolean;
}

export interface BodyReader {
  /** @throws ChunkError when the bytes are not what was announced. */
  read(chunk: Buffer): BodyProgress;
  /** How many of the next bytes belong to the body, whatever they are. */
  readonly certain: number;
  /** So many of them were passed on unread. @returns whether the body is complete. */
  passed(bytes: number): boolean;
}

export class ChunkError extends Error {}

class CountedBody implements BodyReader {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  read(chunk: Buffer): BodyProgress {
    const bytes = Math.min(chunk.length, this.#left);
    this.#left -= bytes;
    return { bytes, isComplete: this.#left === 0 };
  }

  get certain(): number {
    return this.#left;
  }

  passed(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left === 0;
  }
}

/** Until the connection ends: that is for the caller to notice. */
const endlessBody: BodyReader = {
  read: (chunk) => ({ bytes: chunk.length, isComplete: false }),
  certain: Number.POSITIVE_INFINITY,
  passed: () => false,
};

const CR = 13;
const LF = 10;
/** Longest line with a chunk's size, and most bytes after the last chunk. */
const MAX_LINE_BYTES = 1024;
const MAX_TRAILER_BYTES = 16 * 1024;
const SIZE_LINE = /^([0-9a-fA-F]{1,12})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/;
const TRAILER_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/;

/** Reads the chunked encoding; only CR LF ends a line. */
class ChunkedBody implements BodyReader {
  #state: 'size' | 'data' | 'data-end' | 'trailer' | 'done' = 'size';
  #left = 0;
  /** The part of a line that has come. */
  #line = '';
  #trailerBytes = 0;

  read(chunk: Buffer): BodyProgress {
    let at = 0;
    while (at < chunk.length && this.#state !== 'done') {
      if (this.#state === 'data') {
        const bytes = Math.min(chunk.length - at, this.#left);
        this.#left -= bytes;
        at += bytes;
        if (this.#left === 0) this.#state = 'data-end';
      } else {
        at = this.#readLine(chunk, at);
      }
    }
    return { bytes: at, isComplete: this.#state === 'done' };
  }

  get certain(): number {
    return this.#state === 'data' ? this.#left : 0;
  }

  passed(bytes: number): boolean {
    this.#left -= bytes;
    if (this.#left === 0) this.#state = 'data-end';
    return false;
  }

  /** @returns where to go on: behind the line, or at the end of what has come. */
  #readLine(chunk: Buffer, from: number): number {
    const lf = chunk.indexOf(LF, from);
    const to = lf === -1 ? chunk.length : lf + 1;
    this.#line += chunk.toString('latin1', from, to);
    if (this.#line.length > MAX_LINE_BYTES) throw new ChunkError('A line of the body is too long.');
    if (lf === -1) return to;
    const line = this.#line.slice(0, -2);
    if (this.#line.charCodeAt(this.#line.length - 2) !== CR) {
      throw new ChunkError('A line of the chunked body does not end with CR LF.');
    }
    this.#line = '';
    this.#lineRead(line);
    return to;
  }

  #lineRead(line: string): void {
    if (this.#state === 'size') {
      const [, size] = SIZE_LINE.exec(line) ?? [];
      if (size === undefined) throw new ChunkError('The size of a chunk is not a number.');
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? 'trailer' : 'data';
    } else if (this.#state === 'data-end') {
      if (line !== '') throw new ChunkError('A chunk is longer than announced.');
      this.#state = 'size';
    } else if (line === '') {
      this.#state = 'done';
    } else {
      this.#trailerBytes += line.length + 2;
      if (this.#trailerBytes > MAX_TRAILER_BYTES || !TRAILER_LINE.test(line)) {
        throw new ChunkError('What follows the last chunk is not valid.');
      }
    }
  }
}

export function bodyReader(length: BodyLength): BodyReader {
  if (length === 'chunked') return new ChunkedBody();
  if (length === 'until-close') return endlessBody;
  return new CountedBody(length);
}
