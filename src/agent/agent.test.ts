/** A whole agent on simulated kernels: what it tells the manager, in good and bad times. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { BackendError } from '../common/errors.ts';
import { agentApi } from '../common/protocol/agent.ts';
import type { DesiredKernel, KernelSpec } from '../common/protocol/kernel.ts';
import { systemRandom } from '../common/random.ts';
import { rpcClient } from '../common/rpc/client.ts';
import { generateKeys } from '../common/rpc/signature.ts';
import { instantDummyConfig } from './backends/dummy/config.ts';
import { DummyBackend } from './backends/dummy/dummy-backend.ts';
import { eventually, testSpec } from './backends/testing/kernels.ts';
import { type AgentOptions, type RunningAgent, startAgent } from './main.ts';
import { RecordingManager, silentLog, testSettings } from './testing/fakes.ts';

let stateDir = '';
let manager: RecordingManager;
const agents: RunningAgent[] = [];

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'agent-'));
  manager = new RecordingManager();
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop();
  await rm(stateDir, { recursive: true });
});

const dummy = (config = instantDummyConfig()) =>
  new DummyBackend({ config, clock: systemClock, random: systemRandom, kernelHost: 'node' });

async function start(options: Partial<AgentOptions> = {}): Promise<RunningAgent> {
  const agent = await startAgent({
    settings: testSettings(),
    backend: dummy(),
    manager,
    keys: generateKeys(),
    stateDir,
    statisticsIntervalMs: 20,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    ...options,
  });
  agents.push(agent);
  return agent;
}

async function newSpec(overrides: Partial<KernelSpec> = {}): Promise<KernelSpec> {
  const [image] = await dummy().scanImages();
  if (!image) throw new Error('the dummy backend has no image');
  return testSpec(image, overrides);
}

const run = (spec: KernelSpec): DesiredKernel => ({ desired: 'running', spec });
const end = ({ kernelId, sessionId }: KernelSpec): DesiredKernel => ({
  desired: 'terminated',
  kernelId,
  sessionId,
  reason: 'user-requested',
});
const ended = (spec: KernelSpec) => manager.last(spec.kernelId, 'kernel-terminated');
const started = (spec: KernelSpec) => manager.last(spec.kernelId, 'kernel-started');

describe('a kernel', () => {
  test('that does not come up since memory ran out says so, with how much it had', async () => {
    const backend = Object.assign(dummy(), {
      connectRunner: () => Promise.reject(new Error('its socket is gone')),
      ranOutOfMemory: async () => true,
    });
    const agent = await start({ backend });
    const spec = await newSpec({ slots: { cpu: '1', mem: String(64 * 1024 * 1024) } });
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(() => ended(spec) !== undefined);
    expect(ended(spec)).toMatchObject({
      reason: 'failed-to-start',
      message: expect.stringMatching(
        /^The session ran out of its memory of 64.0M. Start it with more. .*its socket is gone/,
      ),
    });
  });

  test('comes to life, runs code, and ends when it is asked to', async () => {
    const agent = await start();
    const spec = await newSpec();
    expect(await agent.api.sync({ kernels: [run(spec), run(spec)] })).toEqual({ accepted: 2 });
    await eventually(() => started(spec) !== undefined);
    expect(manager.kinds(spec.kernelId)).toEqual([
      'kernel-preparing',
      'kernel-creating',
      'kernel-started',
    ]);
    expect(started(spec)?.info).toMatchObject({ kernelHost: 'node', occupiedSlots: spec.slots });
    expect(started(spec)?.info.attachedDevices.cpu).toHaveLength(1);
    await eventually(() => manager.heartbeats.at(-1)?.kernels[0]?.state === 'running');
    await eventually(() => manager.statistics.at(-1)?.kernels[spec.kernelId] !== undefined);
    expect(await agent.api.attachedDevices({})).toEqual({
      [spec.kernelId]: started(spec)?.info.attachedDevices ?? {},
    });
    const request = {
      runId: 'r',
      mode: 'query',
      code: '1',
      options: {},
      waitMs: 0,
      eager: true,
    } as const;
    const slice = await agent.api.execute({ kernelId: spec.kernelId, request });
    expect(slice.status).toBe('finished');
    await agent.api.sync({ kernels: [end(spec)] });
    await eventually(() => ended(spec) !== undefined);
    expect(ended(spec)).toMatchObject({ reason: 'user-requested', message: null });
    expect(ended(spec)?.logs).toContain('simulated');
    await eventually(() => manager.heartbeats.at(-1)?.kernels.length === 0);
  });

  test('that runs already is reported again when it is wished for again', async () => {
    const agent = await start();
    const spec = await newSpec();
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(() => started(spec) !== undefined);
    await agent.api.sync({ kernels: [run(spec)] });
    const reports = () =>
      manager.kinds(spec.kernelId).filter((kind) => kind === 'kernel-started').length;
    await eventually(() => reports() === 2);
  });

  test('of a cluster runs its batch command once it was told of the others', async () => {
    const agent = await start();
    const base = await newSpec({ sessionType: 'batch', startupCommand: 'true' });
    const spec = { ...base, cluster: { ...base.cluster, size: 2 } };
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(() => started(spec) !== undefined);
    const { sessionId, kernelId } = spec;
    const gone = crypto.randomUUID();
    const peer = { kernelId, hostname: 'main1', agentId: agent.agentId, host: 'node', sshPort: 1 };
    expect(manager.kinds(kernelId)).not.toContain('batch-finished');
    await agent.api.joinClusters({
      joins: [{ sessionId, kernelIds: [kernelId, gone], peers: [peer] }],
    });
    await eventually(() => ended(spec) !== undefined);
    expect(manager.kinds(kernelId)).toContain('batch-finished');
  });

  test('that can not be made is reported with the reason', async () => {
    const agent = await start();
    const spec = await newSpec();
    await agent.api.sync({
      kernels: [run({ ...spec, image: { ...spec.image, canonical: 'local/none:1' } })],
    });
    await eventually(() => ended(spec) !== undefined);
    expect(manager.kinds(spec.kernelId)).toEqual([
      'kernel-preparing',
      'kernel-pulling',
      'kernel-terminated',
    ]);
    expect(ended(spec)?.reason).toBe('failed-to-create');
    expect(ended(spec)?.message).toContain('local/none:1');
  });

  test('that needs the CPUs of one that is ending waits for them', async () => {
    const config = instantDummyConfig();
    config.agent.delay['destroy-kernel'] = 0.2;
    const agent = await start({ backend: dummy(config) });
    const slots = { cpu: '4', mem: '1' };
    const [first, second] = [await newSpec({ slots }), await newSpec({ slots })];
    await agent.api.sync({ kernels: [run(first)] });
    await eventually(() => started(first) !== undefined);
    await agent.api.sync({ kernels: [end(first), run(second)] });
    await eventually(() => started(second) !== undefined);
    expect(ended(first)).toBeDefined();
    expect(ended(second)).toBeUndefined();
  });

  test('that asks for more CPUs than there are is refused with the numbers', async () => {
    const agent = await start();
    const spec = await newSpec({ slots: { cpu: '9', mem: '1' } });
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(() => ended(spec) !== undefined);
    expect(ended(spec)?.message).toContain('asks for 9 cpu, but only 4 of 4');
  });

  test('ended while it is being made is broken off at once, and leaves nothing', async () => {
    const config = instantDummyConfig();
    config['kernel-creation-ctx'].delay['start-container'] = 3600;
    const backend = dummy(config);
    const agent = await start({ backend });
    const spec = await newSpec();
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(() => manager.kinds(spec.kernelId).includes('kernel-creating'));
    await agent.api.sync({ kernels: [end(spec)] });
    await eventually(() => ended(spec) !== undefined);
    expect(started(spec)).toBeUndefined();
    expect(ended(spec)?.reason).toBe('user-requested');
    expect(await backend.list()).toEqual([]);
  });

  test('that ends by itself is reported so, and cleaned up', async () => {
    const backend = dummy();
    const agent = await start({ backend });
    const spec = await newSpec();
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(() => started(spec) !== undefined);
    const runner = await backend.connectRunner(spec.kernelId, new AbortController().signal);
    await runner.call({ op: 'shutdown' });
    await eventually(() => ended(spec) !== undefined);
    expect(ended(spec)).toMatchObject({ reason: 'self-terminated', exitCode: 0 });
    expect(await backend.list()).toEqual([]);
  });

  test('that can not be destroyed is tried again until it is gone', async () => {
    class Stubborn extends DummyBackend {
      attempts = 0;
      override async destroy(kernelId: string): Promise<number | null> {
        this.attempts += 1;
        if (this.attempts <= 2) throw new Error('device busy');
        return await super.destroy(kernelId);
      }
    }
    const parts = { config: instantDummyConfig(), random: systemRandom, kernelHost: 'node' };
    const backend = new Stubborn({ ...parts, clock: systemClock });
    const pauses: number[] = [];
    const impatient = {
      ...systemClock,
      sleep: (ms: number, signal?: AbortSignal) => {
        pauses.push(ms);
        return systemClock.sleep(Math.min(ms, 5), signal);
      },
    };
    const agent = await start({ backend, clock: impatient });
    const spec = await newSpec();
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(() => started(spec) !== undefined);
    await agent.api.sync({ kernels: [end(spec)] });
    await eventually(() => ended(spec) !== undefined);
    expect(backend.attempts).toBe(3);
    expect(pauses).toContain(500);
    expect(pauses).toContain(1000);
  });
});

test('only so many kernels are created at a time, and all of them in the end', async () => {
  let now = 0;
  let most = 0;
  class Counting extends DummyBackend {
    override async create(...parameters: Parameters<DummyBackend['create']>) {
      now += 1;
      most = Math.max(most, now);
      try {
        return await super.create(...parameters);
      } finally {
        now -= 1;
      }
    }
  }
  const config = instantDummyConfig();
  config.agent.resource.cpu['num-core'] = 64;
  config['kernel-creation-ctx'].delay['start-container'] = 0.005;
  const backend = new Counting({
    config,
    clock: systemClock,
    random: systemRandom,
    kernelHost: 'n',
  });
  const agent = await start({ backend, settings: testSettings({ kernelCreationConcurrency: 3 }) });
  const specs = await Promise.all(Array.from({ length: 20 }, () => newSpec()));
  await agent.api.sync({ kernels: specs.map(run) });
  await eventually(() => specs.every((spec) => started(spec) !== undefined));
  expect(most).toBe(3);
});

describe('the manager', () => {
  test('being away changes nothing for kernels, and it hears everything later', async () => {
    manager.isAway = true;
    const agent = await start();
    const spec = await newSpec();
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(async () => {
      const status = agent.api.complete({
        kernelId: spec.kernelId,
        request: { code: '', options: {} },
      });
      return await status.then(
        () => true,
        () => false,
      );
    });
    expect(manager.events).toEqual([]);
    manager.isAway = false;
    await eventually(() => started(spec) !== undefined);
  });

  test('learns of kernels it wants ended that are not here', async () => {
    const agent = await start();
    const spec = await newSpec();
    await agent.api.sync({ kernels: [end(spec)] });
    await eventually(() => ended(spec) !== undefined);
    expect(ended(spec)?.reason).toBe('already-terminated');
  });

  test('does not revive a kernel whose end it has not heard of', async () => {
    const backend = dummy();
    const agent = await start({ backend });
    const spec = await newSpec();
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(() => started(spec) !== undefined);
    manager.isAway = true;
    await agent.api.sync({ kernels: [end(spec)] });
    await eventually(async () => (await backend.list()).length === 0);
    await eventually(async () => {
      const { accepted } = await agent.api.sync({ kernels: [run(spec)] });
      return accepted === 0;
    });
    manager.isAway = false;
    await eventually(() => ended(spec) !== undefined);
    expect(await backend.list()).toEqual([]);
  });

  test('steers by its answers to heartbeats', async () => {
    const spec = await newSpec();
    manager.desired = [run(spec)];
    await start({
      settings: testSettings({ debug: { ...testSettings().debug, heartbeatIntervalMs: 20 } }),
    });
    await eventually(() => started(spec) !== undefined);
    manager.desired = [end(spec)];
    await eventually(() => ended(spec)?.reason === 'user-requested');
  });

  test('is told what the agent is and has, and goodbye', async () => {
    const agent = await start();
    await eventually(() => manager.heartbeats.length > 0);
    expect(manager.heartbeats[0]).toMatchObject({
      agentId: 'i-test',
      backend: 'dummy',
      addr: 'local:',
      scalingGroup: 'default',
      availableSlots: { cpu: '4', mem: '34359738368' },
      slotTypes: { cpu: 'count', mem: 'bytes' },
    });
    expect(manager.heartbeats[0]?.images[0]?.canonical).toBe('local/dummy:1');
    await agent.stop();
    expect(manager.goodbyes).toEqual(['shutdown']);
  });
});

test('calls for kernels that are not there, or not ready, say so', async () => {
  const config = instantDummyConfig();
  config['kernel-creation-ctx'].delay['start-container'] = 3600;
  const agent = await start({ backend: dummy(config) });
  const spec = await newSpec();
  const interrupt = () => agent.api.interrupt({ kernelId: spec.kernelId });
  await expect(interrupt()).rejects.toMatchObject({ problem: 'KernelNotFound' });
  await agent.api.sync({ kernels: [run(spec)] });
  await expect(interrupt()).rejects.toMatchObject({ problem: 'KernelNotReady' });
});

test('an agent is moved to another resource group for good, until agent.toml names a new one', async () => {
  const group = () => manager.heartbeats.at(-1)?.scalingGroup;
  const first = await start();
  await eventually(() => group() === 'default');
  await first.api.assignGroup({ scalingGroup: 'gpu' });
  await eventually(() => group() === 'gpu');
  await first.stop();
  manager.heartbeats.length = 0;
  const second = await start();
  await eventually(() => group() === 'gpu');
  await second.stop();
  manager.heartbeats.length = 0;
  await start({ settings: testSettings({ scalingGroup: 'new' }) });
  await eventually(() => group() === 'new');
});

test('the hardware is described', async () => {
  const { cpu, mem } = await (await start()).api.describeHardware({});
  expect(cpu).toMatchObject({ status: 'healthy', status_info: null });
  expect(Number(cpu?.metadata.logical_cpus)).toBeGreaterThan(0);
  expect(Number(mem?.metadata.total_bytes)).toBeGreaterThan(0);
});

test('mounts and the fstab file are told, and no other file', async () => {
  const { api } = await start();
  if (process.platform === 'linux') {
    expect((await api.mounts({ below: '/proc' })).mounts).toContain('/proc');
  }
  await expect(api.fstab({ path: '/etc/passwd' })).rejects.toThrow('named fstab');
});

test('over the network, only a trusted manager is answered', async () => {
  const [managerKeys, agentKeys] = [generateKeys(), generateKeys()];
  const agent = await start({
    keys: agentKeys,
    listen: {
      hostname: '127.0.0.1',
      port: 0,
      isTrusted: (publicKey) => publicKey === managerKeys.publicKey,
    },
  });
  const baseUrl = agent.url ?? '';
  const peer = agentKeys.publicKey;
  const client = rpcClient(agentApi, { baseUrl, keys: managerKeys, peer });
  expect(await client.ping({})).toMatchObject({ agentId: 'i-test' });
  const stranger = rpcClient(agentApi, { baseUrl, keys: generateKeys(), peer });
  await expect(stranger.ping({})).rejects.toBeInstanceOf(BackendError);
  await eventually(() => manager.heartbeats.at(-1)?.addr === baseUrl);
});

describe('those who watch over it', () => {
  test('find its health, and what its kernels use', async () => {
    const agent = await start({ serviceListen: { host: '127.0.0.1', port: 0 } });
    const spec = await newSpec();
    await agent.api.sync({ kernels: [run(spec)] });
    const get = async (path: string) => await fetch(`${agent.serviceUrl}${path}`);
    expect(await (await get('/health')).json()).toMatchObject({ status: 'ok', component: 'agent' });
    expect((await get('/livez')).status).toBe(200);
    expect((await get('/secrets')).status).toBe(404);
    const labels = `kernel_id="${spec.kernelId}",session_id="${spec.sessionId}"`;
    await eventually(async () => (await (await get('/metrics')).text()).includes(labels));
    expect(await (await get('/metrics')).text()).toContain('backendai_device_utilization{');
  });

  test('are not served where the address is taken, and sessions run all the same', async () => {
    const other = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response() });
    try {
      const port = other.port ?? 0;
      const agent = await start({ serviceListen: { host: '127.0.0.1', port } });
      expect(agent.serviceUrl).toBeNull();
      const spec = await newSpec();
      await agent.api.sync({ kernels: [run(spec)] });
      await eventually(() => started(spec) !== undefined);
    } finally {
      await other.stop(true);
    }
  });
});
