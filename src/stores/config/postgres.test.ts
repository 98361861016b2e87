/** The configuration store in PostgreSQL: the contract, and a server that goes away. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import postgres from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { jumpingClock } from '../../testing/control-plane.ts';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import { eventually, freePort } from '../../testing/services.ts';
import { configStoreContract } from './contract.ts';
import type { ConfigChange } from './port.ts';
import { openPostgresConfigStore } from './postgres.ts';
import { CHANNEL } from './store.ts';

const log = { warn: () => {} };
const ownerProgram = join(import.meta.dir, '../../testing/config-owner.ts');

configStoreContract('PostgreSQL configuration store', async () => {
  const db = await testDatabase();
  const another = () => openPostgresConfigStore({ sql: db.sql, log });
  const store = await another();
  return {
    store,
    another,
    ownerCommand: (key, ttlMs) => [
      ...[process.execPath, ownerProgram, 'postgres', db.url, '', key, String(ttlMs)],
    ],
    dispose: async () => {
      await store.close();
      await db.drop();
    },
  };
});

/** A TCP relay to `target` that can be cut, standing for a server that goes away and returns. */
class Relay {
  readonly port: number;
  readonly #target: { host: string; port: number };
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;

  constructor(port: number, target: { host: string; port: number }) {
    this.port = port;
    this.#target = target;
  }

  open(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server = createServer((near) => {
        const far = createConnection(this.#target);
        for (const [from, to] of [
          [near, far],
          [far, near],
        ] as const) {
          this.#sockets.add(from);
          from.on('close', () => {
            this.#sockets.delete(from);
            to.destroy();
          });
          from.on('error', () => to.destroy());
          from.pipe(to);
        }
      });
      this.#server.once('error', reject);
      this.#server.listen(this.port, '127.0.0.1', resolve);
    });
  }

  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    const closed = new Promise<void>((resolve) =>
      server ? server.close(() => resolve()) : resolve(),
    );
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

describe('PostgreSQL going away', () => {
  let db: TestDatabase;
  let relay: Relay;
  let relayedUrl: string;

  beforeAll(async () => {
    db = await testDatabase();
    const url = new URL(db.url);
    relay = new Relay(await freePort(), { host: url.hostname, port: Number(url.port) });
    await relay.open();
    url.hostname = '127.0.0.1';
    url.port = String(relay.port);
    relayedUrl = url.href;
  });
  afterAll(async () => {
    await relay?.cut();
    await db?.drop();
  });

  test('a watch tells what changed meanwhile, and goes on', async () => {
    const sql = postgres(relayedUrl, { connect_timeout: 2, max: 2 });
    const direct = await openPostgresConfigStore({ sql: db.sql, log });
    const store = await openPostgresConfigStore({ sql, log, timeoutMs: 3000 });
    await store.put('w/gone', '1');
    await store.put('w/kept', '1');
    const changes: ConfigChange[] = [];
    const watch = await store.watch('w', (change) => changes.push(change));

    await relay.cut();
    const error = await store.get('w/kept').catch((thrown) => thrown);
    expect(error).toBeInstanceOf(BackendError);
    expect(error.message).toContain(`127.0.0.1:${relay.port}`);
    await direct.delete('w/gone');
    await direct.put('w/new', '2');
    await relay.open();

    await eventually('the changes', () => changes.length >= 2);
    expect(changes).toEqual([
      { type: 'delete', key: 'w/gone' },
      { type: 'put', key: 'w/new', value: '2' },
    ]);
    await direct.put('w/later', '3');
    await eventually('a later change', () => changes.length >= 3);
    await watch.close();
    await store.close();
    await direct.close();
    await sql.end({ timeout: 1 });
  });

  test('a change that could not be read is found later', async () => {
    const clock = jumpingClock();
    const warnings: string[] = [];
    const warn = (message: string) => void warnings.push(message);
    const store = await openPostgresConfigStore({
      ...{ sql: db.sql, clock, timeoutMs: 200 },
      log: { warn },
    });
    const changes: ConfigChange[] = [];
    const watch = await store.watch('l', (change) => changes.push(change));
    const value = 'x'.repeat(5000);
    await db.sql.begin(async (tx) => {
      await tx`lock table config_entries in access exclusive mode`;
      // As for a value that is too large to be announced itself: whoever hears of it must read it.
      const announced = { type: 'put', key: 'l/big', value: null, ttlMs: null };
      await db.sql`select pg_notify(${CHANNEL}, ${JSON.stringify(announced)})`;
      await eventually('the failure', () => warnings.length > 0);
      await tx`insert into config_entries (key, value) values ('l/big', ${value})`;
    });
    expect(changes).toEqual([]);
    clock.jump(5000);
    await eventually('the change', () => changes.length > 0);
    expect(changes).toEqual([{ type: 'put', key: 'l/big', value }]);
    await watch.close();
    await store.close();
  });

  test('an announcement of another version is looked into', async () => {
    const store = await openPostgresConfigStore({ sql: db.sql, log });
    const changes: ConfigChange[] = [];
    const watch = await store.watch('v', (change) => changes.push(change));
    await db.sql`insert into config_entries (key, value) values ('v/new', '1')`;
    await db.sql`select pg_notify(${CHANNEL}, 'not JSON')`;
    await eventually('the change', () => changes.length > 0);
    expect(changes).toEqual([{ type: 'put', key: 'v/new', value: '1' }]);
    await watch.close();
    await store.close();
  });

  test('nobody listening is told with the address', async () => {
    const port = await freePort();
    const sql = postgres(`postgres://u:p@127.0.0.1:${port}/d`, { connect_timeout: 2 });
    const error = await openPostgresConfigStore({ sql, log }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(BackendError);
    expect(error.problem).toBe('ServiceUnavailable');
    expect(error.message).toContain(`127.0.0.1:${port}`);
    await sql.end({ timeout: 1 });
  });

  test('several may create the table at once', async () => {
    const fresh = await testDatabase();
    const stores = await Promise.all(
      Array.from({ length: 5 }, () => openPostgresConfigStore({ sql: fresh.sql, log })),
    );
    await stores[0]?.put('a', '1');
    expect(await stores[4]?.get('a')).toBe('1');
    await Promise.all(stores.map((store) => store.close()));
    await fresh.drop();
  });
});
