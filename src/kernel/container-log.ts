/**
 * Echoes what user programs print to the runner's own standard output and error, which is what the
 * container's log shows. A log nobody reads must not stop the programs.
 */
import { write } from 'node:fs';
import type { Clock } from '../common/clock.ts';

/** Bytes waiting to be written before programs are slowed down. */
const MAX_PENDING_BYTES = 256 * 1024;
/** How long a program is slowed down for a stuck log before the log loses output instead. */
const STUCK_AFTER_MS = 1000;
const RETRY_MS = 20;

export class ContainerLog {
  private readonly clock: Clock;
  private pendingBytes = 0;
  private tail: Promise<void> = Promise.resolve();
  private lossy = false;
  private broken = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Queues `bytes`; resolves when there is room for more. Never rejects. */
  async write(fd: 1 | 2, bytes: Uint8Array): Promise<void> {
    if (this.broken) return;
    if (this.pendingBytes >= MAX_PENDING_BYTES) {
      if (this.lossy) return;
      await Promise.race([this.tail, this.clock.sleep(STUCK_AFTER_MS)]);
      if (this.pendingBytes >= MAX_PENDING_BYTES) {
        this.lossy = true;
        return;
      }
    }
    this.pendingBytes += bytes.length;
    this.tail = this.tail.then(() => this.writeAll(fd, bytes));
  }

  /** Resolves when everything queued is written, or after `timeoutMs`. */
  async flush(timeoutMs: number): Promise<void> {
    await Promise.race([this.tail, this.clock.sleep(timeoutMs)]);
  }

  private async writeAll(fd: number, bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 && !this.broken) {
      const outcome = await writeSome(fd, rest);
      if (outcome === 'again') await this.clock.sleep(RETRY_MS);
      else if (outcome === 'broken') this.broken = true;
      else rest = rest.subarray(outcome);
    }
    this.pendingBytes -= bytes.length;
    this.lossy = false;
  }
}

/** EPIPE and the like mean that nobody reads the log any more; that is no reason to stop. */
function writeSome(fd: number, bytes: Uint8Array): Promise<number | 'again' | 'broken'> {
  return new Promise((resolve) => {
    write(fd, bytes, 0, bytes.length, null, (error, written) => {
      if (error === null) resolve(written);
      else resolve(error.code === 'EAGAIN' ? 'again' : 'broken');
    });
  });
}
