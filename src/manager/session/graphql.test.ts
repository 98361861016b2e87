/** Sessions, containers and agents through GraphQL: scopes, filters, pages, shapes, batching. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { graphql } from 'graphql';
import {
  type TestAccount,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import {
  type InsertedSession,
  insertAgent,
  insertProject,
  insertSession,
} from '../../testing/sessions.ts';
import { agentGraphql } from '../agent/graphql.ts';
import { resolveOwner } from '../auth/delegation.ts';
import { mergeModules } from '../graphql/engine.ts';
import type { Caller } from '../http/route.ts';
import { keypairGraphql } from '../keypair/graphql.ts';
import { findActiveKeypair } from '../keypair/service.ts';
import { sessionGraphql } from './graphql.ts';
import { keypairSessionsGraphql } from './graphql-keypair.ts';

/** What the checkers say of a session without limits. */
const NOT_IDLE = JSON.stringify({
  session_lifetime: { remaining: null, remaining_time_type: 'expire_after', extra: null },
});

let manager: TestManagerContext;
let mine: InsertedSession;
let theirs: InsertedSession;
let ended: InsertedSession;
const schema = mergeModules([sessionGraphql, keypairSessionsGraphql, keypairGraphql, agentGraphql]);

beforeAll(async () => {
  manager = await testManagerContext();
  const { ctx, accounts } = manager;
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  const common = { projectId, agentId: 'i-one' };
  mine = await insertSession(ctx.sql, { ...common, name: 'mine', owner: accounts.user });
  theirs = await insertSession(ctx.sql, {
    ...common,
    name: 'theirs',
    owner: accounts.superadmin,
    priority: 50,
  });
  ended = await insertSession(ctx.sql, {
    ...common,
    name: 'ended',
    owner: accounts.user,
    status: 'TERMINATED',
  });
  await ctx.sql`insert into session_dependencies values (${mine.sessionId}, ${ended.sessionId})`;
});
afterAll(() => manager.close());

async function callerOf(account: TestAccount): Promise<Caller> {
  const keypair = await findActiveKeypair(manager.ctx.sql, account.accessKey);
  if (!keypair) throw new Error('the account is missing');
  return keypair.caller;
}

async function run(
  account: TestAccount,
  source: string,
  variableValues: Record<string, unknown> = {},
  ctx = manager.ctx,
) {
  const caller = await callerOf(account);
  const contextValue = { ctx, caller, requestId: 'r', signal: new AbortController().signal };
  const result = await graphql({ schema, source, variableValues, contextValue });
  return {
    data: JSON.parse(JSON.stringify(result.data ?? null)),
    errors: (result.errors ?? []).map((error) => error.message),
  };
}

const names = async (account: TestAccount, args: string): Promise<string[]> => {
  const { data, errors } = await run(
    account,
    `{ compute_session_list(limit: 10, offset: 0, ${args}) { items { name } total_count } }`,
  );
  expect(errors).toEqual([]);
  expect(data.compute_session_list.total_count).toBe(data.compute_session_list.items.length);
  return data.compute_session_list.items.map((item: { name: string }) => item.name);
};

describe('who sees which sessions', () => {
  test('superadmins all, domain admins their domain, users their own', async () => {
    const { superadmin, admin, user } = manager.accounts;
    expect(await names(superadmin, 'order: "name"')).toEqual(['ended', 'mine', 'theirs']);
    expect(await names(admin, 'order: "-name"')).toEqual(['theirs', 'mine', 'ended']);
    expect(await names(user, 'order: "name"')).toEqual(['ended', 'mine']);
  });

  test.each([
    ['user', 'access_key: "AKIATESTADMIN"'],
    ['user', 'domain_name: "other"'],
    ['admin', 'domain_name: "other"'],
  ] as const)('%s may not ask for %s', async (role, args) => {
    const { data, errors } = await run(
      manager.accounts[role],
      `{ compute_session_list(limit: 1, offset: 0, ${args}) { total_count } }`,
    );
    expect(data.compute_session_list).toBeNull();
    expect(errors).toHaveLength(1);
  });

  test('the sessions of a keypair that was removed stay to be seen', async () => {
    const { sql } = manager.ctx;
    const { sessionId } = mine;
    await sql`update sessions set access_key = 'AKIAREMOVED' where id = ${sessionId}`;
    try {
      const { superadmin, admin } = manager.accounts;
      expect(await names(superadmin, 'access_key: "AKIAREMOVED"')).toEqual(['mine']);
      expect(await names(admin, 'access_key: "AKIAREMOVED"')).toEqual(['mine']);
      expect(await names(superadmin, 'access_key: "AKIANOBODY"')).toEqual([]);
    } finally {
      const { accessKey } = manager.accounts.user;
      await sql`update sessions set access_key = ${accessKey} where id = ${sessionId}`;
    }
  });

  test("somebody else's session and container are not there", async () => {
    const query =
      'query($s: UUID!, $k: UUID!) { compute_session(id: $s) { id } compute_container(id: $k) { id } }';
    const ids = { s: theirs.sessionId, k: theirs.kernelId };
    const { user, superadmin } = manager.accounts;
    expect((await run(user, query, ids)).data).toEqual({
      compute_session: null,
      compute_container: null,
    });
    expect((await run(superadmin, query, ids)).data).toEqual({
      compute_session: { id: theirs.sessionId },
      compute_container: { id: theirs.kernelId },
    });
  });

  test('another domain is another world', async () => {
    const { ctx } = manager;
    const caller = { ...(await callerOf(manager.accounts.admin)), domainName: 'elsewhere' };
    const { superadmin, user } = manager.accounts;
    await expect(resolveOwner(ctx.sql, caller, user.accessKey)).rejects.toMatchObject({
      problem: 'GenericForbidden',
    });
    await expect(resolveOwner(ctx.sql, caller, superadmin.accessKey)).rejects.toMatchObject({
      problem: 'GenericForbidden',
    });
  });
});

