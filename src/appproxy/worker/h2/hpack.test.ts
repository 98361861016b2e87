/** Heads of HTTP/2: what the standard's own examples say, and what nobody may make a reader do. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { encodeBlock, type HeaderField, HpackDecoder, HpackError } from './hpack.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const lines = (fields: HeaderField[] | null) =>
  fields?.map(({ name, value }) => `${name} ${value}`);
const MANY = 64 * 1024;

test('the examples of RFC 7541, with and without Huffman code, share a table', () => {
  for (const blocks of [
    [
      '828684410f7777772e6578616d706c652e636f6d',
      '828684be58086e6f2d6361636865',
      '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
    ],
    [
      '828684418cf1e3c2e5f23a6ba0ab90f4ff',
      '828684be5886a8eb10649cbf',
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
    ],
  ]) {
    const decoder = new HpackDecoder();
    const asked = [':method GET', ':scheme http', ':path /', ':authority www.example.com'];
    expect(blocks.map((block) => lines(decoder.decode(hex(block), MANY)))).toEqual([
      asked,
      [...asked, 'cache-control no-cache'],
      [
        ...[':method GET', ':scheme https', ':path /index.html', ':authority www.example.com'],
        'custom-key custom-value',
      ],
    ]);
  }
});

test('every byte has its Huffman code', () => {
  // "a" to "z" and the rest of RFC 7541, appendix B, as bits of each byte's code.
  const coded = [
    ['0', '00000'],
    ['a', '00011'],
    [' ', '010100'],
    ['Z', '11111101'],
    ['\0', '1111111111000'],
    ['\n', '111111111111111111111111111100'],
    ['\x16', '111111111111111111111111111110'],
    ['\xff', '11111111111111111111101110'],
    ['\xf9', '1111111111111111111111111110'],
    ['\x80', '11111111111111100110'],
  ] as const;
  for (const [byte, bits] of coded) {
    const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
    const bytes = padded.match(/.{8}/g)?.map((octet) => Number.parseInt(octet, 2)) ?? [];
    const block = Buffer.from([0x00, 1, 'x'.charCodeAt(0), 0x80 | bytes.length, ...bytes]);
    expect(lines(new HpackDecoder().decode(block, MANY))).toEqual([`x ${byte}`]);
  }
});

test('what is written is read again, whatever it is', () => {
  const text = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)),
  });
  const field = fc.record({
    name: fc.oneof(fc.constantFrom(':method', ':status', 'cookie', 'te'), text),
    value: fc.oneof(
      fc.constantFrom('GET', '200', ''),
      text,
      text.map((part) => part.repeat(40)),
    ),
    isNeverIndexed: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(fc.array(field)), (heads) => {
      const decoder = new HpackDecoder();
      const read = heads.map((head, at) => decoder.decode(encodeBlock(head, at === 0), 2 ** 30));
      expect(read).toEqual(heads);
    }),
  );
});

describe('a reader', () => {
  test('that is given more than it takes goes on reading what follows', () => {
    const decoder = new HpackDecoder();
    // One field of 4000 bytes that is kept, and named again and again: a megabyte in 300 bytes.
    const big = Buffer.concat([hex('4001617fa11e'), Buffer.alloc(4000, 'x')]);
    expect(decoder.decode(big, MANY)).toHaveLength(1);
    const bomb = Buffer.concat([Buffer.alloc(300, 0xbe), hex('400162017a')]);
    expect(decoder.decode(bomb, MANY)).toBeNull();
    expect(lines(decoder.decode(hex('be'), MANY))).toEqual(['b z']);
  });

  test.each([
    ['an index beyond all tables', 'bf'],
    ['index 0', '80'],
    ['a text longer than the block', '000a61'],
    ['a number without an end', 'ffffffffffff'],
    ['a table larger than agreed', '3fe220'],
    ['a table that changes behind a field', '8220'],
    ['Huffman code that ends with more than a byte of padding', '00016182ffff'],
    ['Huffman code that is padded with zeros', '0001618118'],
    ['the end of the text as a symbol', '00016184ffffffff'],
  ])('refuses %s', (_what, block) => {
    expect(() => new HpackDecoder().decode(hex(block), MANY)).toThrow(HpackError);
  });
});
