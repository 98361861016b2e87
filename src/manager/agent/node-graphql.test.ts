/** Agents as nodes and summaries: who sees which, their devices, totals, and what superadmins change. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import { insertAgent } from '../../testing/sessions.ts';
import { tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { globalId } from '../graphql/global-id.ts';
import { sharesOf } from './graphql-devices.ts';

type Who = Parameters<Tenants['ask']>[0];

let tenants: Tenants;
let agent: ScriptedAgent;
const others = ['admin', 'user', 'monitor', 'otherAdmin', 'otherUser'] as const;

beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.ctx;
  const sessions = await tenantSessions(tenants);
  await sessions.insert('user', 'mine');
  await sql`insert into scaling_groups (name, is_active, driver, driver_opts, scheduler,
      scheduler_opts, use_host_network, default_deployment_options, default_session_options)
    values ('gpu', true, 'static', '{}', 'fifo', '{}', false, '{}', '{}')`;
  await insertAgent(sql, 'i-two');
  await insertAgent(sql, 'i-lost');
  await sql`update agents set scaling_group = 'gpu' where id = 'i-two'`;
  await sql`update agents set status = 'LOST' where id = 'i-lost'`;
  await sql`insert into sgroups_for_domains (scaling_group, domain) values ('default', 'default')`;
  await sql`insert into sgroups_for_groups (scaling_group, "group")
    values ('gpu', ${tenants.projects.elsewhere})`;
});
beforeEach(() => {
  agent = new ScriptedAgent();
  Object.assign(tenants.ctx, { agents: { client: () => agent.client } });
});
afterAll(() => tenants.close());

async function data(who: Who, query: string, variables?: unknown) {
  const answer = await tenants.ask(who, query, variables);
  expect(answer.errors).toBeNull();
  return JSON.parse(JSON.stringify(answer.data ?? {}));
}

describe('agent_nodes', () => {
  const idsOf = (connection: { edges: { node: { row_id: string } }[] }) =>
    connection.edges.map(({ node }) => node.row_id);

  test('superadmins see all; others an empty list and no error', async () => {
    const query = '{ agent_nodes(order: "-id") { count edges { node { row_id } } } }';
    const { agent_nodes: all } = await data('superadmin', query);
    expect([all.count, idsOf(all)]).toEqual([3, ['i-two', 'i-one', 'i-lost']]);
    for (const who of others) {
      expect(await data(who, query)).toEqual({ agent_nodes: { count: 0, edges: [] } });
    }
  });

  test('filters, scopes and pages', async () => {
    const list = async (args: string) => {
      const query = `{ agent_nodes(${args}) { count edges { node { row_id } } } }`;
      return idsOf((await data('superadmin', query)).agent_nodes);
    };
    expect(await list('filter: "status == \\"LOST\\""')).toEqual(['i-lost']);
    expect(await list('filter: "schedulable == true & scaling_group == \\"gpu\\""')).toEqual([
      'i-two',
    ]);
    expect(await list('scope: "domain:default"')).toEqual(['i-lost', 'i-one']);
    expect(await list(`scope: "project:${tenants.projects.elsewhere}"`)).toEqual(['i-two']);
    expect(await list('first: 1, offset: 1, order: "id"')).toEqual(['i-one']);
    expect(await list(`first: 1, after: "${globalId('AgentNode', 'i-lost')}"`)).toEqual(['i-one']);
  });

  test('what an agent says about itself, also through node', async () => {
    const id = globalId('AgentNode', 'i-one');
    const query = `query($id: ID!) { node(id: $id) { ... on AgentNode {
      id row_id status region scaling_group schedulable available_slots occupied_slots addr
      architecture version compute_plugins live_stat gpu_alloc_map hardware_metadata local_config
      container_count permissions kernel_nodes { count edges { node { status } } } } } }`;
    const { node } = await data('superadmin', query, { id });
    expect(node).toMatchObject({
      ...{ id, row_id: 'i-one', status: 'ALIVE', scaling_group: 'default', live_stat: null },
      ...{ container_count: 1, gpu_alloc_map: {} },
      kernel_nodes: { count: 1, edges: [{ node: { status: 'RUNNING' } }] },
    });
    expect(node.permissions).toContain('create_compute_session');
    expect(JSON.parse(node.occupied_slots)).toEqual({ cpu: '1.5', mem: '1073741824' });
    expect(JSON.parse(node.hardware_metadata).cpu).toEqual({
      ...{ status: 'healthy', status_info: null, metadata: { logical_cpus: '4' } },
    });
    for (const who of others) expect(await data(who, query, { id })).toEqual({ node: null });
  });

  test('an agent that does not answer has no hardware to tell of', async () => {
    agent.away = true;
    const query = '{ agent_nodes(order: "id") { edges { node { hardware_metadata } } } }';
    const { agent_nodes: all } = await data('superadmin', query);
    expect(all.edges.map(({ node }: { node: object }) => node)).toEqual([
      { hardware_metadata: null },
      { hardware_metadata: null },
      { hardware_metadata: null },
    ]);
  });
});

test('the older type tells the same of devices', async () => {
  const query = '{ agent(agent_id: "i-one") { gpu_alloc_map hardware_metadata tpu_slots } }';
  const { agent: found } = await data('superadmin', query);
  expect(found).toMatchObject({ gpu_alloc_map: {}, tpu_slots: 0 });
  expect(JSON.parse(found.hardware_metadata)).toHaveProperty('cpu');
});

test('shares of accelerators are added up over kernels, evenly over the devices of one', () => {
  const device = (device_id: string) => ({ device_id });
  expect(
    sharesOf([
      {
        agent: 'a',
        devices: { cpu: [device('0')], cuda: [device('GPU-one'), device('two')] },
        held: { cpu: '4', 'cuda.shares': '0.5' },
      },
      { agent: 'a', devices: { cuda: [device('two')] }, held: { 'cuda.device': '1' } },
      { agent: 'a', devices: { rocm: [] }, held: {} },
    ]),
  ).toEqual({ one: 0.25, two: 1.25 });
});

describe('summaries', () => {
  const list = `{ agent_summary_list(limit: 10, offset: 0, order: "id") { total_count
    items { id status scaling_group schedulable available_slots occupied_slots architecture } } }`;
  const ids = async (who: Who) => {
    const { agent_summary_list: found } = await data(who, list);
    expect(found.total_count).toBe(found.items.length);
    return found.items.map((item: { id: string }) => item.id);
  };

  test('everybody knows the agents of the resource groups it may use', async () => {
    expect(await ids('superadmin')).toEqual(['i-lost', 'i-one', 'i-two']);
    expect(await ids('user')).toEqual(['i-lost', 'i-one']);
    expect(await ids('admin')).toEqual(['i-lost', 'i-one']);
    expect(await ids('otherUser')).toEqual(['i-two']);
    expect(await ids('otherAdmin')).toEqual([]);
    const one = 'query($id: String!) { agent_summary(agent_id: $id) { id architecture } }';
    expect(await data('user', one, { id: 'i-one' })).toEqual({
      agent_summary: { id: 'i-one', architecture: 'x86_64' },
    });
    for (const id of ['i-two', 'nobody']) {
      const { errors } = await tenants.ask('user', one, { id });
      expect(errors?.[0]).toMatchObject({ extensions: { code: 'agent_read_not-found' } });
    }
  });

  test('where agents are hidden, only superadmins know of them', async () => {
    Object.assign(tenants.ctx.settings, { hideAgents: true });
    try {
      expect(await ids('superadmin')).toHaveLength(3);
      const { errors } = await tenants.ask('user', list);
      expect(errors?.[0]).toMatchObject({ extensions: { code: 'agent_read_not-found' } });
    } finally {
      Object.assign(tenants.ctx.settings, { hideAgents: false });
    }
  });
});

test('agentStats adds up the agents that take sessions, for superadmins', async () => {
  const query = '{ agentStats { totalResource { capacity used free } } }';
  expect((await data('superadmin', query)).agentStats.totalResource).toEqual({
    capacity: { cpu: '8', mem: '17179869184' },
    used: { cpu: '3', mem: '2147483648' },
    free: { cpu: '5', mem: '15032385536' },
  });
  for (const who of others) {
    expect((await tenants.ask(who, query)).errors?.[0]?.message).toContain('privilege');
  }
});

test('rescan_gpu_alloc_maps takes over what the agent says its kernels hold', async () => {
  const { sql } = tenants.ctx;
  const [kernel] = await sql`select id from kernels`;
  const id = String(kernel?.id);
  const device = { device_id: 'GPU-one', model_name: 'H100', data: {} };
  const stranger = '00000000-0000-4000-8000-000000000000';
  agent.devices = { [id]: { cuda: [device] }, [stranger]: { cuda: [device] } };
  const mutation = 'mutation($id: String!) { rescan_gpu_alloc_maps(agent_id: $id) { task_id } }';
  const { rescan_gpu_alloc_maps: begun } = await data('superadmin', mutation, { id: 'i-one' });
  const events = tenants.ctx.tasks.watch(begun.task_id, null, AbortSignal.timeout(10_000));
  let last = '';
  for await (const event of events) {
    last = event.message;
    if (event.state === 'done' || event.state === 'failed') break;
  }
  expect(last).toBe('2 kernels hold devices; 1 records were corrected.');
  const { agent_nodes: found } = await data(
    'superadmin',
    '{ agent_nodes(filter: "id == \\"i-one\\"") { edges { node { gpu_alloc_map } } } }',
  );
  expect(found.edges[0].node.gpu_alloc_map).toEqual({ one: 1 });
  for (const [who, agentId] of [
    ['admin', 'i-one'],
    ['superadmin', 'i-lost'],
    ['superadmin', 'nobody'],
  ] as const) {
    const { errors } = await tenants.ask(who, mutation, { id: agentId });
    expect(errors).toHaveLength(1);
  }
  await sql`update kernels set attached_devices = null`;
});

describe('modify_agent', () => {
  const modify = (who: Who, id: string, props: object) =>
    tenants.ask(
      who,
      'mutation($id: String!, $props: ModifyAgentInput!) { modify_agent(id: $id, props: $props) { ok msg } }',
      { id, props },
    );
  const row = async (id: string) => {
    const { sql } = tenants.ctx;
    const [found] = await sql`select schedulable, scaling_group from agents where id = ${id}`;
    return found;
  };

  test('takes an agent out of scheduling, and moves it once it knows', async () => {
    expect(await modify('superadmin', 'i-two', { schedulable: false })).toMatchObject({
      data: { modify_agent: { ok: true, msg: 'success' } },
    });
    expect(await row('i-two')).toEqual({ schedulable: false, scaling_group: 'gpu' });
    expect(agent.groups).toEqual([]);
    await modify('superadmin', 'i-two', { schedulable: true, scaling_group: 'default' });
    expect(await row('i-two')).toEqual({ schedulable: true, scaling_group: 'default' });
    expect(agent.groups).toEqual(['default']);
    await modify('superadmin', 'i-two', { scaling_group: 'gpu' });
    const audited = await tenants.ctx.sql`select operation from audit_logs
      where entity_type = 'agent' and entity_id = 'i-two'`;
    expect(audited).toHaveLength(3);
  });

  test('an agent that can not be told stays where it is', async () => {
    agent.away = true;
    for (const [id, props, message] of [
      ['i-two', { scaling_group: 'default', schedulable: false }, ''],
      ['i-lost', { scaling_group: 'gpu' }, 'LOST'],
      ['i-two', { scaling_group: 'nowhere' }, 'nowhere'],
    ] as const) {
      const before = await row(id);
      const { errors } = await modify('superadmin', id, props);
      expect(errors?.[0]?.message).toContain(message);
      expect(await row(id)).toEqual(before);
    }
  });

  test('one that is not there is no match, as upstream says', async () => {
    expect((await modify('superadmin', 'nobody', { schedulable: true })).data).toEqual({
      modify_agent: { ok: false, msg: 'no matching modifyagent' },
    });
  });
});
