/** A whole manager: what it publishes, and how agents reach it over HTTP. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { systemClock } from '../common/clock.ts';
import { BackendError } from '../common/errors.ts';
import { agentApi } from '../common/protocol/agent.ts';
import { type Heartbeat, managerApi } from '../common/protocol/manager.ts';
import { systemRandom } from '../common/random.ts';
import { rpcClient } from '../common/rpc/client.ts';
import { generateKeys, type NodeKeys } from '../common/rpc/keys.ts';
import { rpcHandler } from '../common/rpc/server.ts';
import { requestVerifier } from '../common/rpc/signature.ts';
import { signingClient, type TestManagerContext, testManagerContext } from '../testing/manager.ts';
import { ScriptedAgent } from '../testing/scripted-agent.ts';
import { until } from '../testing/until.ts';
import { trustAgent } from './agent/trust.ts';
import { httpAgentDirectory } from './agent-link.ts';
import { type Manager, startManager } from './main.ts';

const managerKeys = generateKeys();
let base: TestManagerContext;
let manager: Manager;
beforeAll(async () => {
  base = await testManagerContext();
  const { sql, config, live, clock, random, log, settings } = base.ctx;
  const address = { hostname: '127.0.0.1', port: 0 };
  manager = await startManager({
    ...{ id: 'i-main', settings, sql, config, live, managerKeys, clock, random, log },
    listen: address,
    internalListen: address,
  });
});
afterAll(async () => {
  await manager.stop();
  await base.close();
});

function clientOf(keys: NodeKeys, peer = managerKeys.publicKey) {
  const baseUrl = manager.internalUrl ?? manager.url;
  return rpcClient(managerApi, { baseUrl, keys, peer });
}

const beat = (agentId: string, keys: NodeKeys): Heartbeat => ({
  agentId,
  version: '26.4.4',
  backend: 'dummy',
  region: 'local',
  scalingGroup: 'default',
  architecture: 'x86_64',
  addr: 'http://127.0.0.1:1',
  publicHost: '127.0.0.1',
  publicKey: keys.publicKey,
  availableSlots: { cpu: '1', mem: '1073741824' },
  slotTypes: { cpu: 'count', mem: 'bytes' },
  slotFormats: {},
  computePlugins: {},
  images: [],
  kernels: [],
});

const problemOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'accepted',
    (error: unknown) => (error instanceof BackendError ? error.problem : error),
  );

describe('a running manager', () => {
  test('is listed with the address and key that agents need', async () => {
    expect(await base.ctx.config.get('nodes/manager/i-main')).toBe('up');
    const listed = JSON.parse((await base.ctx.config.get('nodes/manager-rpc/i-main')) ?? 'null');
    expect(listed).toEqual({ addr: manager.internalUrl, publicKey: managerKeys.publicKey });
  });

  test('serves the features over HTTP', async () => {
    const call = signingClient(manager.url, base.accounts.user);
    const response = await call('POST', '/admin/gql', { query: '{ keypair { user_id } }' });
    expect(await response.json()).toEqual({
      data: { keypair: { user_id: base.accounts.user.email } },
      errors: null,
    });
    expect((await call('GET', '/session/nothing')).status).toBe(404);
  });

  test('tells what it counts on the internal address only', async () => {
    const response = await fetch(`${manager.internalUrl}/metrics`);
    expect(response.status).toBe(200);
    const lines = (await response.text()).split('\n');
    expect(lines.some((line) => line.includes('endpoint="/admin/gql"'))).toBe(true);
    expect((await fetch(`${manager.url}/metrics`)).status).toBe(404);
  });

  test('becomes the leader when it is alone', async () => {
    await until(() => manager.isLeader(), 'the manager leads');
  });
});

describe('agents over HTTP', () => {
  beforeAll(async () => {
    await base.db.sql`INSERT INTO scaling_groups (name, is_active, is_public, driver, driver_opts,
        scheduler, scheduler_opts, use_host_network, default_deployment_options,
        default_session_options)
      VALUES ('default', true, true, 'static', '{}', 'fifo', '{}', false, '{}', '{}')
      ON CONFLICT DO NOTHING`;
  });

  test('a known agent registers', async () => {
    const keys = generateKeys();
    await trustAgent(base.ctx.config, 'i-known', keys.publicKey);
    const call = () => clientOf(keys).heartbeat(beat('i-known', keys));
    await until(async () => (await problemOf(call())) === 'accepted', 'the agent is heard');
    expect(await call()).toMatchObject({ desired: [] });
    const rows = await base.db.sql`SELECT status FROM agents WHERE id = 'i-known'`;
    expect(v.parse(v.array(v.object({ status: v.string() })), rows)).toEqual([{ status: 'ALIVE' }]);
  });

  test('kinds of accelerators the cluster did not know are added, except disabled ones', async () => {
    const keys = generateKeys();
    const { sql } = base.db;
    await sql`INSERT INTO resource_slot_types (slot_name, slot_type, enabled, rank)
      VALUES ('npu.device', 'count', false, 9000)`;
    await trustAgent(base.ctx.config, 'i-mig', keys.publicKey);
    const format = {
      human_readable_name: 'GPU slice',
      description: 'A slice of a GPU',
      display_unit: 'GPU',
      number_format: { binary: false, round_length: 0 },
      display_icon: 'gpu1',
    };
    const slice = 'cuda.device:10g-mig';
    const state: Heartbeat = {
      ...beat('i-mig', keys),
      availableSlots: { cpu: '1', mem: '1', [slice]: '2', 'npu.device': '1', 'Odd Name': '1' },
      slotTypes: { [slice]: 'unique', 'npu.device': 'count', 'Odd Name': 'count' },
      slotFormats: { [slice]: format, 'npu.device': format, 'Odd Name': format },
    };
    const call = () => clientOf(keys).heartbeat(state);
    await until(async () => (await problemOf(call())) === 'accepted', 'the agent is heard');
    await call();
    const added = await sql`SELECT slot_type, display_name, number_format, rank
      FROM resource_slot_types WHERE slot_name IN (${slice}, 'Odd Name')`;
    expect([...added]).toEqual([
      {
        slot_type: 'unique',
        display_name: 'GPU slice',
        number_format: { binary: false, round_length: 0 },
        rank: 9100,
      },
    ]);
    const held = await sql`SELECT slot_name FROM agent_resources
      WHERE agent_id = 'i-mig' AND slot_name NOT IN ('cpu', 'mem')`;
    expect([...held]).toEqual([{ slot_name: slice }]);
  });

  test('an unknown key is not heard', async () => {
    const keys = generateKeys();
    const call = clientOf(keys).heartbeat(beat('i-stranger', keys));
    expect(await problemOf(call)).toBe('AuthorizationFailed');
  });

  test('a known agent may not speak for another', async () => {
    const own = generateKeys();
    const other = generateKeys();
    await trustAgent(base.ctx.config, 'i-own', own.publicKey);
    await trustAgent(base.ctx.config, 'i-other', other.publicKey);
    const asOwn = () => problemOf(clientOf(own).goodbye({ agentId: 'i-own', reason: 'shutdown' }));
    await until(async () => (await asOwn()) !== 'AuthorizationFailed', 'the agent is heard');
    const call = clientOf(own).heartbeat(beat('i-other', own));
    expect(await problemOf(call)).toBe('AuthorizationFailed');
    const lie = clientOf(own).heartbeat(beat('i-own', other));
    expect(await problemOf(lie)).toBe('InvalidAPIParameters');
    const events = clientOf(own).deliver({ agentId: 'i-other', events: [] });
    expect(await problemOf(events)).toBe('AuthorizationFailed');
  });

  test('an answer of another manager is not accepted', async () => {
    const keys = generateKeys();
    await trustAgent(base.ctx.config, 'i-careful', keys.publicKey);
    const wrongPeer = clientOf(keys, generateKeys().publicKey);
    expect(await problemOf(wrongPeer.heartbeat(beat('i-careful', keys)))).not.toBe('accepted');
  });

  test('the manager calls agents with its own signature', async () => {
    const keys = generateKeys();
    const serve = rpcHandler(agentApi, new ScriptedAgent().client, {
      keys,
      verify: requestVerifier({
        clock: systemClock,
        self: keys.publicKey,
        isTrusted: (key) => key === managerKeys.publicKey,
      }),
    });
    const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: serve });
    try {
      const addr = server.url.origin;
      const agents = manager.ctx.agents;
      const client = agents.client('i-one', addr, keys.publicKey);
      expect(await client.ping({})).toEqual({ agentId: 'i-one', version: '26.4.4' });
      expect(agents.client('i-one', addr, keys.publicKey)).toBe(client);
      const { clock, log } = base.ctx;
      const stranger = { keys: generateKeys(), clock, log, random: systemRandom };
      const refused = httpAgentDirectory(stranger).client('i-one', addr, keys.publicKey);
      expect(await problemOf(refused.ping({}))).toBe('AuthorizationFailed');
    } finally {
      await server.stop(true);
    }
  });

  test('an agent without an HTTP address is unreachable', () => {
    const call = () => manager.ctx.agents.client('i-local', 'local:', managerKeys.publicKey);
    expect(call).toThrow('i-local');
  });
});

test('stopping takes it off the list', async () => {
  const { sql, config, live, clock, random, log, settings } = base.ctx;
  const second = await startManager({
    ...{ id: 'i-second', settings, sql, config, live, managerKeys, clock, random, log },
    listen: { hostname: '127.0.0.1', port: 0 },
  });
  expect(second.internalUrl).toBeNull();
  expect(await config.get('nodes/manager/i-second')).toBe('up');
  await second.stop();
  expect(await config.get('nodes/manager/i-second')).toBeNull();
  expect(await config.get('nodes/manager-rpc/i-second')).toBeNull();
});