describe('lists', () => {
  test('status, filter, order and page work together', async () => {
    const { superadmin } = manager.accounts;
    expect(await names(superadmin, 'status: "RUNNING", order: "-priority"')).toEqual([
      'theirs',
      'mine',
    ]);
    expect(await names(superadmin, 'filter: "status == \\"terminated\\""')).toEqual(['ended']);
    expect(
      await names(
        superadmin,
        'filter: "image contains \\"local/python:3.11\\" & user_email ilike \\"user@%\\"", order: "name"',
      ),
    ).toEqual(['ended', 'mine']);
    const { data } = await run(
      superadmin,
      '{ compute_session_list(limit: 1, offset: 1, order: "name") { items { name } total_count } }',
    );
    expect(data.compute_session_list).toEqual({ items: [{ name: 'mine' }], total_count: 3 });
  });

  test.each(['status: "NOSUCH"', 'filter: "nosuch == 1"', 'filter: ""', 'order: "secret_key"'])(
    'refuses %s with a message',
    async (args) => {
      const { errors } = await run(
        manager.accounts.user,
        `{ compute_session_list(limit: 1, offset: 0, ${args}) { total_count } }`,
      );
      expect(errors).toHaveLength(1);
      expect(errors[0]).not.toContain('Internal');
    },
  );

  test('refuses pages that are negative or huge', async () => {
    for (const page of ['limit: -1, offset: 0', 'limit: 1, offset: -1', 'limit: 5000, offset: 0']) {
      const { errors } = await run(
        manager.accounts.user,
        `{ compute_session_list(${page}) { total_count } }`,
      );
      expect(errors).toHaveLength(1);
    }
  });

  test('kernels of all listed sessions come in one query', async () => {
    const { ctx, accounts } = manager;
    const seen: string[] = [];
    const counting = new Proxy(ctx.sql, {
      apply(target, self, args: unknown[]) {
        const [strings] = args;
        const text = Array.isArray(strings) ? strings.join('?') : '';
        if (text.includes('k.session_id = any(')) seen.push(text);
        return Reflect.apply(target, self, args);
      },
    });
    const { data, errors } = await run(
      accounts.superadmin,
      '{ compute_session_list(limit: 10, offset: 0) { items { containers { id } dependencies { name } } } }',
      {},
      { ...ctx, sql: counting },
    );
    expect(errors).toEqual([]);
    expect(data.compute_session_list.items).toHaveLength(3);
    expect(seen).toHaveLength(1);
  });
});

/** What `session info` and `ps` of upstream's command line select. */
const INFO = `query($id: UUID!) { compute_session(id: $id) {
  name priority id main_kernel_id image tag created_at terminated_at status status_info status_data
  occupying_slots idle_checks type group_name access_key status_changed result
  containers { id cluster_role cluster_idx cluster_hostname session_id image registry status
    status_info status_data status_changed agent container_id resource_opts occupied_slots
    preopen_ports live_stat last_stat }
  dependencies { name id } } }`;

test('what the command line of upstream selects for one session', async () => {
  const { data, errors } = await run(manager.accounts.user, INFO, { id: mine.sessionId });
  expect(errors).toEqual([]);
  expect(data.compute_session).toMatchObject({
    id: mine.sessionId,
    name: 'mine',
    type: 'INTERACTIVE',
    main_kernel_id: mine.kernelId,
    group_name: 'default',
    status: 'RUNNING',
    status_info: null,
    status_data: null,
    status_changed: '2026-01-01T00:00:05.000000+00:00',
    result: 'UNDEFINED',
    idle_checks: NOT_IDLE,
    dependencies: [{ name: 'ended', id: ended.sessionId }],
  });
  expect(JSON.parse(data.compute_session.occupying_slots)).toEqual({ cpu: '1', mem: '268435456' });
  expect(data.compute_session.containers).toMatchObject([
    {
      id: mine.kernelId,
      cluster_role: 'main',
      cluster_hostname: 'main1',
      agent: 'i-one',
      container_id: 'c0ffee',
      resource_opts: '{"shmem":"67108864"}',
      live_stat: null,
      preopen_ports: [],
    },
  ]);
});

