/** What every live store must do; run against each adapter by the tests beside it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { eventually } from '../../testing/services.ts';
import type { LiveStore } from './port.ts';

export interface LiveStoreSubject {
  readonly store: LiveStore;
  /** Moves an injected clock on by `ms`; does nothing where time passes by itself. */
  advance(ms: number): void;
  dispose(): Promise<void>;
}

interface Context {
  readonly store: LiveStore;
  newKey(): string;
  /** Waits until `condition` holds, letting time pass for the store. */
  until(what: string, condition: () => Promise<boolean>): Promise<void>;
}

/** Registers the suite for one adapter. */
export function liveStoreContract(name: string, setUp: () => Promise<LiveStoreSubject>): void {
  describe(name, () => {
    let subject: LiveStoreSubject;
    let count = 0;
    const context: Context = {
      get store() {
        return subject.store;
      },
      newKey: () => `k${++count}`,
      until: (what, condition) =>
        eventually(what, () => {
          subject.advance(25);
          return condition();
        }),
    };
    beforeAll(async () => {
      subject = await setUp();
    });
    afterAll(() => subject?.dispose());

    strings(context);
    collections(context);
    windowsAndStreams(context);
    messages(context);
  });
}

function strings(context: Context): void {
  test('a missing key reads as nothing', async () => {
    const key = context.newKey();
    expect(await context.store.get(key)).toBeNull();
    expect(await context.store.hashGet(key, 'f')).toBeNull();
    expect(await context.store.hashGetAll(key)).toEqual({});
    expect(await context.store.sortedRange(key, -Infinity, Infinity)).toEqual([]);
    expect(await context.store.streamRead(key, '0', 10)).toEqual([]);
    expect(await context.store.delete(key)).toBe(0);
    expect(await context.store.expire(key, 1000)).toBe(false);
  });

  test('values are kept exactly, empty and non-ASCII ones too', async () => {
    for (const value of ['', 'x', 'héllo\n漢字 🦀', 'a'.repeat(100_000)]) {
      const key = context.newKey();
      expect(await context.store.set(key, value)).toBe(true);
      expect(await context.store.get(key)).toBe(value);
    }
  });

  test('several keys are read at once, in their order', async () => {
    const [a, b] = [context.newKey(), context.newKey()];
    await context.store.set(a, '1');
    await context.store.set(b, '2');
    expect(await context.store.getMany([b, context.newKey(), a, b])).toEqual(['2', null, '1', '2']);
    expect(await context.store.getMany([])).toEqual([]);
  });

  test('onlyIfAbsent writes once', async () => {
    const key = context.newKey();
    expect(await context.store.set(key, 'a', { onlyIfAbsent: true })).toBe(true);
    expect(await context.store.set(key, 'b', { onlyIfAbsent: true })).toBe(false);
    expect(await context.store.get(key)).toBe('a');
  });

  test('delete counts the keys that were there', async () => {
    const [a, b] = [context.newKey(), context.newKey()];
    await context.store.set(a, '1');
    await context.store.set(b, '2');
    expect(await context.store.delete(a, b, context.newKey())).toBe(2);
    expect(await context.store.delete()).toBe(0);
    expect(await context.store.get(a)).toBeNull();
  });

  test('a value with a lifetime disappears, and set again without one stays', async () => {
    const [gone, kept] = [context.newKey(), context.newKey()];
    await context.store.set(kept, 'x', { ttlMs: 50 });
    await context.store.set(kept, 'y');
    await context.store.set(gone, 'x', { ttlMs: 100 });
    expect(await context.store.get(gone)).toBe('x');
    await context.until('expiry', async () => (await context.store.get(gone)) === null);
    expect(await context.store.get(kept)).toBe('y');
    expect(await context.store.set(gone, 'z', { onlyIfAbsent: true })).toBe(true);
  });

  test('expire gives any kind of key a lifetime', async () => {
    const key = context.newKey();
    await context.store.hashSet(key, { a: '1' });
    expect(await context.store.expire(key, 100)).toBe(true);
    await context.until('expiry', async () => (await context.store.hashGet(key, 'a')) === null);
  });

  test('increment counts, and its lifetime starts with the first', async () => {
    const [long, short] = [context.newKey(), context.newKey()];
    expect(await context.store.increment(long, { ttlMs: 60_000 })).toBe(1);
    expect(await context.store.increment(long, { by: 5, ttlMs: 1 })).toBe(6);
    expect(await context.store.increment(short, { ttlMs: 100 })).toBe(1);
    await context.until('expiry', async () => (await context.store.get(short)) === null);
    expect(await context.store.increment(long, { by: -2 })).toBe(4);
    expect(await context.store.increment(short)).toBe(1);
  });

  test('increments made at once are all counted', async () => {
    const key = context.newKey();
    await Promise.all(Array.from({ length: 50 }, () => context.store.increment(key)));
    expect(await context.store.get(key)).toBe('50');
  });
}

