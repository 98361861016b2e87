/** Output that arrives between runs, kept for the next one: the last part of it, that is. */
import type { RunSink } from './run.ts';

const MAX_BYTES = 64 * 1024;

export class IdleOutputBuffer {
  private chunks: { stream: 'stdout' | 'stderr'; bytes: Uint8Array }[] = [];
  private bytes = 0;

  add(stream: 'stdout' | 'stderr', chunk: Uint8Array): void {
    this.chunks.push({ stream, bytes: chunk });
    this.bytes += chunk.length;
    while (this.bytes > MAX_BYTES && this.chunks.length > 1) {
      this.bytes -= this.chunks.shift()?.bytes.length ?? 0;
    }
  }

  /** Moves what was kept to a run, which thereby begins with it. */
  async drainTo(sink: Pick<RunSink, 'earlier'>): Promise<void> {
    const chunks = this.chunks;
    this.chunks = [];
    this.bytes = 0;
    for (const { stream, bytes } of chunks) await sink.earlier(stream, bytes);
  }
}
