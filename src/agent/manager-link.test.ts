/** Finding managers in a configuration store, and moving on when one does not answer. */
import { afterEach, expect, test } from 'bun:test';
import { systemClock } from '../common/clock.ts';
import { managerApi } from '../common/protocol/manager.ts';
import { systemRandom } from '../common/random.ts';
import { rpcHandler } from '../common/rpc/server.ts';
import { generateKeys, requestVerifier } from '../common/rpc/signature.ts';
import { openEtcdConfigStore } from '../stores/config/etcd.ts';
import { missingTool, requireOrSkip, sharedEtcd } from '../testing/services.ts';
import { ManagerLink, publishAgentKey } from './manager-link.ts';
import { RecordingManager, silentLog } from './testing/fakes.ts';

const keys = generateKeys();
const options = { keys, clock: systemClock, random: systemRandom, log: silentLog };
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function serveManager() {
  const managerKeys = generateKeys();
  const manager = new RecordingManager();
  const handler = rpcHandler(managerApi, manager, {
    verify: requestVerifier({ clock: systemClock, isTrusted: (key) => key === keys.publicKey }),
    keys: managerKeys,
  });
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: handler });
  cleanups.push(() => server.stop(true));
  const addr = `http://127.0.0.1:${server.port}`;
  return { manager, contact: { addr, publicKey: managerKeys.publicKey }, server };
}

test('a configured address is called, and its key trusted', async () => {
  const { manager, contact } = serveManager();
  const link = ManagerLink.toAddress(contact, options);
  await link.waitForManager(new AbortController().signal);
  await link.calls.goodbye({ agentId: 'i-a', reason: 'shutdown' });
  expect(manager.goodbyes).toEqual(['shutdown']);
  expect(link.isTrusted(contact.publicKey)).toBe(true);
  expect(link.isTrusted(generateKeys().publicKey)).toBe(false);
});

test.if(requireOrSkip(missingTool('etcd', 'etcd-server')))(
  'managers are found as they come, and left when they do not answer',
  async () => {
    const { addr, namespace, stop } = await sharedEtcd();
    cleanups.push(stop);
    const store = await openEtcdConfigStore({ addrs: [addr], namespace, log: silentLog });
    cleanups.push(() => store.close());
    const link = await ManagerLink.discover(store, options);
    cleanups.push(() => link.close());
    const waiting = link.waitForManager(AbortSignal.timeout(10_000));
    await store.put('nodes/manager-rpc/broken', '{"addr":5}');
    const [first, second] = [serveManager(), serveManager()];
    await store.put('nodes/manager-rpc/m1', JSON.stringify(first.contact));
    await waiting;
    await link.calls.goodbye({ agentId: 'i-a', reason: 'shutdown' });
    expect(first.manager.goodbyes).toHaveLength(1);
    await store.put('nodes/manager-rpc/m2', JSON.stringify(second.contact));
    await first.server.stop(true);
    let failures = 0;
    while (second.manager.goodbyes.length === 0 && failures < 50) {
      await link.calls.goodbye({ agentId: 'i-a', reason: 'shutdown' }).catch(() => {
        failures += 1;
      });
    }
    expect(second.manager.goodbyes).toHaveLength(1);
    await publishAgentKey(store, 'i-a', keys.publicKey);
    expect(await store.get('nodes/agents/i-a/public-key')).toBe(keys.publicKey);
  },
);