function collections(context: Context): void {
  test('hashes', async () => {
    const key = context.newKey();
    await context.store.hashSet(key, { a: '1', b: '2' });
    await context.store.hashSet(key, { b: '3', c: '' });
    await context.store.hashSet(key, {});
    expect(await context.store.hashGet(key, 'b')).toBe('3');
    expect(await context.store.hashGet(key, 'x')).toBeNull();
    expect(await context.store.hashGetAll(key)).toEqual({ a: '1', b: '3', c: '' });
    expect(await context.store.hashDelete(key, 'a', 'x')).toBe(1);
    expect(await context.store.hashDelete(key)).toBe(0);
    expect(await context.store.hashDelete(key, 'b', 'c')).toBe(2);
    expect(await context.store.expire(key, 1000)).toBe(false);
  });

  test('sorted sets are ordered by score, then by name', async () => {
    const key = context.newKey();
    for (const [member, score] of [
      ['c', 2],
      ['b', 1],
      ['a', 1],
      ['d', 3.5],
    ] as const) {
      await context.store.sortedAdd(key, member, score);
    }
    await context.store.sortedAdd(key, 'b', 9);
    expect(await context.store.sortedRange(key, -Infinity, Infinity)).toEqual(['a', 'c', 'd', 'b']);
    expect(await context.store.sortedRange(key, 2, 3.5)).toEqual(['c', 'd']);
    expect(await context.store.sortedCount(key, 1, 2)).toBe(2);
    expect(await context.store.sortedRemove(key, 'c', 'x')).toBe(1);
    expect(await context.store.sortedRemoveByScore(key, -Infinity, 3.5)).toBe(2);
    expect(await context.store.sortedRange(key, -Infinity, Infinity)).toEqual(['b']);
  });

  test('the wrong kind of key is an error', async () => {
    const key = context.newKey();
    await context.store.set(key, 'text');
    expect(context.store.hashGet(key, 'f')).rejects.toThrow();
    expect(context.store.sortedAdd(key, 'm', 1)).rejects.toThrow();
    expect(context.store.increment(key)).rejects.toThrow();
    expect(await context.store.get(key)).toBe('text');
  });
}

function windowsAndStreams(context: Context): void {
  test('a rolling window counts what lies within it', async () => {
    const key = context.newKey();
    expect(await context.store.slideWindow(key, 'a', 1000, 5000)).toBe(1);
    expect(await context.store.slideWindow(key, 'b', 2000, 5000)).toBe(2);
    expect(await context.store.slideWindow(key, 'b2', 6000, 5000)).toBe(3);
    expect(await context.store.slideWindow(key, 'c', 6001, 5000)).toBe(3);
    expect(await context.store.slideWindow(key, 'd', 20_000, 5000)).toBe(1);
  });

  test('a rolling window shared by many callers counts each once', async () => {
    const key = context.newKey();
    const counts = await Promise.all(
      Array.from({ length: 40 }, (_, i) => context.store.slideWindow(key, `m${i}`, 1000, 5000)),
    );
    expect(counts.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  });

  test('an idle window is forgotten', async () => {
    const key = context.newKey();
    await context.store.slideWindow(key, 'a', 1000, 100);
    await context.until(
      'expiry',
      async () => (await context.store.sortedCount(key, -Infinity, Infinity)) === 0,
    );
  });

  test('streams keep order, are read from any point and are trimmed', async () => {
    const key = context.newKey();
    const ids: string[] = [];
    for (let n = 0; n < 12; n++) ids.push(await context.store.streamAdd(key, { n: String(n) }, 10));
    expect(new Set(ids).size).toBe(12);
    const all = await context.store.streamRead(key, '0', 100);
    expect(all.map((entry) => entry.fields.n)).toEqual(
      Array.from({ length: 10 }, (_, i) => String(i + 2)),
    );
    expect(all.map((entry) => entry.id)).toEqual(ids.slice(2));
    const some = await context.store.streamRead(key, ids[4] ?? '', 3);
    expect(some.map((entry) => entry.fields.n)).toEqual(['5', '6', '7']);
    expect(await context.store.streamRead(key, ids[11] ?? '', 3)).toEqual([]);
    expect(await context.store.streamLast(key)).toBe(ids[11] ?? '');
    expect(await context.store.streamLast(context.newKey())).toBeNull();
  });
}

function messages(context: Context): void {
  test('messages reach the subscribers of their channel, in order, until closed', async () => {
    const [channel, other] = [context.newKey(), context.newKey()];
    const heard: string[] = [];
    const heardToo: string[] = [];
    await context.store.publish(channel, 'too early');
    const first = await context.store.subscribe(channel, (message) => heard.push(message));
    const second = await context.store.subscribe(channel, (message) => heardToo.push(message));
    await context.store.publish(other, 'elsewhere');
    for (let n = 0; n < 20; n++) await context.store.publish(channel, `m${n}`);
    await eventually('20 messages', () => heard.length >= 20 && heardToo.length >= 20);
    expect(heard).toEqual(Array.from({ length: 20 }, (_, n) => `m${n}`));
    await first.close();
    await first.close();
    await context.store.publish(channel, 'last');
    await eventually('the last message', () => heardToo.length >= 21);
    expect(heard).toHaveLength(20);
    await second.close();
  });

  test('answers a ping', async () => {
    await context.store.ping();
  });
}
