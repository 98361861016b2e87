/** Sessions and kernels as nodes: who sees which, filters, pages, relatives, the queue, and changes. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { fewestQueries } from '../../testing/query-count.ts';
import type { InsertedSession } from '../../testing/sessions.ts';
import { type TenantSessions, tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { globalId } from '../graphql/global-id.ts';
import { upsertImages } from '../image/catalog.ts';

/** What the checkers say of a session without limits. */
const NOT_IDLE = JSON.stringify({
  session_lifetime: { remaining: null, remaining_time_type: 'expire_after', extra: null },
});

type Who = Parameters<Tenants['ask']>[0];

let tenants: Tenants;
let sessions: TenantSessions;
const ids: Record<string, InsertedSession> = {};
const idOf = (name: string): string => ids[name]?.sessionId ?? '';
const everybody = ['superadmin', 'admin', 'user', 'monitor', 'otherAdmin', 'otherUser'] as const;

beforeAll(async () => {
  tenants = await testTenants();
  sessions = await tenantSessions(tenants);
  const { sql } = tenants.ctx;
  ids.mine = await sessions.insert('user', 'mine');
  ids.batch = await sessions.insert('user', 'batch', { type: 'BATCH', priority: 40 });
  ids.ended = await sessions.insert('user', 'ended', { status: 'TERMINATED' });
  ids.boss = await sessions.insert('superadmin', 'boss');
  ids.abroad = await sessions.insert('otherUser', 'abroad');
  ids.watched = await sessions.insert('monitor', 'watched');
  await sql`insert into session_dependencies values (${idOf('batch')}, ${idOf('mine')}),
    (${idOf('mine')}, ${idOf('ended')})`;
  await sql`insert into container_registries (url, registry_name, type, project, username, password,
      ssl_verify, is_global)
    values ('http://local', 'local', 'local', 'python', null, null, false, true)`;
  await upsertImages(sql, [
    {
      ...{ canonical: 'local/python:3.11', architecture: 'x86_64', digest: 'sha256:0' },
      ...{ sizeBytes: 1, labels: { role: 'COMPUTE' }, aliases: [] },
    },
  ]);
});
afterAll(() => tenants.close());

async function data(who: Who, query: string, variables?: unknown) {
  const answer = await tenants.ask(who, query, variables);
  expect(answer.errors).toBeNull();
  return JSON.parse(JSON.stringify(answer.data ?? {}));
}

async function names(who: Who, args: string): Promise<string[]> {
  const list = args === '' ? 'compute_session_nodes' : `compute_session_nodes(${args})`;
  const { compute_session_nodes: found } = await data(
    who,
    `{ ${list} { count edges { node { name } } } }`,
  );
  const all = found.edges.map(({ node }: { node: { name: string } }) => node.name);
  expect(found.count).toBe(all.length);
  return all.sort();
}

describe('who sees which sessions', () => {
  test.each([
    ['superadmin', ['abroad', 'batch', 'boss', 'ended', 'mine', 'watched']],
    ['monitor', ['abroad', 'batch', 'boss', 'ended', 'mine', 'watched']],
    ['admin', ['batch', 'boss', 'ended', 'mine', 'watched']],
    ['user', ['batch', 'ended', 'mine']],
    ['otherAdmin', ['abroad']],
    ['otherUser', ['abroad']],
  ] as const)('%s', async (who, seen) => {
    expect(await names(who, '')).toEqual([...seen]);
  });

  test('a scope narrows the list and never widens it', async () => {
    const { default: project, elsewhere } = tenants.projects;
    expect(await names('superadmin', `scope_id: "project:${elsewhere}"`)).toEqual(['abroad']);
    expect(await names('user', `project_id: "${elsewhere}"`)).toEqual([]);
    expect(await names('user', `scope_id: "project:${project}"`)).toEqual([
      'batch',
      'ended',
      'mine',
    ]);
    expect(await names('admin', 'scope_id: "domain:elsewhere"')).toEqual([]);
    const { userId } = tenants.people.user;
    expect(await names('superadmin', `scope_id: "user:${userId}"`)).toHaveLength(3);
    expect(await names('otherUser', `scope_id: "user:${userId}"`)).toEqual([]);
  });

  test('monitors read and update what is not theirs, and nothing more', async () => {
    expect(await names('monitor', 'permission: "update_attribute"')).toHaveLength(6);
    expect(await names('monitor', 'permission: "execute"')).toEqual(['watched']);
    const query = `query($id: GlobalIDField!) {
      compute_session_node(id: $id) { permissions }
      start: compute_session_node(id: $id, permission: "start_app") { name } }`;
    expect(await data('monitor', query, { id: idOf('mine') })).toEqual({
      compute_session_node: { permissions: ['read_attribute', 'update_attribute'] },
      start: null,
    });
    const own = await data('user', query, { id: idOf('mine') });
    expect(own.compute_session_node.permissions).toHaveLength(6);
    expect(own.start).toEqual({ name: 'mine' });
  });

  test('one session by either form of its id, and through node', async () => {
    const global = globalId('ComputeSessionNode', idOf('mine'));
    for (const id of [idOf('mine'), global]) {
      const query = `query($id: GlobalIDField!) { compute_session_node(id: $id) { id row_id } }`;
      const seen = await Promise.all(
        everybody.map(async (who) => [who, (await data(who, query, { id })).compute_session_node]),
      );
      const shown = { id: global, row_id: idOf('mine') };
      expect(Object.fromEntries(seen)).toEqual({
        ...{ superadmin: shown, admin: shown, user: shown, monitor: shown },
        ...{ otherAdmin: null, otherUser: null },
      });
    }
    const byNode = 'query($id: ID!) { node(id: $id) { ... on ComputeSessionNode { name } } }';
    expect(await data('user', byNode, { id: global })).toEqual({ node: { name: 'mine' } });
    expect(await data('otherUser', byNode, { id: global })).toEqual({ node: null });
    const kernel = globalId('KernelNode', ids.mine?.kernelId ?? '');
    const kernelQuery = 'query($id: ID!) { node(id: $id) { ... on KernelNode { cluster_role } } }';
    expect(await data('user', kernelQuery, { id: kernel })).toEqual({
      node: { cluster_role: 'main' },
    });
    expect(await data('otherAdmin', kernelQuery, { id: kernel })).toEqual({ node: null });
  });

  test('ids that are none name no session', async () => {
    expect(await data('user', '{ compute_session_node(id: "x") { id } }')).toEqual({
      compute_session_node: null,
    });
  });
});

