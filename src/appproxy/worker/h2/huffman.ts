/** The Huffman code of HPACK (RFC 7541, appendix B). It is only read: nothing has to be written in it. */

/**
 * How many bits the code of each byte has, a base-36 digit each. That is the whole code: shorter codes
 * come before longer ones, and bytes with codes of one length follow in order.
 */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq';
const LONGEST_BITS = 30;

interface CodesOfLength {
  /** The smallest code, as a number. */
  readonly first: number;
  /** The bytes, in the order of their codes. */
  readonly bytes: readonly number[];
}

function codesByLength(): CodesOfLength[] {
  const lengths = [...LENGTHS].map((digit) => Number.parseInt(digit, 36));
  const table: CodesOfLength[] = [];
  let first = 0;
  for (let bits = 0; bits <= LONGEST_BITS; bits += 1) {
    const bytes = lengths.flatMap((length, byte) => (length === bits ? [byte] : []));
    table.push({ first, bytes });
    first = (first + bytes.length) * 2;
  }
  return table;
}
const CODES = codesByLength();

/** @returns the text, latin-1; null when it is not valid. */
export function decodeHuffman(coded: Buffer): string | null {
  // No code is shorter than five bits.
  const out = Buffer.allocUnsafe(Math.ceil((coded.length * 8) / 5));
  let [written, code, bits] = [0, 0, 0];
  for (const byte of coded) {
    for (let shift = 7; shift >= 0; shift -= 1) {
      code = (code << 1) | ((byte >> shift) & 1);
      bits += 1;
      const codes = CODES[bits];
      if (codes === undefined) return null;
      const symbol = codes.bytes[code - codes.first];
      if (symbol === undefined) continue;
      out[written] = symbol;
      written += 1;
      [code, bits] = [0, 0];
    }
  }
  // What is left fills the last byte, with ones.
  return bits < 8 && code === (1 << bits) - 1 ? out.toString('latin1', 0, written) : null;
}
