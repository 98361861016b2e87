/** The live store in Redis: the contract, and a server that goes away. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { BackendError } from '../../common/errors.ts';
import { failure } from '../../testing/failure.ts';
import {
  eventually,
  freePort,
  missingTool,
  requireOrSkip,
  sharedRedis,
  startRedis,
  type TestService,
} from '../../testing/services.ts';
import { liveStoreContract } from './contract.ts';
import type { LiveStore } from './port.ts';
import { openRedisLiveStore } from './redis.ts';

const log = { info: () => {}, warn: () => {} };
const canRun = requireOrSkip(missingTool('redis-server', 'redis-server'));

if (canRun) {
  liveStoreContract('Redis live store', async () => {
    const { addr, keyPrefix, stop } = await sharedRedis();
    const store = await openRedisLiveStore({ addr, keyPrefix, log });
    return {
      store,
      advance: () => {},
      dispose: async () => {
        await store.close();
        await stop();
      },
    };
  });
}

describe.skipIf(!canRun)('Redis going away', () => {
  let server: TestService;
  let store: LiveStore;
  const warnings: string[] = [];

  beforeAll(async () => {
    server = await startRedis({ password: 'p@ss word' });
    store = await openRedisLiveStore({
      addr: server.addr,
      password: 'p@ss word',
      db: 2,
      timeoutMs: 500,
      log: { info: (message) => warnings.push(message), warn: (message) => warnings.push(message) },
    });
  });
  afterAll(async () => {
    await store?.close();
    await server?.stop();
  });

  test('commands fail with the address, then work again after its return', async () => {
    await store.set('k', 'v');
    await server.kill();
    const error = await failure(store.get('k'));
    expect(error.problem).toBe('ServiceUnavailable');
    expect(error.message).toContain(server.addr);
    expect(error.message).toContain('config/redis/addr');
    await server.start();
    await eventually('a reconnect', () => store.set('k', 'w').catch(() => false));
    expect(await store.get('k')).toBe('w');
    expect(warnings).toContain('lost the connection to Redis; reconnecting');
    expect(warnings).toContain('Redis is back');
  });

  test('a command that waits for a short absence succeeds', async () => {
    await server.kill();
    const waiting = store.set('short', 'absence');
    await server.start();
    // Either it waited long enough or it says so; afterwards the connection is usable again.
    await waiting.catch((error) => expect(error).toBeInstanceOf(BackendError));
    await eventually('a reconnect', () => store.set('short', 'x').catch(() => false));
  });

  test('a server that hangs does not hang the caller', async () => {
    await server.pause();
    try {
      const error = await failure(store.get('k'));
      expect(error.problem).toBe('ServiceUnavailable');
      expect(error.message).toContain('0.5 s');
    } finally {
      server.resume();
    }
    await eventually('answers', () => store.set('k', 'v').catch(() => false));
  });

  test('subscriptions resume', async () => {
    const heard: string[] = [];
    const subscription = await store.subscribe('news', (message) => heard.push(message));
    await server.restart();
    await eventually('a message after the restart', async () => {
      await store.publish('news', 'again').catch(() => {});
      return heard.includes('again');
    });
    await subscription.close();
  });

  test('a wrong password is told at once', async () => {
    const error = await failure(
      openRedisLiveStore({ addr: server.addr, password: 'wrong', log, timeoutMs: 3000 }),
    );
    expect(error.message).toContain('WRONGPASS');
    expect(error.message).toContain(server.addr);
  });

  test('nobody listening is told at once', async () => {
    const addr = `127.0.0.1:${await freePort()}`;
    const error = await failure(openRedisLiveStore({ addr, log, timeoutMs: 3000 }));
    expect(error.problem).toBe('ServiceUnavailable');
    expect(error.message).toContain(addr);
  });
});
