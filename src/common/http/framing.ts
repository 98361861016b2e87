/**
 * Where the requests begin and end in what an HTTP/1.1 client sends, and what their heads say of it.
 * Only what framing needs is understood; whether a request is any good is for the server to say.
 */

/** Largest head of a request: its line and headers. Bytes. */
const MAX_HEAD_BYTES = 64 * 1024;
/** Longest line that gives the size of a chunk, and longest list of trailers. Bytes. */
const MAX_LINE_BYTES = 8 * 1024;

const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');
const FRAMING_HEADERS = /\r\n(content-length|transfer-encoding|upgrade)[ \t]*:[ \t]*([^\r\n]*)/gi;
const CR = 0x0d;
const LF = 0x0a;

/** Ends the connection: from here on nobody can tell where the next request begins. */
export class FramingError extends Error {
  readonly status: 400 | 431;

  constructor(status: 400 | 431, message: string) {
    super(message);
    this.status = status;
  }
}

export interface RequestHead {
  readonly method: string;
  /** As it was sent, up to and with the empty line. */
  readonly bytes: Buffer;
  readonly hasBody: boolean;
  /** Whether it asks to speak another protocol from here on. */
  readonly upgrades: boolean;
}

type State =
  | { readonly at: 'head' }
  | { readonly at: 'length'; left: number }
  | { readonly at: 'chunk-size' }
  | { readonly at: 'chunk'; left: number }
  | { readonly at: 'trailers' }
  | { readonly at: 'raw' };

interface Framed {
  readonly head: RequestHead;
  readonly next: State;
}

/** @throws FramingError when it announces its body twice or in a way that is not known. */
function readHead(bytes: Buffer): Framed {
  const text = bytes.toString('latin1');
  const method = text.slice(0, text.indexOf(' '));
  let length: number | null = null;
  let chunked = false;
  let upgrades = false;
  for (const [, name = '', value = ''] of text.matchAll(FRAMING_HEADERS)) {
    const kind = name.toLowerCase();
    if (kind === 'upgrade') {
      upgrades = true;
    } else if (length !== null || chunked) {
      throw new FramingError(400, 'The request announces its body twice.');
    } else if (kind === 'content-length') {
      if (!/^\d{1,15}[ \t]*$/.test(value)) throw new FramingError(400, 'Bad Content-Length.');
      length = Number(value);
    } else {
      if (value.trim().toLowerCase() !== 'chunked') {
        throw new FramingError(400, 'Of all transfer encodings only "chunked" is known here.');
      }
      chunked = true;
    }
  }
  const hasBody = chunked || (length !== null && length > 0);
  const head = { method, bytes, hasBody, upgrades: upgrades && !hasBody };
  if (chunked) return { head, next: { at: 'chunk-size' } };
  return { head, next: hasBody ? { at: 'length', left: length ?? 0 } : { at: 'head' } };
}

/** Follows the bytes of one connection. */
export class RequestFraming {
  readonly #onHead: (head: RequestHead) => Buffer;
  #state: State = { at: 'head' };
  /** The beginning of a head or line whose end has not come yet. */
  #rest: Buffer = Buffer.alloc(0);

  /** @param onHead told of each request's head; gives what is passed on in its place. */
  constructor(onHead: (head: RequestHead) => Buffer) {
    this.#onHead = onHead;
  }

  /** Passes on everything from here on, whatever it is. */
  release(): void {
    this.#state = { at: 'raw' };
  }

  /**
   * What to pass on of `chunk`, in order. A head is kept until it is whole.
   * @throws FramingError
   */
  push(chunk: Buffer): Buffer[] {
    const out: Buffer[] = [];
    let input = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = Buffer.alloc(0);
    while (input.length > 0) {
      const used = this.#step(input, out);
      if (used === 0) {
        this.#rest = Buffer.from(input);
        break;
      }
      input = input.subarray(used);
    }
    return out;
  }

  /** Takes the next part of the input; 0 when more of it must come first. */
  #step(input: Buffer, out: Buffer[]): number {
    const state = this.#state;
    switch (state.at) {
      case 'raw':
        out.push(input);
        return input.length;
      case 'head':
        return this.#takeHead(input, out);
      case 'length':
      case 'chunk':
        return this.#takeBody(state, input, out);
      case 'chunk-size':
        return this.#takeChunkSize(input, out);
      case 'trailers':
        return this.#takeTrailers(input, out);
    }
  }

  #takeHead(input: Buffer, out: Buffer[]): number {
    // Old clients end a body with an empty line that belongs to nothing.
    if (input[0] === CR) return input.length === 1 ? 0 : 2;
    if (input[0] === LF) return 1;
    const end = input.indexOf(HEAD_END);
    if ((end < 0 ? input.length : end) > MAX_HEAD_BYTES) {
      throw new FramingError(431, 'The headers of the request are too large.');
    }
    if (end < 0) return 0;
    const used = end + HEAD_END.length;
    const { head, next } = readHead(input.subarray(0, used));
    this.#state = next;
    out.push(this.#onHead(head));
    return used;
  }

  #takeBody(state: { at: 'length' | 'chunk'; left: number }, input: Buffer, out: Buffer[]): number {
    const used = Math.min(state.left, input.length);
    out.push(input.subarray(0, used));
    state.left -= used;
    if (state.left === 0) this.#state = { at: state.at === 'chunk' ? 'chunk-size' : 'head' };
    return used;
  }

  #takeLine(input: Buffer): Buffer | null {
    const end = input.indexOf(LINE_END);
    if ((end < 0 ? input.length : end) > MAX_LINE_BYTES) {
      throw new FramingError(400, 'A line of the chunked body is too long.');
    }
    return end < 0 ? null : input.subarray(0, end + LINE_END.length);
  }

  #takeChunkSize(input: Buffer, out: Buffer[]): number {
    const line = this.#takeLine(input);
    if (line === null) return 0;
    const size = /^([0-9a-f]{1,12})[ \t]*(?:;[^\r\n]*)?\r\n$/i.exec(line.toString('latin1'));
    if (!size) throw new FramingError(400, 'The chunked body has a chunk of no size.');
    const bytes = Number.parseInt(size[1] ?? '', 16);
    // The line end after a chunk's data is passed on with it.
    this.#state = bytes === 0 ? { at: 'trailers' } : { at: 'chunk', left: bytes + 2 };
    out.push(line);
    return line.length;
  }

  #takeTrailers(input: Buffer, out: Buffer[]): number {
    const line = this.#takeLine(input);
    if (line === null) return 0;
    out.push(line);
    if (line.length === LINE_END.length) this.#state = { at: 'head' };
    return line.length;
  }
}
