/** A task that runs in the background, as those who asked for it see it. */
import type { Clock } from '../../common/clock.ts';

export type TaskStatus = 'started' | 'done' | 'failed';

export class Task {
  readonly id: string;
  readonly name: string;
  status: TaskStatus = 'started';
  /** Of `total`, in entries. */
  current = 0;
  /** 0 as long as it is not known. */
  total = 0;
  message = '';
  /** Grows with every change. */
  version = 1;
  /** Null while it runs. */
  endedAt: Date | null = null;
  readonly #waiting = new Set<() => void>();

  constructor(id: string, name: string) {
    this.id = id;
    this.name = name;
  }

  #changed(): void {
    this.version += 1;
    for (const wake of [...this.#waiting]) wake();
  }

  expect(total: number): void {
    this.total = total;
    this.#changed();
  }

  advance(by: number): void {
    if (by === 0) return;
    this.current += by;
    this.total = Math.max(this.total, this.current);
    this.#changed();
  }

  finish(status: 'done' | 'failed', message: string, at: Date): void {
    this.status = status;
    this.message = message;
    this.endedAt = at;
    this.#changed();
  }

  /** Resolves when the version is another than `known`, or after `timeoutMs`. */
  async change(known: number, timeoutMs: number, clock: Clock): Promise<void> {
    if (this.version !== known || timeoutMs <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = clock.timer(timeoutMs, resolve);
    this.#waiting.add(resolve);
    await promise;
    timer.cancel();
    this.#waiting.delete(resolve);
  }

  toJson() {
    return {
      bgtask_id: this.id,
      task_name: this.name,
      status: this.status,
      current_progress: this.current,
      total_progress: this.total,
      message: this.message,
      version: this.version,
    };
  }
}
