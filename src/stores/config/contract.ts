/** What every configuration store must do; run against each adapter by the tests beside it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { eventually } from '../../testing/services.ts';
import type { ConfigChange, ConfigStore } from './port.ts';

export interface ConfigStoreSubject {
  readonly store: ConfigStore;
  /** Opens the same store once more, as another process would. */
  another(): Promise<ConfigStore>;
  /** A shell-free command that publishes `key` with `ttlMs`, prints `ready` and waits. */
  ownerCommand(key: string, ttlMs: number): string[];
  dispose(): Promise<void>;
}

interface Context {
  readonly store: ConfigStore;
  readonly subject: ConfigStoreSubject;
  /** A folder of the test's own. */
  newFolder(): string;
}

/** Registers the suite for one adapter. */
export function configStoreContract(name: string, setUp: () => Promise<ConfigStoreSubject>): void {
  describe(name, () => {
    let subject: ConfigStoreSubject;
    let count = 0;
    const context: Context = {
      get subject() {
        return subject;
      },
      get store() {
        return subject.store;
      },
      newFolder: () => `t${++count}`,
    };
    beforeAll(async () => {
      subject = await setUp();
    });
    afterAll(() => subject?.dispose());

    reading(context);
    writing(context);
    watching(context);
    ephemeral(context);
  });
}

/** Collects the changes of a watch. */
async function record(store: ConfigStore, prefix: string) {
  const changes: ConfigChange[] = [];
  const subscription = await store.watch(prefix, (change) => changes.push(change));
  return { changes, close: () => subscription.close() };
}

function reading(context: Context): void {
  test('a missing key reads as nothing', async () => {
    const folder = context.newFolder();
    expect(await context.store.get(`${folder}/x`)).toBeNull();
    expect(await context.store.list(folder)).toEqual(new Map());
    expect(await context.store.delete(`${folder}/x`)).toBe(false);
    expect(await context.store.deletePrefix(folder)).toBe(0);
  });

  test('values are kept exactly', async () => {
    const folder = context.newFolder();
    for (const value of ['', '127.0.0.1:8111', 'héllo\n漢字 🦀', 'x'.repeat(50_000)]) {
      await context.store.put(`${folder}/v`, value);
      expect(await context.store.get(`${folder}/v`)).toBe(value);
    }
  });

  test('a listing holds the prefix itself and what lies below it, in key order', async () => {
    const folder = context.newFolder();
    const below = [`${folder}/p`, `${folder}/p/`, `${folder}/p/a`, `${folder}/p/a%2Fb/c`];
    const beside = [
      `${folder}/p-x`,
      `${folder}/p.x`,
      `${folder}/p0`,
      `${folder}/pq`,
      `${folder}/o`,
    ];
    for (const key of [...beside, ...below.toReversed()]) await context.store.put(key, key);
    expect([...(await context.store.list(`${folder}/p`)).keys()]).toEqual(below);
    expect([...(await context.store.list(`${folder}/p/`)).keys()]).toEqual(below.slice(1));
    expect((await context.store.list(folder)).size).toBe(below.length + beside.length);
    const everything = await context.store.list('');
    expect(everything.get(`${folder}/p-x`)).toBe(`${folder}/p-x`);
  });

  test('pattern characters in keys mean nothing', async () => {
    const folder = context.newFolder();
    await context.store.put(`${folder}/a_b%/x`, '1');
    await context.store.put(`${folder}/aXbYY/x`, '2');
    expect([...(await context.store.list(`${folder}/a_b%`)).values()]).toEqual(['1']);
  });
}

function writing(context: Context): void {
  test('delete tells whether the key was there and leaves its children', async () => {
    const folder = context.newFolder();
    await context.store.put(`${folder}/a`, '1');
    await context.store.put(`${folder}/a/b`, '2');
    expect(await context.store.delete(`${folder}/a`)).toBe(true);
    expect(await context.store.delete(`${folder}/a`)).toBe(false);
    expect(await context.store.get(`${folder}/a/b`)).toBe('2');
  });

  test('deletePrefix takes the prefix and all below, and nothing beside', async () => {
    const folder = context.newFolder();
    for (const key of ['a', 'a/b', 'a/b/c', 'ab', 'a-b']) {
      await context.store.put(`${folder}/${key}`, '1');
    }
    expect(await context.store.deletePrefix(`${folder}/a`)).toBe(3);
    expect([...(await context.store.list(folder)).keys()]).toEqual([
      `${folder}/a-b`,
      `${folder}/ab`,
    ]);
  });

  test('putMany writes everything at once', async () => {
    const folder = context.newFolder();
    const entries = new Map(Array.from({ length: 100 }, (_, n) => [`${folder}/${n}`, `v${n}`]));
    await context.store.put(`${folder}/5`, 'old');
    await context.store.putMany(entries);
    await context.store.putMany(new Map());
    const listed = await context.store.list(folder);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(entries));
  });

  test('compareAndPut writes only over the expected value', async () => {
    const key = `${context.newFolder()}/k`;
    expect(await context.store.compareAndPut(key, 'a', 'b')).toBe(false);
    expect(await context.store.compareAndPut(key, null, 'a')).toBe(true);
    expect(await context.store.compareAndPut(key, null, 'b')).toBe(false);
    expect(await context.store.compareAndPut(key, 'x', 'b')).toBe(false);
    expect(await context.store.compareAndPut(key, 'a', 'b')).toBe(true);
    expect(await context.store.get(key)).toBe('b');
    await context.store.put(key, '');
    expect(await context.store.compareAndPut(key, null, 'c')).toBe(false);
    expect(await context.store.compareAndPut(key, '', 'c')).toBe(true);
  });

  test('of many who compare and put at once, one wins', async () => {
    const key = `${context.newFolder()}/k`;
    const won = await Promise.all(
      Array.from({ length: 20 }, (_, n) => context.store.compareAndPut(key, null, String(n))),
    );
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(await context.store.get(key)).toBe(String(won.indexOf(true)));
  });
}

