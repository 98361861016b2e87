/** A Redis that Sentinels watch: its master is lost, demoted, or stands still, and work goes on. */
import { afterEach, expect, test } from 'bun:test';
import { failure } from '../../testing/failure.ts';
import {
  freePort,
  missingTool,
  requireOrSkip,
  startWatchedRedis,
  type WatchedRedis,
} from '../../testing/services.ts';
import { until } from '../../testing/until.ts';
import { openRedisLiveStore } from './redis.ts';

const canRun = requireOrSkip(missingTool('redis-server', 'redis-server'));
const TIMEOUT_MS = 120_000;
const RECOVERY_MS = 50_000;
const log = { info: () => {}, warn: () => {} };

const started: { stop?(): Promise<void>; close?(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of started.splice(0).reverse()) {
    await one.close?.();
    await one.stop?.();
  }
}, TIMEOUT_MS);

async function start() {
  const redis = await startWatchedRedis();
  started.push(redis);
  const store = await openRedisLiveStore({
    sentinels: redis.sentinels.map(({ addr }) => addr),
    serviceName: redis.serviceName,
    log,
  });
  started.push(store);
  const heard: string[] = [];
  await store.subscribe('news', (message) => heard.push(message));
  return { redis, store, heard };
}

/** Writing works, and what is announced is heard. */
async function expectWork({ store, heard }: Awaited<ReturnType<typeof start>>, word: string) {
  await until(
    () =>
      store.set('key', word).then(
        () => true,
        () => false,
      ),
    'writing works',
    RECOVERY_MS,
  );
  expect(await store.get('key')).toBe(word);
  await until(
    async () => {
      await store.publish('news', word);
      return heard.includes(word);
    },
    'announcements are heard',
    RECOVERY_MS,
  );
}

const lose: Record<string, (redis: WatchedRedis) => Promise<void>> = {
  'is killed': ({ master }) => master.kill(),
  'stands still': ({ master }) => master.pause(),
};

test.skipIf(!canRun).each(Object.keys(lose))(
  'a master that %s is replaced, for commands and subscriptions',
  async (how) => {
    const parts = await start();
    await expectWork(parts, 'before');
    await lose[how]?.(parts.redis);
    await expectWork(parts, 'after');
  },
  TIMEOUT_MS,
);

test.skipIf(!canRun)(
  'an old master that comes back is left alone',
  async () => {
    const parts = await start();
    const { master, replica } = parts.redis;
    await master.kill();
    await expectWork(parts, 'elsewhere');
    await master.start();
    await expectWork(parts, 'still elsewhere');
    // Whoever asks now is led to the new master, too.
    const other = await openRedisLiveStore({ addr: replica.addr, log });
    started.push(other);
    expect(await other.get('key')).toBe('still elsewhere');
  },
  TIMEOUT_MS,
);

test.skipIf(!canRun)(
  'Sentinels that are away, or do not know the service, are told of by name',
  async () => {
    const redis = await startWatchedRedis();
    started.push(redis);
    const sentinels = redis.sentinels.map(({ addr }) => addr);
    const unknown = await failure(
      openRedisLiveStore({ sentinels, serviceName: 'another', log, timeoutMs: 10_000 }),
    );
    expect(unknown.message).toContain("it watches no service 'another'");
    const addr = `127.0.0.1:${await freePort()}`;
    const away = await failure(
      openRedisLiveStore({ sentinels: [addr], serviceName: 'x', log, timeoutMs: 10_000 }),
    );
    expect(away.message).toContain(`no Sentinel names the master (${addr}: `);
  },
  TIMEOUT_MS,
);
