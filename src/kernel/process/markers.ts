/**
 * Finds marks that a driver leaves in its own output. A mark says "everything written before this
 * point belongs before event N", which pipes alone cannot tell.
 */

/** Longest text of a mark. Bytes. */
const MAX_MARK_BYTES = 64;
const START = 0x1e;
const END = 0x1f;

export type OutputToken =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'mark'; readonly text: string };

/** A mark as bytes on the wire: RS, nonce, ":", text, US. */
export function encodeMark(nonce: string, text: string): string {
  return `${String.fromCharCode(START)}${nonce}:${text}${String.fromCharCode(END)}`;
}

/** Splits one output stream into plain bytes and marks, however the stream is cut into chunks. */
export class MarkScanner {
  private readonly prefix: Buffer;
  private held: Buffer = Buffer.alloc(0);

  constructor(nonce: string) {
    this.prefix = Buffer.from(`${String.fromCharCode(START)}${nonce}:`, 'latin1');
  }

  push(chunk: Uint8Array): OutputToken[] {
    let rest: Buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.held.length > 0) rest = Buffer.concat([this.held, rest]);
    this.held = Buffer.alloc(0);
    const tokens: OutputToken[] = [];
    while (rest.length > 0) {
      const at = rest.indexOf(this.prefix);
      if (at < 0) {
        const keep = this.partialPrefixBytes(rest);
        pushBytes(tokens, rest.subarray(0, rest.length - keep));
        this.held = Buffer.from(rest.subarray(rest.length - keep));
        return tokens;
      }
      pushBytes(tokens, rest.subarray(0, at));
      const textAt = at + this.prefix.length;
      const end = rest.indexOf(END, textAt);
      if (end < 0 && rest.length - textAt <= MAX_MARK_BYTES) {
        this.held = Buffer.from(rest.subarray(at));
        return tokens;
      }
      if (end < 0 || end - textAt > MAX_MARK_BYTES) {
        pushBytes(tokens, rest.subarray(at, textAt));
        rest = rest.subarray(textAt);
        continue;
      }
      tokens.push({ kind: 'mark', text: rest.toString('latin1', textAt, end) });
      rest = rest.subarray(end + 1);
    }
    return tokens;
  }

  /** Bytes held back because they might have begun a mark; call it at the end of the stream. */
  flush(): Uint8Array {
    const held = this.held;
    this.held = Buffer.alloc(0);
    return held;
  }

  private partialPrefixBytes(bytes: Buffer): number {
    const from = Math.max(0, bytes.length - this.prefix.length + 1);
    for (let at = bytes.indexOf(START, from); at >= 0; at = bytes.indexOf(START, at + 1)) {
      const tail = bytes.subarray(at);
      if (tail.equals(this.prefix.subarray(0, tail.length))) return tail.length;
    }
    return 0;
  }
}

function pushBytes(tokens: OutputToken[], bytes: Uint8Array): void {
  if (bytes.length > 0) tokens.push({ kind: 'bytes', bytes });
}