describe('what a session says', () => {
  test('every field the WebUI asks for', async () => {
    const { compute_session_node: node } = await data(
      'user',
      `query($id: GlobalIDField!) { compute_session_node(id: $id) {
        id row_id name type priority cluster_mode cluster_size domain_name project_id user_id
        owner { id email } access_key status status_info status_data status_history created_at
        terminated_at starts_at scheduled_at queue_position startup_command result commit_status
        idle_checks agent_ids resource_opts scaling_group service_ports vfolder_mounts tag
        occupied_slots requested_slots image_references num_queries
        kernel_nodes { count edges { node { id row_id agent_id agent_addr container_id cluster_idx
          cluster_role cluster_hostname local_rank session_id status status_info live_stat
          image_reference architecture occupied_slots resource_opts preopen_ports
          image { id name namespace base_image_name tag version tags { key value }
            labels { key value } registry architecture } } } } } }`,
      { id: idOf('mine') },
    );
    const { user } = tenants.people;
    expect(node).toMatchObject({
      ...{ name: 'mine', type: 'interactive', priority: 10, cluster_mode: 'single-node' },
      ...{ domain_name: 'default', project_id: tenants.projects.default, user_id: user.userId },
      owner: { id: globalId('UserNode', user.userId), email: user.email },
      ...{ access_key: user.accessKey, status: 'RUNNING', result: 'UNDEFINED' },
      ...{ queue_position: null, commit_status: null, idle_checks: NOT_IDLE, agent_ids: ['i-one'] },
      ...{ scaling_group: 'default', image_references: ['local/python:3.11'], num_queries: 0 },
    });
    expect(JSON.parse(node.occupied_slots)).toEqual({ cpu: '1', mem: '268435456' });
    expect(JSON.parse(node.resource_opts)).toEqual({ main1: { shmem: '67108864' } });
    expect(JSON.parse(node.service_ports)[0].name).toBe('sshd');
    expect(node.kernel_nodes.count).toBe(1);
    expect(node.kernel_nodes.edges[0].node).toMatchObject({
      ...{ row_id: ids.mine?.kernelId, session_id: idOf('mine'), agent_id: 'i-one' },
      ...{ container_id: 'c0ffee', cluster_role: 'main', status: 'RUNNING', live_stat: null },
      image_reference: 'local/python:3.11',
      image: {
        ...{ name: 'python', base_image_name: 'python', tag: '3.11', version: '3.11' },
        ...{ registry: 'local', labels: [{ key: 'role', value: 'COMPUTE' }] },
      },
    });
  });

  test('mounts are told as ids of folders', async () => {
    const vfid = `user:${tenants.people.user.userId}/0123456789abcdef0123456789abcdef`;
    await tenants.ctx
      .sql`update sessions set vfolder_mounts = ${JSON.stringify([{ name: 'data', vfid }])}::text::jsonb
      where id = ${idOf('batch')}`;
    const { compute_session_node: node } = await data(
      'user',
      `{ compute_session_node(id: "${idOf('batch')}") { vfolder_mounts } }`,
    );
    expect(node.vfolder_mounts).toEqual(['01234567-89ab-cdef-0123-456789abcdef']);
  });

  test('what it depends on, what depends on it, and all that hang together', async () => {
    const list = '{ count edges { node { name } } }';
    const { compute_session_node: node } = await data(
      'user',
      `{ compute_session_node(id: "${idOf('mine')}") {
        dependees ${list} dependents ${list} graph ${list} } }`,
    );
    const namesIn = (connection: { edges: { node: { name: string } }[] }) =>
      connection.edges.map((edge) => edge.node.name).sort();
    expect(namesIn(node.dependees)).toEqual(['ended']);
    expect(namesIn(node.dependents)).toEqual(['batch']);
    expect(namesIn(node.graph)).toEqual(['batch', 'ended', 'mine']);
    expect(node.graph.count).toBe(3);
  });

  test('agents are kept from everybody but superadmins where that is configured', async () => {
    const { ctx } = tenants;
    const before = ctx.settings.hideAgents;
    Object.assign(ctx.settings, { hideAgents: true });
    try {
      const query = `{ compute_session_node(id: "${idOf('mine')}") { agent_ids
        kernel_nodes { edges { node { agent_id agent_addr container_id } } } } }`;
      const { compute_session_node: node } = await data('user', query);
      expect(node.agent_ids).toBeNull();
      expect(node.kernel_nodes.edges[0].node).toEqual({
        ...{ agent_id: null, agent_addr: null, container_id: null },
      });
      expect((await data('superadmin', query)).compute_session_node.agent_ids).toEqual(['i-one']);
      const filtered = await tenants.ask(
        'user',
        '{ compute_session_nodes(filter: "agent_ids == \\"i-one\\"") { count } }',
      );
      expect(filtered.errors?.[0]?.message).toContain('agent_ids');
    } finally {
      Object.assign(ctx.settings, { hideAgents: before });
    }
  });
});

