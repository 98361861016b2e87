/** Moves a program's output to a consumer until the program and its output have ended. */
import type { Clock } from '../../common/clock.ts';
import type { ByteSource } from './spawn.ts';

/** How long output may stay silent after the program ended before its pipe is given up. */
const EXIT_GRACE_MS = 100;

/**
 * Reads `source` until its end. A background child may hold the pipe open after the program itself
 * has exited; then reading stops once nothing came for a short while.
 * @param consume is awaited before the next read, which is what holds the program back.
 */
export async function pump(
  source: ByteSource,
  exited: Promise<unknown>,
  consume: (chunk: Uint8Array) => Promise<void>,
  clock: Clock,
): Promise<void> {
  let readingSinceMs: number | null = null;
  let ended = false;
  const giveUpWhenSilent = () => {
    if (ended) return;
    if (readingSinceMs !== null && clock.monotonicMs() - readingSinceMs >= EXIT_GRACE_MS) {
      source.cancel();
      return;
    }
    clock.timer(EXIT_GRACE_MS / 2, giveUpWhenSilent);
  };
  exited.then(giveUpWhenSilent, giveUpWhenSilent);
  try {
    while (true) {
      readingSinceMs = clock.monotonicMs();
      const chunk = await source.read();
      readingSinceMs = null;
      if (chunk === null) return;
      await consume(chunk);
    }
  } finally {
    ended = true;
    source.cancel();
  }
}
