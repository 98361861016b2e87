/** The configuration store in etcd: the contract, and a server that goes away. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { failure } from '../../testing/failure.ts';
import {
  eventually,
  freePort,
  missingTool,
  requireOrSkip,
  sharedEtcd,
  startEtcd,
  type TestService,
} from '../../testing/services.ts';
import { configStoreContract } from './contract.ts';
import { openEtcdConfigStore } from './etcd.ts';
import type { ConfigChange, ConfigStore } from './port.ts';

const log = { warn: () => {} };
const canRun = requireOrSkip(missingTool('etcd', 'etcd-server'));
const ownerProgram = join(import.meta.dir, '../../testing/config-owner.ts');

if (canRun) {
  configStoreContract('etcd configuration store', async () => {
    const { addr, namespace, stop } = await sharedEtcd();
    const another = () => openEtcdConfigStore({ addrs: [addr], namespace, log });
    const store = await another();
    return {
      store,
      another,
      ownerCommand: (key, ttlMs) => [
        ...[process.execPath, ownerProgram, 'etcd', addr, namespace, key, String(ttlMs)],
      ],
      dispose: async () => {
        await store.deletePrefix('');
        await store.close();
        await stop();
      },
    };
  });
}

describe.skipIf(!canRun)('etcd going away', () => {
  let server: TestService;
  let store: ConfigStore;

  beforeAll(async () => {
    server = await startEtcd();
    store = await openEtcdConfigStore({
      addrs: [server.addr],
      namespace: 'local',
      timeoutMs: 1500,
      log,
    });
  });
  afterAll(async () => {
    await store?.close();
    await server?.stop();
  });

  test('operations fail with the address, then work again after its return', async () => {
    await store.put('k', 'v');
    await server.kill();
    const error = await failure(store.get('k'));
    expect(error.problem).toBe('ServiceUnavailable');
    expect(error.message).toContain(server.addr);
    expect(error.message).toContain('[etcd] addr');
    await server.start();
    await eventually('answers', async () => (await store.get('k').catch(() => null)) === 'v');
  });

  test('a server that hangs does not hang the caller', async () => {
    await server.pause();
    try {
      expect((await failure(store.get('k'))).problem).toBe('ServiceUnavailable');
    } finally {
      server.resume();
    }
    await eventually('answers', async () => (await store.get('k').catch(() => null)) === 'v');
  });

  test('a watch goes on after a restart, an ephemeral entry too', async () => {
    const changes: ConfigChange[] = [];
    const watch = await store.watch('w', (change) => changes.push(change));
    const entry = await store.putEphemeral('w/e', 'up', 2000);
    await store.put('w/a', '1');
    await eventually('two changes', () => changes.length === 2);
    await server.restart();
    await eventually('a write', () =>
      store.put('w/b', '2').then(
        () => true,
        () => false,
      ),
    );
    await eventually('its announcement', () => changes.some((change) => change.key === 'w/b'));
    expect(changes.filter((change) => change.key === 'w/a')).toHaveLength(1);
    await eventually('the entry', async () => (await store.get('w/e')) === 'up');
    await entry.close();
    expect(await store.get('w/e')).toBeNull();
    await watch.close();
  });

  test('after a restart with other data a watch tells the differences', async () => {
    await store.put('x/gone', '1');
    const changes: ConfigChange[] = [];
    const watch = await store.watch('x', (change) => changes.push(change));
    await server.restartEmpty();
    await eventually('the deletion', () => changes.length >= 1);
    expect(changes).toEqual([{ type: 'delete', key: 'x/gone' }]);
    await store.put('x/new', '2');
    await eventually('the new entry', () => changes.length >= 2);
    expect(changes.at(-1)).toEqual({ type: 'put', key: 'x/new', value: '2' });
    await watch.close();
  });

  test('more entries than one transaction holds are refused, none written', async () => {
    const entries = new Map(Array.from({ length: 129 }, (_, n) => [`many/${n}`, 'v']));
    expect((await failure(store.putMany(entries))).message).toContain('128');
    expect((await store.list('many')).size).toBe(0);
  });

  test('nobody listening is told within the time limit', async () => {
    const addr = `127.0.0.1:${await freePort()}`;
    const open = openEtcdConfigStore({ addrs: [addr], namespace: 'x', timeoutMs: 1500, log });
    const error = await failure(open);
    expect(error.problem).toBe('ServiceUnavailable');
    expect(error.message).toContain(addr);
  });

  test('user and password are used, and wrong ones told', async () => {
    const guarded = await startEtcd();
    try {
      const admin = new Etcd3({ hosts: `http://${guarded.addr}` });
      await admin.user('root').create('right');
      await admin.user('root').addRole('root');
      await admin.auth.authEnable();
      admin.close();
      const options = { addrs: [guarded.addr], namespace: 'x', user: 'root', log };
      const right = await openEtcdConfigStore({ ...options, password: 'right' });
      await right.put('k', 'v');
      expect(await right.get('k')).toBe('v');
      await right.close();
      const error = await failure(openEtcdConfigStore({ ...options, password: 'wrong' }));
      expect(error.message).toContain(guarded.addr);
      expect(error.message).toContain('user and password');
    } finally {
      await guarded.stop();
    }
  });
});