describe('filters, orders and pages', () => {
  const quoted = (text: string) => JSON.stringify(text);
  test.each([
    ['status != "TERMINATED" & status != "CANCELLED"', ['batch', 'mine']],
    ['type == "batch"', ['batch']],
    ['name ilike "%IN%"', ['mine']],
    ['priority > 10', ['batch']],
    ['images == "local/python:3.11" & status == "terminated"', ['ended']],
    ['agent_ids == "i-one" & cluster_mode == "SINGLE_NODE"', ['batch', 'ended', 'mine']],
    ['user_email == "user@test.example" & group_name == "work"', ['batch', 'ended', 'mine']],
    ['full_name == "nobody"', []],
    ['scaling_group == "default" & created_at > "2020-01-01"', ['batch', 'ended', 'mine']],
    ['scheduled_at == null', ['batch', 'ended', 'mine']],
  ] as const)('%s', async (filter, found) => {
    expect(await names('user', `filter: ${quoted(filter)}`)).toEqual([...found]);
  });

  test('by an id', async () => {
    expect(await names('user', `filter: ${quoted(`id ilike "${idOf('mine')}"`)}`)).toEqual([
      'mine',
    ]);
    expect(await names('user', `filter: ${quoted(`id == "${idOf('boss')}"`)}`)).toEqual([]);
  });

  test('a wrong filter or order names what is wrong', async () => {
    for (const args of ['filter: "color == 1"', 'order: "color"', 'order: "user_email"']) {
      const { errors } = await tenants.ask('user', `{ compute_session_nodes(${args}) { count } }`);
      expect(errors?.[0]?.message).toContain('parsing error');
    }
  });

  test('pages by offset and by cursor, in the order asked for', async () => {
    const query = `query($first: Int, $after: String, $offset: Int) {
      compute_session_nodes(order: "-priority,name", first: $first, after: $after, offset: $offset) {
        count pageInfo { hasNextPage endCursor } edges { node { name } } } }`;
    const page = async (variables: object) => {
      const { compute_session_nodes: found } = await data('user', query, variables);
      return {
        ...found,
        names: found.edges.map(({ node }: { node: { name: string } }) => node.name),
      };
    };
    const first = await page({ first: 2 });
    expect(first).toMatchObject({ names: ['batch', 'ended'], count: 3 });
    const next = await page({ first: 2, after: first.pageInfo.endCursor });
    expect(next).toMatchObject({ names: ['mine'], count: 3, pageInfo: { hasNextPage: false } });
    expect(await page({ first: 1, offset: 1 })).toMatchObject({ names: ['ended'], count: 3 });
    expect(await page({ first: 0 })).toMatchObject({ names: [], count: 3 });
  });

  test('a page of sessions with all their parts costs as many queries as one session', async () => {
    const queriesOf = (first: number) =>
      fewestQueries(tenants.ctx.sql, () =>
        data(
          'superadmin',
          `{ compute_session_nodes(first: ${first}, order: "name") { count edges { node { name
            queue_position owner { email } dependees { count } dependents { count }
            kernel_nodes { edges { node { live_stat image { name } } } } } } } }`,
        ),
      );
    expect(await queriesOf(6)).toBe(await queriesOf(1));
  });
});

