/** Multipart answers and event streams, cut into pieces at every place. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { multipartBodies } from './multipart.ts';
import { readEvents, type ServerSentEvent } from './sse.ts';

const TYPE = 'multipart/mixed; boundary="xyz"';

function multipart(parts: readonly Uint8Array[]): Uint8Array {
  const pieces = parts.flatMap((part) => [
    Buffer.from('--xyz\r\nContent-Type: application/x-tar\r\n\r\n'),
    part,
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...pieces, Buffer.from('--xyz--\r\n')]);
}

test('multipart bodies come back unchanged', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 4 }), (parts) => {
      const found = multipartBodies(multipart(parts), TYPE).map((part) => [...part]);
      expect(found).toEqual(parts.map((part) => [...part]));
    }),
  );
});

test('a multipart answer that is cut off is an error', () => {
  const whole = multipart([Buffer.from('abc')]);
  expect(() => multipartBodies(whole.subarray(0, whole.length - 12), TYPE)).toThrow('cut off');
  expect(() => multipartBodies(whole, 'text/plain')).toThrow('multipart');
});

async function events(chunks: readonly Uint8Array[]): Promise<ServerSentEvent[]> {
  async function* body() {
    yield* chunks;
  }
  const found: ServerSentEvent[] = [];
  for await (const event of readEvents(body())) found.push(event);
  return found;
}

const STREAM = Buffer.from(
  ': ping\n\nevent: session_started\r\ndata: {"a":\r\ndata: "é"}\r\n\r\ndata: x\nretry: 5\n\n' +
    'event: server_close\ndata: {}\n\nevent: never\ndata: y\n\n',
);

test('events do not depend on how the stream is cut', async () => {
  const expected = [
    { event: 'session_started', data: '{"a":\n"é"}' },
    { event: 'message', data: 'x' },
  ];
  for (let at = 0; at <= STREAM.length; at++) {
    expect(await events([STREAM.subarray(0, at), STREAM.subarray(at)])).toEqual(expected);
  }
});

test('an endless event is refused', async () => {
  const chunk = Buffer.alloc(512 * 1024, 'x');
  await expect(events([Buffer.from('data: '), chunk, chunk, chunk])).rejects.toThrow('too large');
});
