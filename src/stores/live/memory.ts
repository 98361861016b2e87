/**
 * The live store inside one process, for `up` and for tests. Time comes from the injected clock, and
 * nothing grows without bound: the store keeps at most `maxKeys` keys and a collection at most
 * `maxMembers` members. Beyond that the least recently written key, or the oldest member (the one
 * with the lowest score of a sorted set), is forgotten, which the port allows.
 */
import type { Clock } from '../../common/clock.ts';
import type { Subscription } from '../config/port.ts';
import type { LiveStore, StreamEntry } from './port.ts';
import { compareStreamIds, nextStreamId } from './stream-id.ts';

export interface MemoryLiveStoreOptions {
  readonly clock: Clock;
  /** Largest number of keys. Default 100 000. */
  readonly maxKeys?: number;
  /** Largest number of fields, members or entries of one key. Default 100 000. */
  readonly maxMembers?: number;
  /** Told about errors that subscribers throw; without it they are uncaught exceptions. */
  readonly onListenerError?: (error: unknown) => void;
}

type Value =
  | { readonly kind: 'string'; text: string }
  | { readonly kind: 'hash'; readonly fields: Map<string, string> }
  | SortedSet
  | { readonly kind: 'stream'; readonly entries: StreamEntry[]; lastId: string };
interface SortedSet {
  readonly kind: 'sorted';
  readonly scores: Map<string, number>;
  /** Whether members stand in the order of their scores, so that the lowest are the first. */
  ordered: boolean;
  /** Highest score while they do. */
  highest: number;
}
type Kind = Value['kind'];
type ValueOf<K extends Kind> = Extract<Value, { kind: K }>;

interface Slot {
  readonly value: Value;
  /** Monotonic milliseconds; null lives until deleted. */
  expiresAtMs: number | null;
}

const fresh: { [K in Kind]: () => ValueOf<K> } = {
  string: () => ({ kind: 'string', text: '' }),
  hash: () => ({ kind: 'hash', fields: new Map() }),
  sorted: () => ({ kind: 'sorted', scores: new Map(), ordered: true, highest: -Infinity }),
  stream: () => ({ kind: 'stream', entries: [], lastId: '0-0' }),
};

function isKind<K extends Kind>(value: Value, kind: K): value is ValueOf<K> {
  return value.kind === kind;
}

/** The keys with their lifetimes: the part of the store that forgets. */
class Keyspace {
  readonly #slots = new Map<string, Slot>();
  readonly #clock: Clock;
  readonly #maxKeys: number;

  constructor(clock: Clock, maxKeys: number) {
    this.#clock = clock;
    this.#maxKeys = maxKeys;
  }

  slot(key: string): Slot | undefined {
    const slot = this.#slots.get(key);
    if (!slot) return undefined;
    if (slot.expiresAtMs === null || slot.expiresAtMs > this.#clock.monotonicMs()) return slot;
    this.#slots.delete(key);
    return undefined;
  }

  /** @throws TypeError when the key holds another kind of value. */
  find<K extends Kind>(key: string, kind: K): ValueOf<K> | undefined {
    const value = this.slot(key)?.value;
    if (!value) return undefined;
    if (!isKind(value, kind)) throw new TypeError(`'${key}' holds a ${value.kind}, not a ${kind}`);
    return value;
  }

  /** Finds or makes the value and marks the key as recently written. */
  touch<K extends Kind>(key: string, kind: K): ValueOf<K> {
    const found = this.find(key, kind);
    const value = found ?? fresh[kind]();
    const slot = this.slot(key) ?? { value, expiresAtMs: null };
    this.#slots.delete(key);
    this.#makeRoom();
    this.#slots.set(key, slot);
    return value;
  }

  delete(key: string): boolean {
    return this.slot(key) !== undefined && this.#slots.delete(key);
  }

  expire(key: string, ttlMs: number | null): boolean {
    const slot = this.slot(key);
    if (!slot) return false;
    slot.expiresAtMs = ttlMs === null ? null : this.#clock.monotonicMs() + ttlMs;
    return true;
  }

  clear(): void {
    this.#slots.clear();
  }

  #makeRoom(): void {
    if (this.#slots.size < this.#maxKeys) return;
    const now = this.#clock.monotonicMs();
    for (const [key, slot] of this.#slots) {
      if (slot.expiresAtMs !== null && slot.expiresAtMs <= now) this.#slots.delete(key);
    }
    for (const key of this.#slots.keys()) {
      if (this.#slots.size < this.#maxKeys) return;
      this.#slots.delete(key);
    }
  }
}

/** Removes the oldest entries of a map until it has at most `max`. */
function trimOldest(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return;
    map.delete(key);
  }
}

const byScore = (a: [string, number], b: [string, number]): number =>
  a[1] - b[1] || (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0);

function removeByScore(scores: Map<string, number>, matches: (score: number) => boolean): number {
  let removed = 0;
  for (const [member, score] of scores) {
    if (matches(score) && scores.delete(member)) removed += 1;
  }
  return removed;
}

/** Removes what has a lower score; where members are in order it looks at no others. */
function removeBelow({ scores, ordered }: SortedSet, lowest: number): void {
  for (const [member, score] of scores) {
    if (score < lowest) scores.delete(member);
    else if (ordered) return;
  }
}

function throwError(error: unknown): never {
  throw error;
}

class MemoryLiveStore implements LiveStore {
  readonly #keys: Keyspace;
  readonly #clock: Clock;
  readonly #maxMembers: number;
  readonly #onListenerError: (error: unknown) => void;
  readonly #channels = new Map<string, Set<(message: string) => void>>();