describe('the queue', () => {
  test('is in the order of scheduling, and each session knows its place', async () => {
    const first = await sessions.insert('user', 'urgent', { status: 'PENDING', priority: 90 });
    const second = await sessions.insert('otherUser', 'patient', { status: 'PENDING' });
    const query = `query($g: String!) { session_pending_queue(resource_group_id: $g) {
      count edges { node { name queue_position } } } }`;
    for (const g of ['default', globalId('ScalingGroupNode', 'default')]) {
      const { session_pending_queue: queue } = await data('superadmin', query, { g });
      expect(queue).toEqual({
        count: 2,
        edges: [
          { node: { name: 'urgent', queue_position: 0 } },
          { node: { name: 'patient', queue_position: 1 } },
        ],
      });
    }
    expect(await tenants.outcomes(query, { g: 'default' })).toEqual({
      ...{ superadmin: 'data', admin: 'error', user: 'error', monitor: 'error' },
      ...{ otherAdmin: 'error', otherUser: 'error' },
    });
    const { sql } = tenants.ctx;
    const gone = [first.sessionId, second.sessionId];
    await sql`delete from kernels where session_id = any(${gone}::uuid[])`;
    await sql`delete from sessions where id = any(${gone}::uuid[])`;
  });
});

test('slots in total, for superadmins', async () => {
  const query = `{ total_resource_slot(statuses: ["RUNNING"], filter: "type == \\"batch\\"") {
    occupied_slots requested_slots } }`;
  const { total_resource_slot: total } = await data('superadmin', query);
  expect(JSON.parse(total.occupied_slots)).toEqual({ cpu: '1', mem: '268435456' });
  expect(JSON.parse(total.requested_slots)).toEqual({ cpu: '1', mem: '268435456' });
  const outcomes = await tenants.outcomes(query);
  expect(outcomes).toMatchObject({ superadmin: 'data', admin: 'error', user: 'error' });
});

describe('modify_compute_session', () => {
  const mutation = `mutation($input: ModifyComputeSessionInput!) {
    modify_compute_session(input: $input) { item { name priority } clientMutationId } }`;
  const modify = (who: Who, input: object) => tenants.ask(who, mutation, { input });

  test('administrators change name and priority of live sessions in their domain', async () => {
    const id = globalId('ComputeSessionNode', idOf('mine'));
    const done = await modify('admin', {
      id,
      name: 'renamed',
      priority: 70,
      clientMutationId: 'c',
    });
    expect(done).toEqual({
      data: {
        modify_compute_session: {
          item: { name: 'renamed', priority: 70 },
          clientMutationId: 'c',
        },
      },
      errors: null,
    });
    const { sql } = tenants.ctx;
    const [kernel] = await sql`select session_name from kernels where session_id = ${idOf('mine')}`;
    expect(kernel?.session_name).toBe('renamed');
    const [audited] = await sql`select triggered_by, operation from audit_logs
      where entity_id = ${idOf('mine')} and entity_type = 'session'`;
    expect(audited).toMatchObject({
      ...{ triggered_by: tenants.people.admin.userId, operation: 'update' },
    });
    await modify('superadmin', { id: idOf('mine'), name: 'mine', priority: 10 });
  });

  test.each([
    ['user', 'mine', { priority: 1 }, 'privilege'],
    ['monitor', 'mine', { priority: 1 }, 'privilege'],
    ['otherAdmin', 'mine', { priority: 1 }, 'no live session'],
    ['admin', 'ended', { priority: 1 }, 'no live session'],
    ['admin', 'mine', { priority: 101 }, 'from 0 to 100'],
    ['admin', 'mine', { name: 'a b' }, 'consists of'],
    ['admin', 'mine', { name: 'batch' }, 'batch'],
  ] as const)('%s may not, or not so: %s', async (who, name, change, message) => {
    const { data: answer, errors } = await modify(who, { id: idOf(name), ...change });
    expect(answer?.modify_compute_session).toBeNull();
    expect(errors?.[0]?.message).toContain(message);
    const [row] = await tenants.ctx.sql`select name, priority from sessions
      where id = ${idOf(name)}`;
    expect(row).toEqual({ name, priority: 10 });
  });
});
