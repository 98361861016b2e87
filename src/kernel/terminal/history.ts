/** The last output of a terminal, for those who join later. */

const MAX_BYTES = 128 * 1024;
/** Questions to the terminal: a viewer that reads them again would answer them into the shell. */
const QUERIES =
  /\x1b\[[?>=]?[\d;]*[cnx]|\x1b\[\??[\d;]*\$p|\x1b\](?:1\d|4;\d+);\?(?:\x07|\x1b\\)|\x1bZ|\x1bP[+$]q[^\x1b]*\x1b\\/g;
/** Back to how a terminal is at first. */
export const RESET = Buffer.from('\x1bc');

export class History {
  #chunks: Uint8Array[] = [];
  #size = 0;

  add(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (this.#size - (this.#chunks[0]?.length ?? 0) > MAX_BYTES) {
      this.#size -= this.#chunks.shift()?.length ?? 0;
    }
  }

  /** What brings a new viewer to about what the others see. */
  replay(): Uint8Array {
    const all = Buffer.concat(this.#chunks);
    const cut = all.length > MAX_BYTES ? all.subarray(all.indexOf(0x0a) + 1) : all;
    // Byte for byte, whatever of UTF-8 was cut.
    const text = cut.toString('latin1').replace(QUERIES, '');
    return Buffer.concat([RESET, Buffer.from(text, 'latin1')]);
  }
}