function watching(context: Context): void {
  test('a watch tells each change at or below its prefix, in order, by whomever', async () => {
    const folder = context.newFolder();
    const other = await context.subject.another();
    await context.store.put(`${folder}/w/before`, 'known');
    const watch = await record(context.store, `${folder}/w`);
    await context.store.put(`${folder}/w`, 'self');
    await other.put(`${folder}/w/a`, '1');
    await other.put(`${folder}/wx`, 'beside');
    await context.store.put(`${folder}/w/a`, '2');
    await other.delete(`${folder}/w/a`);
    await context.store.putMany(new Map([[`${folder}/w/big`, 'x'.repeat(20_000)]]));
    await eventually('5 changes', () => watch.changes.length >= 5);
    await context.store.deletePrefix(`${folder}/w`);
    await eventually('8 changes', () => watch.changes.length >= 8);
    expect(watch.changes.slice(0, 5)).toEqual([
      { type: 'put', key: `${folder}/w`, value: 'self' },
      { type: 'put', key: `${folder}/w/a`, value: '1' },
      { type: 'put', key: `${folder}/w/a`, value: '2' },
      { type: 'delete', key: `${folder}/w/a` },
      { type: 'put', key: `${folder}/w/big`, value: 'x'.repeat(20_000) },
    ]);
    expect(new Set(watch.changes.slice(5).map((change) => change.key))).toEqual(
      new Set([`${folder}/w`, `${folder}/w/before`, `${folder}/w/big`]),
    );
    await watch.close();
    await other.close();
  });

  test('a write that changes nothing is not a change', async () => {
    const folder = context.newFolder();
    await context.store.put(`${folder}/a`, '1');
    const watch = await record(context.store, folder);
    await context.store.put(`${folder}/a`, '1');
    await context.store.put(`${folder}/b`, '2');
    await eventually('a change', () => watch.changes.length >= 1);
    expect(watch.changes).toEqual([{ type: 'put', key: `${folder}/b`, value: '2' }]);
    await watch.close();
  });

  test('a closed watch is silent, and others go on', async () => {
    const folder = context.newFolder();
    const closed = await record(context.store, folder);
    const open = await record(context.store, folder);
    await closed.close();
    await closed.close();
    await context.store.put(`${folder}/a`, '1');
    await eventually('a change', () => open.changes.length >= 1);
    expect(closed.changes).toEqual([]);
    await open.close();
  });

  test('many changes in a row are all told', async () => {
    const folder = context.newFolder();
    const watch = await record(context.store, folder);
    for (let n = 0; n < 200; n++) await context.store.put(`${folder}/n`, String(n));
    await eventually('200 changes', () => watch.changes.length >= 200);
    expect(watch.changes.map((change) => (change.type === 'put' ? change.value : null))).toEqual(
      Array.from({ length: 200 }, (_, n) => String(n)),
    );
    await watch.close();
  });
}

function ephemeral(context: Context): void {
  test('an ephemeral entry is there until closed', async () => {
    const folder = context.newFolder();
    const watch = await record(context.store, folder);
    const entry = await context.store.putEphemeral(`${folder}/e`, 'up', 2000);
    expect(await context.store.get(`${folder}/e`)).toBe('up');
    expect(await context.store.compareAndPut(`${folder}/e`, null, 'x')).toBe(false);
    await context.store.put(`${folder}/e/lasting`, 'kept');
    expect([...(await context.store.list(folder)).keys()]).toEqual([
      `${folder}/e`,
      `${folder}/e/lasting`,
    ]);
    expect([...(await context.store.listLasting(folder)).keys()]).toEqual([`${folder}/e/lasting`]);
    await context.store.delete(`${folder}/e/lasting`);
    await entry.close();
    await entry.close();
    expect(await context.store.get(`${folder}/e`)).toBeNull();
    const own = () => watch.changes.filter(({ key }) => key === `${folder}/e`);
    await eventually('both changes', () => own().length >= 2);
    expect(own()).toEqual([
      { type: 'put', key: `${folder}/e`, value: 'up' },
      { type: 'delete', key: `${folder}/e` },
    ]);
    await watch.close();
  });

  test('it goes when its owner is killed; another of a living owner stays', async () => {
    const folder = context.newFolder();
    const living = await context.store.putEphemeral(`${folder}/living`, 'up', 2000);
    const watch = await record(context.store, folder);
    const owner = Bun.spawn(context.subject.ownerCommand(`${folder}/dying`, 2000), {
      stdout: 'pipe',
      stderr: 'inherit',
    });
    const { value } = await owner.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe('ready\n');
    expect((await context.store.list(folder)).size).toBe(2);
    owner.kill('SIGKILL');
    await owner.exited;
    await eventually('expiry', async () => (await context.store.get(`${folder}/dying`)) === null);
    await eventually('its announcement', () =>
      watch.changes.some((change) => change.type === 'delete'),
    );
    expect(watch.changes.at(-1)).toEqual({ type: 'delete', key: `${folder}/dying` });
    // By now the living owner has outlived its first lease.
    expect(await context.store.get(`${folder}/living`)).toBe('up');
    await watch.close();
    await living.close();
  });

  test('closing the store withdraws what it published', async () => {
    const folder = context.newFolder();
    const other = await context.subject.another();
    await other.putEphemeral(`${folder}/e`, 'up', 60_000);
    await other.close();
    expect(await context.store.get(`${folder}/e`)).toBeNull();
  });
}