test('hidden agents are hidden from rows and from filters', async () => {
  const { ctx, accounts } = manager;
  const hiding = { ...ctx, settings: { ...ctx.settings, hideAgents: true } };
  const query =
    '{ compute_session_list(limit: 1, offset: 0) { items { agents containers { agent container_id } } } }';
  const asUser = await run(accounts.user, query, {}, hiding);
  expect(asUser.data.compute_session_list.items[0]).toEqual({
    agents: null,
    containers: [{ agent: null, container_id: null }],
  });
  const probing =
    '{ compute_session_list(limit: 1, offset: 0, filter: "agent_id == \\"i-one\\"") { total_count } }';
  expect((await run(accounts.user, probing, {}, hiding)).errors).toHaveLength(1);
  const asSuperadmin = await run(accounts.superadmin, query, {}, hiding);
  expect(asSuperadmin.data.compute_session_list.items[0].agents).toEqual(['i-one']);
});

test('the kernels of a session as a list of their own', async () => {
  const list = (account: TestAccount) =>
    run(
      account,
      'query($id: ID!) { compute_container_list(limit: 5, offset: 0, session_id: $id, filter: "status == \\"running\\"") { items { kernel_id } total_count } }',
      { id: theirs.sessionId },
    );
  expect((await list(manager.accounts.admin)).data.compute_container_list).toEqual({
    items: [{ kernel_id: theirs.kernelId }],
    total_count: 1,
  });
  expect((await list(manager.accounts.user)).data.compute_container_list.total_count).toBe(0);
});

describe('agents', () => {
  const list = `{ agent_list(limit: 10, offset: 0, status: "ALIVE", filter: "schedulable == true") {
    items { id status architecture scaling_group region first_contact cpu_cur_pct mem_cur_bytes
      available_slots occupied_slots container_count hardware_metadata live_stat local_config
      compute_containers { id } } total_count } }`;

  test('what the command line of upstream selects', async () => {
    const { data, errors } = await run(manager.accounts.superadmin, list);
    expect(errors).toEqual([]);
    expect(data.agent_list.total_count).toBe(1);
    const [agent] = data.agent_list.items;
    expect(agent).toMatchObject({ id: 'i-one', status: 'ALIVE', container_count: 2 });
    expect(JSON.parse(agent.occupied_slots)).toEqual({ cpu: '1.5', mem: '1073741824' });
    expect(agent.compute_containers).toHaveLength(2);
    expect(JSON.parse(agent.local_config)).toEqual({
      agent: { auto_terminate_abusing_kernel: false },
    });
  });

  test('one agent, and one that is not there', async () => {
    const { data } = await run(
      manager.accounts.superadmin,
      '{ here: agent(agent_id: "i-one") { id } gone: agent(agent_id: "x") { id } agents { id } }',
    );
    expect(data).toEqual({ here: { id: 'i-one' }, gone: null, agents: [{ id: 'i-one' }] });
  });

  test.each(['admin', 'user'] as const)('are not for a %s', async (role) => {
    const { data, errors } = await run(manager.accounts[role], list);
    expect(data.agent_list).toBeNull();
    expect(errors).toEqual(['superadmin privilege required']);
  });
});

test('keypairs tell how many of their sessions hold resources', async () => {
  const source = '{ keypairs { access_key concurrency_used concurrency_limit } }';
  const { data, errors } = await run(manager.accounts.superadmin, source);
  expect(errors).toEqual([]);
  const used = data.keypairs.map((keypair: { access_key: string; concurrency_used: number }) => [
    keypair.access_key,
    keypair.concurrency_used,
  ]);
  const { superadmin, admin, user } = manager.accounts;
  expect(Object.fromEntries(used)).toEqual({
    [superadmin.accessKey]: 1,
    [admin.accessKey]: 0,
    [user.accessKey]: 1,
  });
});

test('what the Python client asks of each session by default', async () => {
  const source = `{ compute_session_list(limit: 1, offset: 0, order: "name") { items {
    id name image type status status_info status_changed result abusing_reports } } }`;
  const { data, errors } = await run(manager.accounts.user, source);
  expect(errors).toEqual([]);
  expect(data.compute_session_list.items[0]).toMatchObject({ name: 'ended', abusing_reports: [] });
});
