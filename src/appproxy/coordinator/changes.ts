/**
 * Tells the coordinators on one database what happens: a worker's circuits have changed, a worker
 * has taken a version up, or could not serve a circuit. Missing one only costs time.
 */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';

const CHANNEL = 'appproxy';
/** Longest part of a message that is passed on; PostgreSQL's payloads are limited. */
const MAX_MESSAGE = 500;

const notice = v.variant('kind', [
  v.object({ kind: v.literal('changed'), worker: v.string() }),
  v.object({ kind: v.literal('applied'), worker: v.string(), version: v.number() }),
  v.object({ kind: v.literal('failed'), circuit: v.string(), message: v.string() }),
  /** Something may have been missed. */
  v.object({ kind: v.literal('anything') }),
]);
type Notice = v.InferOutput<typeof notice>;
type Listener = (notice: Notice) => void;

export class Changes {
  readonly #sql: Sql;
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();
  #unlisten: () => Promise<void> = async () => {};

  private constructor(sql: Sql, clock: Clock) {
    this.#sql = sql;
    this.#clock = clock;
  }

  static async open(sql: Sql, clock: Clock): Promise<Changes> {
    const changes = new Changes(sql, clock);
    const { unlisten } = await sql.listen(
      CHANNEL,
      (payload) => changes.#heard(payload),
      // Also after a lost connection: what was said meanwhile was missed.
      () => changes.#tell({ kind: 'anything' }),
    );
    changes.#unlisten = unlisten;
    return changes;
  }

  #heard(payload: string): void {
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), notice), payload);
    if (parsed.success) this.#tell(parsed.output);
  }

  #tell(told: Notice): void {
    for (const listener of [...this.#listeners]) listener(told);
  }

  async #say(said: Notice): Promise<void> {
    await this.#sql.notify(CHANNEL, JSON.stringify(said));
  }

  changed(worker: string): Promise<void> {
    return this.#say({ kind: 'changed', worker });
  }

  applied(worker: string, version: number): Promise<void> {
    return this.#say({ kind: 'applied', worker, version });
  }

  failed(circuit: string, message: string): Promise<void> {
    return this.#say({ kind: 'failed', circuit, message: message.slice(0, MAX_MESSAGE) });
  }

  /**
   * Waits until `listen` answers with something, as it is told of what happens.
   * @param act runs once the waiting has begun, so that nothing is missed; it may answer by itself.
   * @returns null when `timeoutMs` pass or `signal` aborts first.
   */
  async wait<T>(options: {
    readonly listen: (notice: Notice) => T | null;
    readonly act: () => Promise<T | null>;
    readonly timeoutMs: number;
    readonly signal?: AbortSignal;
  }): Promise<T | null> {
    const { listen, act, timeoutMs, signal } = options;
    const { promise, resolve } = Promise.withResolvers<T | null>();
    const listener: Listener = (told) => {
      const answer = listen(told);
      if (answer !== null) resolve(answer);
    };
    const giveUp = () => resolve(null);
    this.#listeners.add(listener);
    const timer = this.#clock.timer(timeoutMs, giveUp);
    signal?.addEventListener('abort', giveUp);
    try {
      return (await act()) ?? (await promise);
    } finally {
      this.#listeners.delete(listener);
      timer.cancel();
      signal?.removeEventListener('abort', giveUp);
    }
  }

  async close(): Promise<void> {
    this.#tell({ kind: 'anything' });
    await this.#unlisten();
  }
}
