/** Heads and bodies as bytes: what is refused, and that pieces make no difference. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { bodyReader, ChunkError } from './body.ts';
import { requestHeadFor, responseHeadFor } from './forward.ts';
import { HeadError, parseRequestHead, parseResponseHead } from './head.ts';

const parse = (lines: string[]) => parseRequestHead(lines.join('\r\n'));
function refusal(run: () => unknown): number | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof HeadError) return error.status;
    throw error;
  }
}

const GET = 'GET / HTTP/1.1';
const POST = 'POST / HTTP/1.1';
const HOST = 'Host: a';

test.each([
  [
    'a length and an encoding',
    [POST, HOST, 'Content-Length: 4', 'Transfer-Encoding: chunked'],
    400,
  ],
  ['two lengths', [POST, HOST, 'Content-Length: 4', 'Content-Length: 5'], 400],
  ['the same length twice', [POST, HOST, 'Content-Length: 4', 'content-length: 4'], 400],
  ['a list of lengths', [POST, HOST, 'Content-Length: 4, 4'], 400],
  ['a signed length', [POST, HOST, 'Content-Length: +4'], 400],
  ['a hexadecimal length', [POST, HOST, 'Content-Length: 0x4'], 400],
  ['an endless length', [POST, HOST, `Content-Length: ${'9'.repeat(30)}`], 400],
  ['an unknown encoding', [POST, HOST, 'Transfer-Encoding: xchunked'], 501],
  ['several encodings', [POST, HOST, 'Transfer-Encoding: gzip, chunked'], 501],
  ['the encoding twice', [POST, HOST, 'Transfer-Encoding: chunked', 'Transfer-Encoding: x'], 400],
  ['an encoding in HTTP/1.0', ['POST / HTTP/1.0', 'Transfer-Encoding: chunked'], 400],
  ['a space before the colon', [POST, HOST, 'Transfer-Encoding : chunked'], 400],
  ['a folded line', [POST, HOST, 'X: a', ' Content-Length: 4'], 400],
  ['a bare line feed', [POST, HOST, 'X: a\nContent-Length: 4'], 400],
  ['a bare carriage return', [POST, HOST, 'X: a\rContent-Length: 4'], 400],
  ['a NUL', [POST, HOST, 'X: a\0b'], 400],
  ['no name', [POST, HOST, ': x'], 400],
  [
    'a length that Connection names',
    [POST, HOST, 'Connection: content-length', 'Content-Length: 4'],
    400,
  ],
  ['a cookie that Connection names', [GET, HOST, 'Connection: close, Cookie', 'Cookie: a=b'], 400],
  ['no Host', [GET], 400],
  ['two Hosts', [GET, HOST, 'Host: b'], 400],
  ['a Host with a path', [GET, 'Host: a/b'], 400],
  ['an absolute target', ['GET http://b/ HTTP/1.1', HOST], 400],
  ['CONNECT', ['CONNECT a:1 HTTP/1.1', HOST], 405],
  ['a space in the target', ['GET /a b HTTP/1.1', HOST], 400],
  ['HTTP/2', ['PRI * HTTP/2.0'], 400],
  ['no version', ['GET /'], 400],
  ['too many fields', [GET, HOST, ...Array.from({ length: 201 }, () => 'X: y')], 431],
])('a request with %s is refused', (_what, lines, status) => {
  expect(refusal(() => parse(lines))).toBe(status);
});

test('what a request tells is read', () => {
  expect(parse([POST, HOST, 'content-LENGTH:  12 '])).toMatchObject({ length: 12, host: 'a' });
  expect(parse([POST, HOST, 'Transfer-Encoding: Chunked']).length).toBe('chunked');
  expect(parse([GET, HOST]).keepsAlive).toBe(true);
  expect(parse([GET, HOST, 'Connection: Close']).keepsAlive).toBe(false);
  expect(parse(['GET / HTTP/1.0']).keepsAlive).toBe(false);
  const socket = [GET, HOST, 'Connection: keep-alive, Upgrade', 'Upgrade: WebSocket'];
  expect(parse(socket).isWebSocket).toBe(true);
  expect(parse([GET, HOST, 'Connection: Upgrade', 'Upgrade: h2c']).isWebSocket).toBe(false);
});

test('an answer that two could read differently is refused as the application’s fault', () => {
  const bad = (...lines: string[]) => refusal(() => parseResponseHead(lines.join('\r\n'), 'GET'));
  expect(bad('HTTP/1.1 200 OK', 'Content-Length: 1', 'Transfer-Encoding: chunked')).toBe(502);
  expect(bad('HTTP/1.1 200 OK', 'X: a\nb')).toBe(502);
  expect(bad('HTTP/1.1 2000 OK')).toBe(502);
  expect(bad('nonsense')).toBe(502);
  const answer = (text: string, method = 'GET') => parseResponseHead(text, method).length;
  expect(answer('HTTP/1.1 200 OK\r\nContent-Length: 7')).toBe(7);
  expect(answer('HTTP/1.1 200 OK\r\nContent-Length: 7', 'HEAD')).toBe(0);
  expect(answer('HTTP/1.1 304 Not Modified\r\nContent-Length: 7')).toBe(0);
  expect(answer('HTTP/1.0 200')).toBe('until-close');
});

describe('heads as they are passed on', () => {
  const facts = {
    ...({ scheme: 'http', clientAddress: '10.1.2.3', app: 'x' } as const),
    hidesAuthorization: false,
  };

  test('lose what belongs to one connection and what clients may not claim', () => {
    const head = parse([
      ...['GET /p HTTP/1.1', 'Host: h:81', 'Connection: close, X-Own', 'X-Own: 1', 'TE: trailers'],
      ...['X-Forwarded-For: 1.1.1.1', 'X-Forwarded-Proto: https', 'Forwarded: for=1.1.1.1'],
      ...['Upgrade: h2c', 'X-Kept: yes', 'Cookie: appproxy_permit_81=p; a=b', 'Range: bytes=0-1'],
    ]);
    expect(requestHeadFor(head, facts).split('\r\n').slice(0, -2)).toEqual([
      'GET /p HTTP/1.1',
      'Host: h:81',
      'X-Kept: yes',
      'Cookie: a=b',
      'Range: bytes=0-1',
      'X-Forwarded-Proto: http',
      'X-Forwarded-Host: h:81',
      'X-Forwarded-Port: 81',
      'X-Forwarded-For: 10.1.2.3',
      'Forwarded: host="h:81";proto=http',
    ]);
  });

  test('of rstudio tell where it is; the tokens of served models stay here', () => {
    const head = parse([GET, HOST, 'Authorization: Bearer t']);
    const studio = requestHeadFor(head, { ...facts, app: 'rstudio', hidesAuthorization: true });
    expect(studio).toContain('X-RStudio-Request: http://a/');
    expect(studio).not.toContain('Bearer');
    expect(requestHeadFor(head, facts)).toContain('Authorization: Bearer t');
  });

  test('of answers cannot set the platform’s cookies', () => {
    const head = parseResponseHead(
      [
        ...['HTTP/1.1 200 OK', 'Set-Cookie: AIOHTTP_SESSION=x', 'Set-Cookie: appproxy_permit_1=x'],
        ...['Set-Cookie: mine=1', 'Connection: close', 'Access-Control-Allow-Origin: https://x'],
      ].join('\r\n'),
      'GET',
    );
    const text = responseHeadFor(head, 'keep-alive');
    expect(text.match(/Set-Cookie: .*/g)).toEqual(['Set-Cookie: mine=1']);
    expect(text).toContain('Access-Control-Allow-Origin: *\r\nConnection: keep-alive\r\n');
    expect(text).not.toContain('https://x');
  });
});

