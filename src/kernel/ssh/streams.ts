/** Moving bytes between channels, sockets and programs, each side at the pace of the other. */
import type { Duplex, Readable, Writable } from 'node:stream';

/** Writes and waits until there is room for more; false when the other side is gone. */
export function writeOut(stream: Writable, bytes: Uint8Array): Promise<boolean> {
  if (stream.destroyed || !stream.writable) return Promise.resolve(false);
  if (stream.write(bytes)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const settle = (is: boolean) => () => {
      stream.off('drain', onDrain);
      stream.off('close', onGone);
      stream.off('error', onGone);
      resolve(is);
    };
    const onDrain = settle(true);
    const onGone = settle(false);
    stream.once('drain', onDrain);
    stream.once('close', onGone);
    stream.once('error', onGone);
  });
}

/** What comes in, read as it is asked for. Its end leaves the way out open. */
export const chunksOf = (stream: Readable): AsyncIterable<Uint8Array> =>
  stream.iterator({ destroyOnReturn: false });

/** Connects two streams until both directions have ended or one of them broke. */
export function splice(left: Duplex, right: Duplex): void {
  const end = () => {
    left.destroy();
    right.destroy();
  };
  for (const [from, to] of [
    [left, right],
    [right, left],
  ] as const) {
    from.on('error', end);
    from.once('close', () => to.end());
    from.pipe(to);
  }
}
