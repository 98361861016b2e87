/** Cuts a byte stream into lines of bounded length. */

export class LineTooLongError extends Error {
  constructor(maxBytes: number) {
    super(`a line is longer than ${maxBytes} bytes`);
    this.name = 'LineTooLongError';
  }
}

const LF = 0x0a;

export class LineSplitter {
  private readonly maxBytes: number;
  private parts: Buffer[] = [];
  private heldBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** The lines completed by `chunk`, decoded, without their line ends. @throws LineTooLongError */
  push(chunk: Uint8Array): string[] {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const lines: string[] = [];
    for (let at = rest.indexOf(LF); at >= 0; at = rest.indexOf(LF)) {
      this.hold(rest.subarray(0, at));
      lines.push(Buffer.concat(this.parts).toString('utf8'));
      this.parts = [];
      this.heldBytes = 0;
      rest = rest.subarray(at + 1);
    }
    if (rest.length > 0) this.hold(Buffer.from(rest));
    return lines;
  }

  private hold(part: Buffer): void {
    if (this.heldBytes + part.length > this.maxBytes) throw new LineTooLongError(this.maxBytes);
    this.parts.push(part);
    this.heldBytes += part.length;
  }
}
