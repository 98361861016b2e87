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
/** What fills the last byte has fewer bits than a byte. */
const MAX_PADDING_BITS = 7;

/**
 * Decoding goes from state to state, half a byte at a time. A state is what has been read of a code; 0 is
 * nothing. No code has fewer than five bits, so that half a byte ends one at most.
 */
interface Automaton {
  /** By `state << 4 | half`: the next state << 9, with 256 + the byte whose code has ended; 0: no code is so. */
  readonly steps: Uint32Array;
  /** By state, 1: the text may end there, with ones that fill the last byte. */
  readonly ends: Uint8Array;
}
const HAS_BYTE = 0x100;
const STATE_SHIFT = 9;

/** The tree of the codes, by `state << 1 | bit`: the state that follows, or `~byte` where its code ends; 0: none. */
function codeTree(): number[] {
  const codes = [...LENGTHS].map((digit, byte) => ({ bits: Number.parseInt(digit, 36), byte }));
  const tree = [0, 0];
  let [code, codeBits] = [0, 0];
  for (const { bits, byte } of codes.sort((a, b) => a.bits - b.bits)) {
    code <<= bits - codeBits;
    codeBits = bits;
    let state = 0;
    for (let left = bits - 1; left > 0; left -= 1) {
      const at = (state << 1) | ((code >> left) & 1);
      state = tree[at] || tree.length / 2;
      if (tree[at] === 0) tree.push(0, 0);
      tree[at] = state;
    }
    tree[(state << 1) | (code & 1)] = ~byte;
    code += 1;
  }
  return tree;
}

/** What half a byte leads to from a state; see `Automaton`. */
function stepFrom(tree: readonly number[], from: number, half: number): number {
  let [state, ended] = [from, 0];
  for (let left = 3; left >= 0; left -= 1) {
    const next = tree[(state << 1) | ((half >> left) & 1)] ?? 0;
    if (next === 0) return 0;
    if (next < 0) ended = HAS_BYTE | ~next;
    state = Math.max(next, 0);
  }
  return (state << STATE_SHIFT) | ended;
}

function automaton(): Automaton {
  const tree = codeTree();
  const states = tree.length / 2;
  const steps = new Uint32Array(states * 16);
  for (let at = 0; at < steps.length; at += 1) steps[at] = stepFrom(tree, at >> 4, at & 0xf);
  const ends = new Uint8Array(states);
  for (let [bits, state] = [0, 0]; bits <= MAX_PADDING_BITS; bits += 1) {
    ends[state] = 1;
    state = tree[(state << 1) | 1] ?? 0;
  }
  return { steps, ends };
}
const { steps: STEPS, ends: ENDS } = automaton();

/** @returns the text, latin-1; null when it is not valid. */
export function decodeHuffman(coded: Buffer): string | null {
  // No code is shorter than five bits.
  const out = Buffer.allocUnsafe(Math.ceil((coded.length * 8) / 5));
  let [written, state] = [0, 0];
  for (let at = 0; at < coded.length; at += 1) {
    const byte = coded[at] ?? 0;
    for (let shift = 4; shift >= 0; shift -= 4) {
      const step = STEPS[(state << 4) | ((byte >> shift) & 0xf)] ?? 0;
      if (step === 0) return null;
      state = step >> STATE_SHIFT;
      if ((step & HAS_BYTE) === 0) continue;
      out[written] = step & 0xff;
      written += 1;
    }
  }
  return ENDS[state] === 1 ? out.toString('latin1', 0, written) : null;
}