/** Cuts bytes at the given places. */
function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length));
}

test('the end of a chunked body is found however it comes', () => {
  const chunk = fc.uint8Array({ minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(fc.array(chunk), fc.array(fc.nat()), fc.boolean(), (chunks, cuts, hasTrailer) => {
      const parts = chunks.flatMap((data) => [
        Buffer.from(`${data.length.toString(16)};ext=1\r\n`),
        Buffer.from(data),
        Buffer.from('\r\n'),
      ]);
      const trailer = hasTrailer ? 'X-Sum: 1\r\n' : '';
      const body = Buffer.concat([...parts, Buffer.from(`0\r\n${trailer}\r\n`)]);
      const next = Buffer.from('GET / HTTP/1.1');
      const reader = bodyReader('chunked');
      let taken = 0;
      for (const piece of pieces(Buffer.concat([body, next]), cuts)) {
        const { bytes, isComplete } = reader.read(piece);
        taken += bytes;
        if (isComplete) break;
      }
      expect(taken).toBe(body.length);
    }),
  );
});

test.each([
  ['a bare line feed after the size', '5\nhello\r\n0\r\n\r\n'],
  ['a size that is none', 'g\r\n'],
  ['a negative size', '-1\r\n'],
  ['an enormous size', `${'f'.repeat(20)}\r\n`],
  ['more than announced', '2\r\nabc\r\n'],
  ['a carriage return within an extension', '2;a\rb\r\n'],
  ['an endless extension', `2;${'a'.repeat(2000)}`],
  ['a folded trailer', '0\r\nA: b\r\n c\r\n\r\n'],
  ['endless trailers', `0\r\n${'A: b\r\n'.repeat(10_000)}`],
])('a chunked body with %s is refused', (_what, text) => {
  expect(() => bodyReader('chunked').read(Buffer.from(text, 'latin1'))).toThrow(ChunkError);
});
