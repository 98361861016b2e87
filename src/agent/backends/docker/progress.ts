/** What a daemon tells while it pulls or pushes an image: lines of JSON, an error among them. */
import type { Readable } from 'node:stream';
import * as v from 'valibot';
import type { Clock } from '../../../common/clock.ts';

/** A transfer that makes no progress for this long is given up. */
export const STALL_MS = 5 * 60 * 1000;
const MAX_LINE_CHARACTERS = 1024 * 1024;

const progressLine = v.object({ error: v.optional(v.string()) });

/** Reads to the end. @throws Error that the daemon tells; when it tells nothing for long; on abort. */
export async function followProgress(
  stream: Readable,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const stop = () => stream.destroy(new Error('the transfer was given up'));
  signal.addEventListener('abort', stop, { once: true });
  let timer = clock.timer(STALL_MS, stop);
  let rest = '';
  try {
    for await (const chunk of stream) {
      timer.cancel();
      timer = clock.timer(STALL_MS, stop);
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE_CHARACTERS) throw new Error('the daemon sent too long a line');
      for (const line of lines) {
        if (line.trim() === '') continue;
        const { error } = v.parse(progressLine, JSON.parse(line));
        if (error !== undefined) throw new Error(error);
      }
    }
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', stop);
    stream.destroy();
  }
}
