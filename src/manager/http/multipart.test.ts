/** Multipart bodies as Python's and browsers' clients write them, and malformed ones. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { dispositionFileName, formBoundary, mixedResponse, parseFileParts } from './multipart.ts';

const limits = { maxParts: 3, maxPartBytes: 100 };

async function formBytes(files: [name: string, data: Uint8Array<ArrayBuffer>][]) {
  const form = new FormData();
  for (const [name, data] of files) form.append('src', new Blob([data]), name);
  const response = new Response(form);
  const boundary = formBoundary(response.headers.get('content-type'));
  return { body: new Uint8Array(await response.arrayBuffer()), boundary };
}

describe('reading', () => {
  test('gives back any files a form holds, byte for byte', async () => {
    const file = fc.tuple(
      fc.constantFrom('a.txt', 'sub/dir/b.bin', 'with space.txt', 'quo"te.txt', 'é.txt'),
      fc.uint8Array({ maxLength: 100 }).map((bytes) => new Uint8Array(bytes)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 3 }), async (files) => {
        const { body, boundary } = await formBytes(files);
        const parts = parseFileParts(body, boundary, limits);
        expect(parts.map((part) => part.fileName)).toEqual(files.map(([name]) => name));
        expect(parts.map((part) => Buffer.from(part.data).toString('hex'))).toEqual(
          files.map(([, data]) => Buffer.from(data).toString('hex')),
        );
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ['form-data; name="src"; filename="sub%2Fa%20b.txt"', 'sub/a b.txt'],
    ['form-data; name="src"; filename="sub/100%25.txt"', 'sub/100%25.txt'],
    [`form-data; name="src"; filename="x"; filename*=utf-8''sub%2F%C3%A9.txt`, 'sub/é.txt'],
    ['form-data; name="src"', null],
  ])('file name of %p', (disposition, expected) => {
    expect(dispositionFileName(disposition)).toBe(expected);
  });

  test('refuses too many files, too long a file and nested parts', async () => {
    const one = new Uint8Array(1);
    const four = await formBytes(['a', 'b', 'c', 'd'].map((name) => [name, one]));
    expect(() => parseFileParts(four.body, four.boundary, limits)).toThrow('At most 3 files');
    const long = await formBytes([['a', new Uint8Array(101)]]);
    expect(() => parseFileParts(long.body, long.boundary, limits)).toThrow('101 bytes');
    const nested = Buffer.from(
      '--B\r\nContent-Disposition: form-data; name="s"; filename="f"\r\n' +
        'Content-Type: multipart/mixed; boundary=C\r\n\r\n\r\n--B--\r\n',
    );
    expect(() => parseFileParts(nested, 'B', limits)).toThrow('Nested');
  });

  test('any bytes are parsed or refused as a client error', () => {
    const piece = fc.constantFrom(
      '--B',
      '\r\n',
      '--',
      'Content-Disposition: form-data; ',
      'x',
      ':',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        try {
          parseFileParts(Buffer.from(pieces.join('')), 'B', limits);
        } catch (error) {
          expect(error).toMatchObject({ problem: 'InvalidAPIParameters' });
        }
      }),
    );
  });
});

test('writing: one part per file, closed by the boundary', async () => {
  const response = mixedResponse([Buffer.from('tar one'), Buffer.from('tar two')], 'B');
  expect(response.headers.get('content-type')).toBe('multipart/mixed; boundary="B"');
  const text = await response.text();
  expect(text.split('--B').length).toBe(4);
  expect(text).toContain(
    'Content-Encoding: identity\r\nContent-Length: 7\r\n\r\ntar one\r\n--B\r\n',
  );
  expect(text.endsWith('tar two\r\n--B--\r\n')).toBe(true);
});
