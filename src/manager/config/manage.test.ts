/** The configuration store, the cluster's status and slot details over HTTP: by whom, and how. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { signingClient } from '../../testing/manager.ts';
import { insertAgent, insertSession } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { until } from '../../testing/until.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

type Who = keyof Tenants['people'];
async function call(who: Who, method: string, target: string, json?: unknown) {
  const response = await signingClient(tenants.url, tenants.people[who])(method, target, json);
  const text = await response.text();
  return [response.status, text === '' ? null : JSON.parse(text)];
}
const root = (target: string, json: unknown, method = 'POST') =>
  call('superadmin', method, target, json);
const ok = [200, { result: 'ok' }];

describe('the configuration store', () => {
  test('values are set, read and removed', async () => {
    expect(await root('/config/set', { key: 'config/x/a', value: 12 })).toEqual(ok);
    expect(await root('/config/get', { key: '/config/x/a' })).toEqual([200, { result: '12' }]);
    expect(await root('/config/get', { key: 'config/x' })).toEqual([200, { result: null }]);
    expect(await root('/config/delete', { key: 'config/x/a' })).toEqual(ok);
    expect(await root('/config/get', { key: 'config/x/a' })).toEqual([200, { result: null }]);
  });

  test('maps are nested; names are escaped in keys', async () => {
    const value = { '': 'top', deep: { 'a/b': 'slash', on: true } };
    expect(await root('/config/set', { key: 'config/m', value })).toEqual(ok);
    expect(await tenants.ctx.config.get('config/m/deep/a%2Fb')).toBe('slash');
    await tenants.ctx.config.put('config/mm', 'a neighbour');
    const read = await root('/config/get', { key: 'config/m', prefix: true });
    expect(read).toEqual([200, { result: { '': 'top', deep: { 'a/b': 'slash', on: 'true' } } }]);
    expect(await root('/config/delete', { key: 'config/m', prefix: true })).toEqual(ok);
    expect(await root('/config/get', { key: 'config/m', prefix: true })).toEqual([
      200,
      { result: {} },
    ]);
    expect(await tenants.ctx.config.get('config/mm')).toBe('a neighbour');
  });

  test('a map as deep as a request may be is refused', async () => {
    const deep = (name: string) => {
      let value: unknown = 'v';
      for (let depth = 0; depth < 3000; depth++) value = { [name]: value };
      return { key: 'k', value };
    };
    expect((await root('/config/set', deep('d')))[0]).toBe(400);
    expect((await root('/config/set', deep('')))[0]).toBe(400);
  });

  test('impossible keys and values are refused and change nothing', async () => {
    const before = await tenants.ctx.config.list('');
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v']));
    for (const [key, value] of [
      ['', 'v'],
      ['/', 'v'],
      ['a//b', 'v'],
      ['a\nb', 'v'],
      ['k'.repeat(1025), 'v'],
      ['k', null],
      ['k', ['v']],
      ['k', {}],
      ['k', many],
      ['k', 'x\0'],
      ['k', 'x'.repeat(65_537)],
    ]) {
      const [status] = await root('/config/set', { key, value });
      expect([key, status]).toEqual([key, 400]);
    }
    expect((await root('/config/delete', { key: '', prefix: true }))[0]).toBe(400);
    expect(await tenants.ctx.config.list('')).toEqual(before);
  });

  test('nobody but superadmins gets in, and changes are recorded without secrets', async () => {
    for (const who of ['user', 'admin', 'monitor', 'otherAdmin', 'otherUser'] as const) {
      for (const operation of ['get', 'set', 'delete']) {
        const [status] = await call(who, 'POST', `/config/${operation}`, { key: 'k', value: 'v' });
        expect([who, operation, status]).toEqual([who, operation, 403]);
      }
      const [status] = await call(who, 'PUT', '/manager/status', { status: 'frozen' });
      expect(status).toBe(403);
    }
    await root('/config/set', { key: 'config/redis/password', value: 'hunter2' });
    const rows = await tenants.db.sql`
      SELECT entity_id, operation, after::text AS after FROM audit_logs
       WHERE entity_type = 'config' AND entity_id = 'config/redis/password'`;
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain('hunter2');
  });
});

test('a frozen cluster refuses work until it runs again', async () => {
  const [, acl] = await call('user', 'GET', '/acl');
  expect(acl.vfolder_host_permission_list).toHaveLength(8);
  expect(await root('/manager/status', { status: 'frozen' }, 'PUT')).toEqual([204, null]);
  await until(async () => (await call('user', 'GET', '/acl'))[0] === 503, 'the cluster is frozen');
  const [, told] = await call('user', 'GET', '/manager/status');
  expect(told.status).toBe('frozen');
  expect((await root('/manager/status', { status: 'terminated' }, 'PUT'))[0]).toBe(400);
  const kill = { status: 'running', force_kill: true };
  expect((await root('/manager/status', kill, 'PUT'))[0]).toBe(400);
  expect(await root('/manager/status', { status: 'running' }, 'PUT')).toEqual([204, null]);
  await until(async () => (await call('user', 'GET', '/acl'))[0] === 200, 'the cluster runs');
});

test('freezing with force_kill ends every session; those in error are not active', async () => {
  const { sql } = tenants.db;
  await insertAgent(sql, 'i-killed');
  const projectId = tenants.projects.default;
  const common = { projectId, agentId: 'i-killed', owner: tenants.people.user };
  for (const [index, status] of ['RUNNING', 'PENDING', 'TERMINATING', 'ERROR'].entries()) {
    await insertSession(sql, { ...common, name: `kill-${index}`, status });
  }
  const active = async () => (await call('user', 'GET', '/manager/status'))[1].active_sessions;
  expect(await active()).toBe(2);
  const kill = { status: 'frozen', force_kill: true };
  expect((await call('admin', 'PUT', '/manager/status', kill))[0]).toBe(403);
  expect(await root('/manager/status', kill, 'PUT')).toEqual([204, null]);
  const rows = await sql`SELECT status FROM sessions WHERE name LIKE 'kill-%' ORDER BY name`;
  expect(rows.map(({ status }) => status)).toEqual([
    'TERMINATED',
    'CANCELLED',
    'TERMINATED',
    'ERROR',
  ]);
  expect(await active()).toBe(0);
  const { userId } = tenants.people.superadmin;
  const deeds =
    await sql`SELECT s.name FROM audit_logs a JOIN sessions s ON s.id::text = a.entity_id
    WHERE a.operation = 'delete' AND a.triggered_by = ${userId} AND s.name LIKE 'kill-%'
    ORDER BY s.name`;
  expect(deeds.map(({ name }) => name)).toEqual(['kill-0', 'kill-1', 'kill-2']);
  expect(await root('/manager/status', { status: 'running' }, 'PUT')).toEqual([204, null]);
  await until(async () => (await call('user', 'GET', '/acl'))[0] === 200, 'the cluster runs');
});

test('slots: those of any agent, or of a resource group that is open to the caller', async () => {
  const { sql } = tenants.db;
  await insertAgent(sql, 'i-1');
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain) VALUES ('default', 'default')`;
  await sql`UPDATE resource_slot_types SET display_name = 'Cores', display_unit = 'Core',
    description = 'CPU cores', display_icon = 'cpu' WHERE slot_name = 'cpu'`;
  await sql`INSERT INTO resource_slot_types (slot_name, slot_type) VALUES ('tpu.device', 'count')
    ON CONFLICT DO NOTHING`;
  const url = '/config/resource-slots/details';
  // Known kinds of devices that nobody has are not offered.
  const kinds = async () => (await call('otherUser', 'GET', '/config/resource-slots'))[1];
  expect(await kinds()).toEqual({ cpu: 'count', mem: 'bytes' });
  expect(Object.keys((await call('otherUser', 'GET', url))[1])).toEqual(['cpu', 'mem']);
  await sql`INSERT INTO agent_resources (agent_id, slot_name, capacity)
    VALUES ('i-1', 'tpu.device', 4)`;
  expect(await kinds()).toEqual({ cpu: 'count', mem: 'bytes', 'tpu.device': 'count' });
  const [status, all] = await call('otherUser', 'GET', url);
  expect(status).toBe(200);
  expect(Object.keys(all)).toEqual(['cpu', 'mem', 'tpu.device']);
  expect(all.cpu).toEqual({
    slot_name: 'cpu',
    description: 'CPU cores',
    human_readable_name: 'Cores',
    display_unit: 'Core',
    number_format: { binary: false, round_length: 0 },
    display_icon: 'cpu',
  });
  const slotsOf = async (who: Who) =>
    Object.keys((await call(who, 'GET', `${url}?sgroup=default`))[1]).sort();
  expect(await slotsOf('user')).toEqual(['cpu', 'mem', 'tpu.device']);
  expect(await slotsOf('superadmin')).toEqual(['cpu', 'mem', 'tpu.device']);
  expect(await slotsOf('otherUser')).toEqual([]);
  expect(await slotsOf('otherAdmin')).toEqual([]);
});

describe('small facts', () => {
  test('registries by project and name, for superadmins', async () => {
    const { sql } = tenants.db;
    await sql`INSERT INTO container_registries (url, registry_name, type, project, username, password)
      VALUES ('https://cr.example', 'cr.example', 'harbor2', 'stable', 'robot', 'hush'),
             ('https://none.example', 'none.example', 'docker', NULL, NULL, NULL)`;
    for (const path of ['/config/docker-registries', '/resource/container-registries']) {
      expect(await call('superadmin', 'GET', path)).toEqual([
        200,
        { 'stable/cr.example': 'https://cr.example' },
      ]);
      expect((await call('admin', 'GET', path))[0]).toBe(403);
    }
  });

  test('whose folders may be', async () => {
    await tenants.ctx.config.put('volumes/_types/user', '');
    expect(await call('otherUser', 'GET', '/config/vfolder-types')).toEqual([200, ['user']]);
  });
});

describe('the scheduler', () => {
  const operation = (op: string, args: unknown) =>
    root('/manager/scheduler/operation', { op, args });
  const schedulable = async () =>
    Object.fromEntries(
      (await tenants.db.sql`SELECT id, schedulable FROM agents`).map((row) => [
        row.id,
        row.schedulable,
      ]),
    );

  test('agents are taken out and back in, all of the named ones or none', async () => {
    await insertAgent(tenants.db.sql, 'i-sched-1');
    await insertAgent(tenants.db.sql, 'i-sched-2');
    expect((await operation('exclude-agents', ['i-sched-1', 'i-sched-2']))[0]).toBe(204);
    expect(await schedulable()).toMatchObject({ 'i-sched-1': false, 'i-sched-2': false });
    expect((await operation('include-agents', ['i-sched-1', 'i-none']))[0]).toBe(404);
    expect(await schedulable()).toMatchObject({ 'i-sched-1': false, 'i-sched-2': false });
    expect((await operation('include-agents', ['i-sched-1']))[0]).toBe(204);
    expect(await schedulable()).toMatchObject({ 'i-sched-1': true, 'i-sched-2': false });
    const records = await tenants.db.sql`
      SELECT 1 FROM audit_logs WHERE entity_type = 'agent' AND entity_id LIKE 'i-sched-%'`;
    expect(records).toHaveLength(3);
  });

  test('anything else is refused', async () => {
    expect((await operation('explode', []))[0]).toBe(400);
    expect((await operation('include-agents', 'i-sched-1'))[0]).toBe(400);
    expect((await root('/manager/scheduler/trigger', {}))[0]).toBe(400);
    expect((await call('superadmin', 'GET', '/manager/scheduler/status'))[0]).toBe(400);
    const body = { op: 'exclude-agents', args: ['i-sched-1'] };
    expect((await call('admin', 'POST', '/manager/scheduler/operation', body))[0]).toBe(403);
  });
});
