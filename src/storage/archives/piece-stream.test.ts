/** How much of an archive waits in memory for whoever reads it. */
import { expect, test } from 'bun:test';
import { AHEAD, PieceStream } from './piece-stream.ts';

test('a reader that stands still after reading much has no more pieces made than it has room for', async () => {
  let asked = 0;
  let made = 0;
  const stream = new PieceStream(
    () => {
      asked += 1;
    },
    () => {},
  );
  const reader = stream.open().getReader();
  for (let read = 0; read < 200; read += 1) {
    const next = reader.read();
    if (made === read) {
      made += 1;
      stream.add(new Uint8Array([read]));
    }
    expect((await next).value).toEqual(new Uint8Array([read]));
    expect(asked - read - 1).toBeLessThanOrEqual(AHEAD);
  }
  while (made < asked) {
    made += 1;
    stream.add(new Uint8Array([0]));
  }
  expect(made - 200).toBe(AHEAD);
  expect(stream.end(null)).toBe(true);
});
