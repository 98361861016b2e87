/** Finding requests in bytes: however these are cut, the same comes out. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { FramingError, RequestFraming, type RequestHead } from './framing.ts';

const REQUESTS = [
  'GET /plain HTTP/1.1\r\nHost: h\r\n\r\n',
  'GET /body HTTP/1.1\r\nHost: h\r\ncontent-LENGTH:  10\r\n\r\nGET / HTTP',
  'POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n',
  'GET /chunks HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nGET \r\r\n3\r\n\r\n\r\r\n0\r\nA: b\r\n\r\n',
  'HEAD /last HTTP/1.1\r\nHost: h\r\n\r\n',
];
const SENT = Buffer.from(REQUESTS.join(''), 'latin1');

function frame(chunks: readonly Buffer[]): { heads: RequestHead[]; passed: string } {
  const heads: RequestHead[] = [];
  const framing = new RequestFraming((head) => {
    heads.push({ ...head, bytes: Buffer.from(head.bytes) });
    return Buffer.from(`<${head.method} ${head.hasBody ? 'with' : 'without'}>`);
  });
  const passed = chunks.flatMap((chunk) => framing.push(chunk));
  return { heads, passed: Buffer.concat(passed).toString('latin1') };
}

test('heads are found and bodies passed on, however the bytes are cut', () => {
  const whole = frame([SENT]);
  expect(whole.heads.map(({ method, hasBody }) => [method, hasBody])).toEqual([
    ['GET', false],
    ['GET', true],
    ['POST', false],
    ['GET', true],
    ['HEAD', false],
  ]);
  expect(whole.passed).toBe(
    '<GET without><GET with>GET / HTTP<POST without><GET with>5;x=y\r\nGET \r\r\n3\r\n\r\n\r\r\n0\r\nA: b\r\n\r\n' +
      '<HEAD without>',
  );
  fc.assert(
    fc.property(fc.array(fc.nat({ max: SENT.length })), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), SENT.length];
      const chunks = at.slice(1).map((end, index) => SENT.subarray(at[index], end));
      expect(frame(chunks)).toEqual(whole);
    }),
  );
});

test('empty lines between requests belong to nothing', () => {
  expect(frame([Buffer.from('\r\n'), Buffer.from('\r\nGET / HTTP/1.1\r\n\r\n')]).passed).toBe(
    '<GET without>',
  );
});

test('after an upgrade everything passes', () => {
  const framing = new RequestFraming(({ upgrades }) => Buffer.from(upgrades ? 'up' : 'plain'));
  framing.push(Buffer.from('GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n'));
  framing.release();
  expect(framing.push(Buffer.from('GET / HTTP/1.1\r\n\r\n')).join('')).toBe(
    'GET / HTTP/1.1\r\n\r\n',
  );
});

test.each([
  ['two lengths', 'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
  [
    'a length and chunks',
    'POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    400,
  ],
  ['no number', 'POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n', 400],
  ['another encoding', 'POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', 400],
  ['a chunk of no size', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
  ['a head without end', `GET / HTTP/1.1\r\nX: ${'x'.repeat(70_000)}`, 431],
  [
    'a line without end',
    `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${'1'.repeat(9_000)}`,
    400,
  ],
])('%s ends the connection', (_, text, status) => {
  try {
    frame([Buffer.from(text)]);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(FramingError);
    expect(error).toHaveProperty('status', status);
  }
});
