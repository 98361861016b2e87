/** `ag start-server`: it finds its manager, serves, ends cleanly, and says what is wrong. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { checkoutRoot } from '../../common/executable.ts';
import { agentApi } from '../../common/protocol/agent.ts';
import { managerApi } from '../../common/protocol/manager.ts';
import { rpcClient } from '../../common/rpc/client.ts';
import { rpcHandler } from '../../common/rpc/server.ts';
import { generateKeys, requestVerifier } from '../../common/rpc/signature.ts';
import { openEtcdConfigStore } from '../../stores/config/etcd.ts';
import { freePort, missingTool, requireOrSkip, sharedEtcd } from '../../testing/services.ts';
import { eventually } from '../backends/testing/kernels.ts';
import { RecordingManager, silentLog } from '../testing/fakes.ts';

const TEST_TIMEOUT_MS = 60_000;
let folder = '';
const cleanups: (() => unknown)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ag-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await rm(folder, { recursive: true });
});

const configure = (text: string) => writeFile(join(folder, 'agent.toml'), text);

/** Runs the command as its own process. */
function startServer() {
  const child = Bun.spawn(
    [process.execPath, `${checkoutRoot}/bin/backend.ai.ts`, 'ag', 'start-server', '--debug'],
    {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    },
  );
  cleanups.push(async () => {
    child.kill('SIGKILL');
    await child.exited;
  });
  return child;
}

/** A manager that trusts whoever signs. */
function serveManager() {
  const keys = generateKeys();
  const manager = new RecordingManager();
  const handler = rpcHandler(managerApi, manager, {
    verify: requestVerifier({ clock: systemClock, isTrusted: () => true }),
    keys,
  });
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: handler });
  cleanups.push(() => server.stop(true));
  return { manager, keys, addr: `127.0.0.1:${server.port}` };
}

const agentSection = (port: number, more = '') =>
  `[agent]\nbackend = "dummy"\nid = "i-ag"\nrpc-listen-addr = "127.0.0.1:${port}"\n${more}`;

test(
  'with a configured manager: heartbeats, calls from that manager only, goodbye at the end',
  async () => {
    const { manager, keys, addr } = serveManager();
    const port = await freePort();
    const more = `manager-addr = "${addr}"\nmanager-public-key = "${keys.publicKey}"\n`;
    await configure(agentSection(port, more));
    const child = startServer();
    await eventually(() => manager.heartbeats.length > 0);
    const [beat] = manager.heartbeats;
    expect(beat).toMatchObject({ agentId: 'i-ag', addr: `http://127.0.0.1:${port}` });
    const baseUrl = beat?.addr ?? '';
    const client = rpcClient(agentApi, { baseUrl, keys, peer: beat?.publicKey });
    expect(await client.ping({})).toMatchObject({ agentId: 'i-ag' });
    const stranger = rpcClient(agentApi, { baseUrl, keys: generateKeys() });
    await expect(stranger.ping({})).rejects.toMatchObject({ problem: 'AuthorizationFailed' });
    child.kill('SIGTERM');
    expect(await child.exited).toBe(0);
    expect(manager.goodbyes).toEqual(['shutdown']);
  },
  TEST_TIMEOUT_MS,
);

test.if(requireOrSkip(missingTool('etcd', 'etcd-server')))(
  'with etcd: it makes itself known, waits for a manager, and takes the first that comes',
  async () => {
    const etcd = await sharedEtcd();
    cleanups.push(etcd.stop);
    const { addr, namespace } = etcd;
    const store = await openEtcdConfigStore({ addrs: [addr], namespace, log: silentLog });
    cleanups.push(() => store.close());
    await configure(
      `${agentSection(await freePort())}[etcd]\naddr = "${addr}"\nnamespace = "${namespace}"\n`,
    );
    startServer();
    await eventually(async () => (await store.get('nodes/agents/i-ag/public-key')) !== null);
    const { manager, keys, addr: managerAddr } = serveManager();
    const contact = { addr: `http://${managerAddr}`, publicKey: keys.publicKey };
    await store.put('nodes/manager-rpc/m1', JSON.stringify(contact));
    await eventually(() => manager.heartbeats.length > 0);
    expect(manager.heartbeats[0]?.publicKey).toBe(
      (await store.get('nodes/agents/i-ag/public-key')) ?? '',
    );
  },
  TEST_TIMEOUT_MS,
);

test(
  'a taken port and a manager without a key are clear failures',
  async () => {
    const taken = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() });
    cleanups.push(() => taken.stop(true));
    const { keys, addr } = serveManager();
    const port = taken.port ?? 0;
    await configure(
      agentSection(port, `manager-addr = "${addr}"\nmanager-public-key = "${keys.publicKey}"\n`),
    );
    const busy = startServer();
    expect(await busy.exited).toBe(1);
    const complaint = await new Response(busy.stderr).text();
    expect(complaint).toContain(`can't listen on 127.0.0.1:${port}`);
    expect(complaint).toContain('rpc-listen-addr');
    expect(complaint).not.toContain('    at ');
    await configure(agentSection(await freePort(), `manager-addr = "${addr}"\n`));
    const keyless = startServer();
    expect(await keyless.exited).toBe(1);
    expect(await new Response(keyless.stderr).text()).toContain('manager-public-key');
  },
  TEST_TIMEOUT_MS,
);
