/** Sessions, agents and kinds of resources as the older half of the Python SDK searches them. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { signingClient } from '../../testing/manager.ts';
import { insertAgent } from '../../testing/sessions.ts';
import { tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
const ids = { mine: '', elsewhere: '', dead: '' };
let kernelId = '';
beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  const sessions = await tenantSessions(tenants);
  const mine = await sessions.insert('user', 'mine');
  const elsewhere = await sessions.insert('otherUser', 'elsewhere');
  const dead = await sessions.insert('user', 'dead');
  Object.assign(ids, {
    mine: mine.sessionId,
    elsewhere: elsewhere.sessionId,
    dead: dead.sessionId,
  });
  kernelId = mine.kernelId;
  await sql`UPDATE sessions SET status = 'ERROR', created_at = created_at - interval '1 day'
    WHERE id = ${dead.sessionId}`;
  await sql`UPDATE kernels SET last_stat = '{"mem": {"current": "5"}}' WHERE id = ${kernelId}`;
  await insertAgent(sql, 'i-lost');
  await sql`UPDATE agents SET status = 'LOST' WHERE id = 'i-lost'`;
  await sql`UPDATE resource_slot_types SET rank = 1, display_name = 'Processor' WHERE slot_name = 'cpu'`;
  await sql`UPDATE resource_slot_types SET rank = 2, display_name = 'Memory' WHERE slot_name = 'mem'`;
});
afterAll(() => tenants.close());

type Person = keyof Tenants['people'];
async function call(who: Person, method: string, path: string, body?: unknown) {
  const response = await signingClient(tenants.url, tenants.people[who])(method, path, body);
  return { status: response.status, json: await response.json() };
}
async function search(path: string, body: unknown, who: Person = 'superadmin') {
  const { status, json } = await call(who, 'POST', path, body);
  expect({ status, json }).toMatchObject({ status: 200 });
  return json;
}
const idsOf = ({ items }: { items: { id: string }[] }) => items.map(({ id }) => id);

test('sessions are told with their containers, filtered, ordered and counted', async () => {
  const sessions = '/compute-sessions/search';
  const { items, pagination } = await search(sessions, { filter: { name: { equals: 'mine' } } });
  expect(pagination).toEqual({ total: 1, offset: 0, limit: 50 });
  expect(items).toEqual([
    {
      ...{ id: ids.mine, name: 'mine', type: 'interactive', status: 'RUNNING' },
      ...{ image: expect.any(Array), scaling_group: 'default', terminated_at: null },
      ...{ resource_slots: expect.any(Object), occupied_slots: expect.any(Object) },
      ...{ created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/), starts_at: null },
      containers: [
        {
          ...{ id: kernelId, agent_id: 'i-one', status: 'RUNNING' },
          resource_usage: { mem: { current: '5' } },
        },
      ],
    },
  ]);
  const oldest = { order: [{ field: 'created_at', direction: 'asc' }], limit: 1 };
  expect(await search(sessions, oldest)).toMatchObject({
    items: [{ id: ids.dead }],
    pagination: { total: 3, offset: 0, limit: 1 },
  });
  // Of the statuses none is folded into another, as in the newer schema.
  expect(idsOf(await search(sessions, { filter: { status: ['ERROR'] } }))).toEqual([ids.dead]);
  expect(idsOf(await search(sessions, { filter: { status: [] } }))).toHaveLength(3);
  const narrow = { domain_name: { in: ['elsewhere'] }, scaling_group_name: { contains: 'def' } };
  expect(idsOf(await search(sessions, { filter: narrow }))).toEqual([ids.elsewhere]);
  const key = tenants.people.otherUser.accessKey;
  const byKey = { filter: { access_key: { equals: key } } };
  expect(idsOf(await search(sessions, byKey))).toEqual([ids.elsewhere]);
});

test('agents are told, filtered by status and resource group', async () => {
  const { items, pagination } = await search('/agents/search', {
    filter: { status: { in: ['ALIVE'] }, resource_group: { starts_with: 'def' } },
  });
  expect(pagination).toEqual({ total: 1, offset: 0, limit: 50 });
  expect(items).toEqual([
    {
      ...{ id: 'i-one', status: 'ALIVE', resource_group: 'default', schedulable: true },
      ...{ region: expect.any(String), addr: expect.any(String), version: expect.any(String) },
      ...{ architecture: expect.any(String), occupied_slots: expect.any(Object) },
      available_slots: expect.objectContaining({ cpu: expect.any(String) }),
    },
  ]);
  const filtered = async (status: object) =>
    idsOf(await search('/agents/search', { filter: { status } }));
  expect(await filtered({ not_equals: 'ALIVE' })).toEqual(['i-lost']);
  expect(await filtered({ in_: ['LOST'] })).toEqual(['i-lost']);
  expect(await filtered({ not_in: ['LOST'] })).toEqual(['i-one']);
  const order = [{ field: 'id', direction: 'desc' }];
  expect(idsOf(await search('/agents/search', { order }))).toEqual(['i-one', 'i-lost']);
});

test('kinds of resources are everybody’s to read', async () => {
  const path = '/resource-slot-types/search';
  for (const who of ['user', 'otherUser', 'superadmin'] as const) {
    const body = { filter: { display_name: { in: ['Processor', 'Memory'] } } };
    const { items, pagination } = await search(path, body, who);
    expect(items).toMatchObject([{ slot_name: 'cpu' }, { slot_name: 'mem' }]);
    expect(pagination).toEqual({ total: 2, offset: 0, limit: 50 });
  }
  const order = [{ field: 'slot_name', direction: 'desc' }];
  const byName = { filter: { slot_type: { equals: 'count' } }, order, limit: 1 };
  expect((await search(path, byName, 'user')).items).toHaveLength(1);
  expect(await call('user', 'GET', '/resource-slot-types/cpu')).toEqual({
    status: 200,
    json: {
      item: {
        ...{ slot_name: 'cpu', slot_type: 'count', display_name: 'Processor', rank: 1 },
        ...{ description: expect.any(String), display_unit: expect.any(String) },
        display_icon: expect.any(String),
        number_format: { binary: expect.any(Boolean), round_length: expect.any(Number) },
      },
    },
  });
  expect((await call('user', 'GET', '/resource-slot-types/none')).status).toBe(404);
});

test('sessions and agents of all are for superadmins, and nonsense is refused', async () => {
  const nowhere = [
    ['/compute-sessions/search', ['NONE']],
    ['/agents/search', { equals: 'NONE' }],
  ] as const;
  for (const [path, status] of nowhere) {
    for (const who of ['user', 'otherUser', 'admin', 'monitor', 'otherAdmin'] as const) {
      expect([who, (await call(who, 'POST', path, {})).status]).toEqual([who, 403]);
    }
    const wrong = [{ filter: { status } }, { limit: 0 }, { order: [{ field: 'x' }] }];
    for (const body of wrong) {
      expect((await call('superadmin', 'POST', path, body)).status).toBe(400);
    }
  }
  const badly = { filter: { slot_name: { resembles: 'c' } } };
  expect((await call('user', 'POST', '/resource-slot-types/search', badly)).status).toBe(400);
});