  constructor(options: MemoryLiveStoreOptions) {
    this.#clock = options.clock;
    this.#keys = new Keyspace(options.clock, options.maxKeys ?? 100_000);
    this.#maxMembers = options.maxMembers ?? 100_000;
    this.#onListenerError = options.onListenerError ?? throwError;
  }

  async get(key: string): Promise<string | null> {
    return this.#keys.find(key, 'string')?.text ?? null;
  }

  async getMany(keys: readonly string[]): Promise<(string | null)[]> {
    return keys.map((key) => this.#keys.find(key, 'string')?.text ?? null);
  }

  async set(
    key: string,
    value: string,
    options: { ttlMs?: number; onlyIfAbsent?: boolean } = {},
  ): Promise<boolean> {
    if (options.onlyIfAbsent && this.#keys.slot(key)) return false;
    this.#keys.delete(key);
    this.#keys.touch(key, 'string').text = value;
    this.#keys.expire(key, options.ttlMs ?? null);
    return true;
  }

  async delete(...keys: string[]): Promise<number> {
    return keys.filter((key) => this.#keys.delete(key)).length;
  }

  async increment(key: string, options: { by?: number; ttlMs?: number } = {}): Promise<number> {
    const present = this.#keys.find(key, 'string');
    if (present && !/^-?\d+$/.test(present.text)) {
      throw new TypeError(`'${key}' does not hold an integer`);
    }
    const next = Number(present?.text ?? '0') + (options.by ?? 1);
    this.#keys.touch(key, 'string').text = String(next);
    if (!present && options.ttlMs !== undefined) this.#keys.expire(key, options.ttlMs);
    return next;
  }

  async expire(key: string, ttlMs: number): Promise<boolean> {
    return this.#keys.expire(key, ttlMs);
  }

  async hashSet(key: string, fields: Readonly<Record<string, string>>): Promise<void> {
    const entries = Object.entries(fields);
    if (entries.length === 0) return;
    const hash = this.#keys.touch(key, 'hash').fields;
    for (const [field, value] of entries) hash.set(field, value);
    trimOldest(hash, this.#maxMembers);
  }

  async hashGet(key: string, field: string): Promise<string | null> {
    return this.#keys.find(key, 'hash')?.fields.get(field) ?? null;
  }

  async hashGetAll(key: string): Promise<Record<string, string>> {
    return Object.fromEntries(this.#keys.find(key, 'hash')?.fields ?? []);
  }

  async hashDelete(key: string, ...fields: string[]): Promise<number> {
    const hash = this.#keys.find(key, 'hash')?.fields;
    if (!hash) return 0;
    const removed = fields.filter((field) => hash.delete(field)).length;
    if (hash.size === 0) this.#keys.delete(key);
    return removed;
  }

  async sortedAdd(key: string, member: string, score: number): Promise<void> {
    this.#addScore(key, member, score);
  }

  async sortedRange(key: string, min: number, max: number): Promise<string[]> {
    return [...(this.#keys.find(key, 'sorted')?.scores ?? [])]
      .filter(([, score]) => score >= min && score <= max)
      .sort(byScore)
      .map(([member]) => member);
  }

  async sortedCount(key: string, min: number, max: number): Promise<number> {
    let count = 0;
    for (const score of this.#keys.find(key, 'sorted')?.scores.values() ?? []) {
      if (score >= min && score <= max) count += 1;
    }
    return count;
  }

  async sortedRemove(key: string, ...members: string[]): Promise<number> {
    const scores = this.#keys.find(key, 'sorted')?.scores;
    if (!scores) return 0;
    const removed = members.filter((member) => scores.delete(member)).length;
    if (scores.size === 0) this.#keys.delete(key);
    return removed;
  }

  async sortedRemoveByScore(key: string, min: number, max: number): Promise<number> {
    const scores = this.#keys.find(key, 'sorted')?.scores;
    if (!scores) return 0;
    const removed = removeByScore(scores, (score) => score >= min && score <= max);
    if (scores.size === 0) this.#keys.delete(key);
    return removed;
  }

  async slideWindow(key: string, member: string, nowMs: number, windowMs: number): Promise<number> {
    const known = this.#keys.find(key, 'sorted');
    if (known) removeBelow(known, nowMs - windowMs);
    const scores = this.#addScore(key, member, nowMs);
    this.#keys.expire(key, windowMs);
    return scores.size;
  }

  async streamAdd(
    key: string,
    fields: Readonly<Record<string, string>>,
    maxLength: number,
  ): Promise<string> {
    const stream = this.#keys.touch(key, 'stream');
    stream.lastId = nextStreamId(stream.lastId, this.#clock.now().getTime());
    stream.entries.push({ id: stream.lastId, fields: { ...fields } });
    const excess = stream.entries.length - Math.min(maxLength, this.#maxMembers);
    if (excess > 0) stream.entries.splice(0, excess);
    return stream.lastId;
  }

  async streamRead(key: string, afterId: string, count: number): Promise<StreamEntry[]> {
    const entries = this.#keys.find(key, 'stream')?.entries ?? [];
    const start = entries.findIndex((entry) => compareStreamIds(entry.id, afterId) > 0);
    return start < 0 ? [] : entries.slice(start, start + count);
  }

  async streamLast(key: string): Promise<string | null> {
    return this.#keys.find(key, 'stream')?.entries.at(-1)?.id ?? null;
  }

  async publish(channel: string, message: string): Promise<void> {
    for (const deliver of this.#channels.get(channel) ?? []) {
      queueMicrotask(() => deliver(message));
    }
  }

  async subscribe(channel: string, listener: (message: string) => void): Promise<Subscription> {
    const listeners = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, listeners);
    const deliver = (message: string) => {
      // The subscription may have been closed between publication and delivery.
      if (!listeners.has(deliver)) return;
      try {
        listener(message);
      } catch (error) {
        this.#onListenerError(error);
      }
    };
    listeners.add(deliver);
    return {
      close: async () => {
        listeners.delete(deliver);
        if (listeners.size === 0 && this.#channels.get(channel) === listeners) {
          this.#channels.delete(channel);
        }
      },
    };
  }

  /** @returns all scores of the key. Never waits, so that `slideWindow` is one atomic step. */
  #addScore(key: string, member: string, score: number): ReadonlyMap<string, number> {
    const sorted = this.#keys.touch(key, 'sorted');
    const { scores } = sorted;
    if (scores.has(member) || score < sorted.highest) sorted.ordered = false;
    else sorted.highest = score;
    scores.set(member, score);
    if (scores.size > this.#maxMembers) {
      const lowest = sorted.ordered
        ? scores.keys().next().value
        : [...scores].reduce((a, b) => (byScore(a, b) <= 0 ? a : b))[0];
      if (lowest !== undefined) scores.delete(lowest);
    }
    return scores;
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {
    for (const listeners of this.#channels.values()) listeners.clear();
    this.#channels.clear();
    this.#keys.clear();
  }
}

/** A live store in this process's memory. */
export function createMemoryLiveStore(options: MemoryLiveStoreOptions): LiveStore {
  return new MemoryLiveStore(options);
}
