/**
 * The live store: fast, shared, forgettable state (rate limits, last-seen times, web sessions,
 * event fan-out). Adapters: Redis and memory. One contract suite runs on both. Losing its content
 * may cost a login or a counter, never a session: PostgreSQL is the source of truth.
 */
import type { Subscription } from '../config/port.ts';

export interface StreamEntry {
  /** Grows monotonically within a stream. */
  readonly id: string;
  readonly fields: Readonly<Record<string, string>>;
}

export interface LiveStore {
  get(key: string): Promise<string | null>;
  /** The values of several keys at once, in their order. */
  getMany(keys: readonly string[]): Promise<(string | null)[]>;
  /** @param options.ttlMs lifetime in milliseconds; absent means until deleted. */
  set(
    key: string,
    value: string,
    options?: { ttlMs?: number; onlyIfAbsent?: boolean },
  ): Promise<boolean>;
  delete(...keys: string[]): Promise<number>;
  /** Adds `by` (default 1) and returns the new value. The lifetime is set when the key is new. */
  increment(key: string, options?: { by?: number; ttlMs?: number }): Promise<number>;
  /** @returns whether the key exists. */
  expire(key: string, ttlMs: number): Promise<boolean>;

  hashSet(key: string, fields: Readonly<Record<string, string>>): Promise<void>;
  hashGet(key: string, field: string): Promise<string | null>;
  hashGetAll(key: string): Promise<Record<string, string>>;
  hashDelete(key: string, ...fields: string[]): Promise<number>;

  sortedAdd(key: string, member: string, score: number): Promise<void>;
  /** Members with `min ≤ score ≤ max`, by score. */
  sortedRange(key: string, min: number, max: number): Promise<string[]>;
  sortedCount(key: string, min: number, max: number): Promise<number>;
  sortedRemove(key: string, ...members: string[]): Promise<number>;
  sortedRemoveByScore(key: string, min: number, max: number): Promise<number>;

  /**
   * Adds a member at `nowMs`, forgets members older than `windowMs`, and counts what is left: one
   * atomic step of a rolling rate-limit window.
   */
  slideWindow(key: string, member: string, nowMs: number, windowMs: number): Promise<number>;

  /** Appends and trims the stream to about `maxLength` entries. @returns the entry's id. */
  streamAdd(
    key: string,
    fields: Readonly<Record<string, string>>,
    maxLength: number,
  ): Promise<string>;
  /** Entries after `afterId` ("0": from the start), oldest first. */
  streamRead(key: string, afterId: string, count: number): Promise<StreamEntry[]>;
  /** The id of the last entry; null when there is none. */
  streamLast(key: string): Promise<string | null>;

  publish(channel: string, message: string): Promise<void>;
  /** Resolves once messages published from now on will arrive. */
  subscribe(channel: string, listener: (message: string) => void): Promise<Subscription>;

  ping(): Promise<void>;
  close(): Promise<void>;
}
