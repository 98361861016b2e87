/**
 * Brings a program's two output streams and its events into one order: both streams stop at mark N,
 * event N is handled, both go on.
 */
export class Barrier {
  private readonly handle: (mark: string) => Promise<void>;
  private waiting: { stream: string; mark: string; release: () => void } | null = null;
  private lastSequence = 0;

  /** @param handle is called once for each mark, after all output before it was delivered. */
  constructor(handle: (mark: string) => Promise<void>) {
    this.handle = handle;
  }

  /** A stream has reached a mark, `<sequence>` or `<sequence> <anything>`; sequences only grow. */
  async arrive(stream: string, mark: string): Promise<void> {
    const sequence = Number.parseInt(mark, 10);
    if (!(sequence > this.lastSequence)) return;
    const other = this.waiting;
    if (other === null || other.stream === stream) {
      await new Promise<void>((resolve) => {
        this.waiting = { stream, mark, release: resolve };
      });
      return;
    }
    this.waiting = null;
    this.lastSequence = sequence;
    try {
      await this.handle(mark);
    } finally {
      other.release();
    }
  }

  /** One stream has ended, so marks of the other no longer have a counterpart. */
  abandon(): void {
    this.waiting?.release();
    this.waiting = null;
    this.lastSequence = Number.POSITIVE_INFINITY;
  }
}
