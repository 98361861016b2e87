/** Fair shares, usage per day and what was tried with sessions over HTTP, as the Python SDK asks. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { signingClient } from '../../testing/manager.ts';
import { insertAgent, insertResourceGroup, insertSession } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { fairSharePass } from './upkeep.ts';

let tenants: Tenants;
let sessionId = '';
beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  await insertResourceGroup(sql, 'default');
  await insertAgent(sql, 'i-fair');
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain)
    VALUES ('default', 'default'), ('default', 'elsewhere') ON CONFLICT DO NOTHING`;
  const made = await insertSession(sql, {
    ...{ agentId: 'i-fair', name: 'used', domainName: 'default' },
    ...{ projectId: tenants.projects.default, owner: tenants.people.user },
  });
  sessionId = made.sessionId;
  const now = tenants.ctx.clock.now();
  await sql`DELETE FROM resource_allocations WHERE kernel_id = ${made.kernelId}`;
  await sql`INSERT INTO resource_allocations (kernel_id, slot_name, requested, used, used_at)
    VALUES (${made.kernelId}, 'cpu', 1, 1, ${new Date(now.getTime() - 60_000)})`;
  await fairSharePass(tenants.ctx, new AbortController().signal);
});
afterAll(() => tenants.close());

async function call(who: keyof Tenants['people'], method: string, path: string, body?: unknown) {
  const response = await signingClient(tenants.url, tenants.people[who])(method, path, body);
  return { status: response.status, json: await response.json() };
}
async function answer(method: string, path: string, body?: unknown) {
  const { status, json } = await call('superadmin', method, path, body);
  expect({ status, json }).toMatchObject({ status: 200 });
  return json;
}

const UUID = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);
const DAY = expect.stringMatching(/^\d{4}-\d\d-\d\d$/);

test('a share of each level is told, before and after something was used', async () => {
  const { default: project } = tenants.projects;
  const { userId } = tenants.people.user;
  const domain = await answer('GET', '/fair-share/domains/default/elsewhere');
  const shareId: string = domain.item.id;
  expect(domain).toEqual({
    item: {
      ...{ id: UUID, resource_group: 'default', domain_name: 'elsewhere' },
      spec: {
        ...{ weight: null, half_life_days: 7, lookback_days: 28, decay_unit_days: 1 },
        resource_weights: {
          entries: expect.arrayContaining([{ resource_type: 'cpu', quantity: '1' }]),
        },
      },
      calculation_snapshot: {
        ...{ fair_share_factor: '1', normalized_usage: '0', total_decayed_usage: { entries: [] } },
        ...{ lookback_start: DAY, lookback_end: DAY, last_calculated_at: ISO },
      },
      ...{ created_at: ISO, updated_at: ISO },
    },
  });
  // The same within the group, under the same id.
  const same = await answer('GET', '/fair-share/rg/default/domains/elsewhere');
  expect(same.item.id).toBe(shareId);
  const hex = project.replaceAll('-', '');
  expect(await answer('GET', `/fair-share/projects/default/${hex}`)).toMatchObject({
    item: { project_id: project, domain_name: 'default' },
  });
  const user = { user_uuid: userId, project_id: project };
  const path = `/fair-share/users/default/${project}/${userId}`;
  expect(await answer('GET', path)).toMatchObject({
    item: { ...user, calculation_snapshot: { total_decayed_usage: { entries: [{}] } } },
  });
  const within = `/fair-share/rg/default/domains/default/projects/${project}/users`;
  expect(await answer('GET', `${within}/${userId}`)).toMatchObject({ item: user });
  expect(await answer('POST', `${within}/search`, {})).toMatchObject({ items: [user] });
});

test('lists are filtered, ordered and counted', async () => {
  const search = async (body: object) => {
    const { items, pagination } = await answer(
      'POST',
      '/fair-share/rg/default/domains/search',
      body,
    );
    return [items.map((item: { domain_name: string }) => item.domain_name), pagination];
  };
  const pagination = { total: 2, offset: 0, limit: 50 };
  const byName = (direction: string) => ({ order: [{ field: 'domain_name', direction }] });
  expect(await search(byName('asc'))).toEqual([['default', 'elsewhere'], pagination]);
  expect(await search(byName('desc'))).toEqual([['elsewhere', 'default'], pagination]);
  const named = { filter: { domain_name: { in_: ['elsewhere'] } } };
  expect(await search(named)).toEqual([['elsewhere'], { ...pagination, total: 1 }]);
  expect(await search({ ...byName('asc'), limit: 1, offset: 1 })).toEqual([
    ['elsewhere'],
    { total: 2, offset: 1, limit: 1 },
  ]);
  const kept = { filter: { resource_group: { equals: 'default' } } };
  expect(await answer('POST', '/fair-share/domains/search', kept)).toMatchObject({
    items: [{ domain_name: 'default' }],
  });
  const ids = { filter: { project_id: { in_: [tenants.projects.elsewhere] } } };
  expect(await answer('POST', '/fair-share/projects/search', ids)).toMatchObject({ items: [] });
});

test('weights and rules are set, and others cannot', async () => {
  const { default: project } = tenants.projects;
  const { userId } = tenants.people.user;
  const weight = { weight: '2.5' };
  const changed = { item: { spec: { weight: '2.5' } } };
  const domain = '/fair-share/domains/default/default/weight';
  expect(await answer('PUT', domain, weight)).toMatchObject(changed);
  const inDomain = { ...weight, domain_name: 'default' };
  const ofProject = `/fair-share/projects/default/${project}/weight`;
  expect(await answer('PUT', ofProject, inDomain)).toMatchObject(changed);
  const ofUser = `/fair-share/users/default/${project}/${userId}/weight`;
  expect(await answer('PUT', ofUser, inDomain)).toMatchObject(changed);
  const inputs = [{ domain_name: 'default', weight: null }];
  const bulk = { resource_group: 'default', inputs };
  expect(await answer('POST', '/fair-share/domains/bulk-upsert-weight', bulk)).toEqual({
    upserted_count: 1,
  });
  expect(await answer('GET', '/fair-share/domains/default/default')).toMatchObject({
    item: { spec: { weight: null } },
  });

  const spec = '/fair-share/resource-groups/default/spec';
  const first = { half_life_days: 5, resource_weights: [{ resource_type: 'cpu', weight: '3' }] };
  await answer('PATCH', spec, first);
  const second = { resource_weights: [{ resource_type: 'mem', weight: 2 }] };
  const told = await answer('PATCH', spec, second);
  expect(told).toMatchObject({ resource_group: 'default', fair_share_spec: { half_life_days: 5 } });
  expect(told.fair_share_spec.resource_weights.entries).toEqual(
    expect.arrayContaining([
      { resource_type: 'cpu', quantity: '3' },
      { resource_type: 'mem', quantity: '2' },
    ]),
  );
  expect(await answer('GET', '/fair-share/resource-groups/specs')).toMatchObject({
    items: [told],
    total_count: 1,
  });
  expect((await call('admin', 'PUT', domain, weight)).status).toBe(403);
  // Nor do those that others name at the same time.
  const names = Array.from({ length: 10 }, (_none, at) => `slot${at}.shares`);
  await Promise.all(
    names.map((resource_type) =>
      answer('PATCH', spec, { resource_weights: [{ resource_type, weight: 4 }] }),
    ),
  );
  const [kept] = await tenants.db.sql`
    SELECT fair_share_spec->'resource_weights' AS weights FROM scaling_groups WHERE name = 'default'`;
  expect(Object.keys(kept?.weights)).toEqual(expect.arrayContaining(names));
  expect((await call('user', 'PATCH', spec, first)).status).toBe(403);
});

test('what is not there, and what is no weight', async () => {
  const status = async (method: string, path: string, body?: unknown) =>
    (await call('superadmin', method, path, body)).status;
  expect(await status('GET', '/fair-share/domains/nowhere/default')).toBe(404);
  expect(await status('GET', '/fair-share/resource-groups/nowhere/spec')).toBe(404);
  expect(await status('GET', '/fair-share/domains/default/nobody')).toBe(400);
  expect(await status('GET', '/fair-share/projects/default/nonsense')).toBe(400);
  const weight = { weight: '-1' };
  expect(await status('PUT', '/fair-share/domains/default/default/weight', weight)).toBe(400);
  const unknown = { filter: { domain_name: { sounds_like: 'x' } } };
  expect(await status('POST', '/fair-share/domains/search', unknown)).toBe(400);
});

test('usage per day, of all groups and of one', async () => {
  const { default: project } = tenants.projects;
  const bucket = {
    ...{ id: UUID, resource_group: 'default', domain_name: 'default' },
    metadata: { period_start: DAY, period_end: DAY, decay_unit_days: 1, created_at: ISO },
    resource_usage: { entries: [{ resource_type: 'cpu' }] },
  };
  const { items } = await answer('POST', '/fair-share/usage-buckets/domains/search', {});
  const day: string = items[0].metadata.period_start;
  expect(items[0]).toMatchObject(bucket);
  const on = (after: string, before: string) => ({ filter: { period_start: { after, before } } });
  const within = `/fair-share/rg/default/domains/default/projects/${project}`;
  const users = `${within}/usage-buckets/users/search`;
  expect(await answer('POST', users, on(day, day))).toMatchObject({
    items: [{ ...bucket, user_uuid: tenants.people.user.userId, project_id: project }],
  });
  expect((await answer('POST', users, on('2020-01-01', '2020-01-02'))).items).toEqual([]);
  const elsewhere = '/fair-share/rg/default/domains/elsewhere/usage-buckets/projects/search';
  expect((await answer('POST', elsewhere, {})).items).toEqual([]);
});

test('what was tried with sessions', async () => {
  const step = { step: 'plan', result: 'SUCCESS', started_at: null, ended_at: null };
  await tenants.db.sql`INSERT INTO session_scheduling_history
      (session_id, phase, from_status, to_status, result, message, sub_steps, attempts,
       created_at, updated_at)
    VALUES (${sessionId}, 'schedule', 'PENDING', 'SCHEDULED', 'SUCCESS', 'done',
            ${JSON.stringify([step])}::text::jsonb, 1, now(), now())`;
  const search = (filter: object) =>
    answer('POST', '/scheduling-history/sessions/search', { filter });
  const wanted = {
    ...{ session_id: { equals: sessionId }, phase: { contains: 'sched' } },
    ...{ from_status: ['PENDING'], result: ['SUCCESS'] },
  };
  expect(await search(wanted)).toMatchObject({
    items: [
      {
        ...{ id: UUID, session_id: sessionId, phase: 'schedule', from_status: 'PENDING' },
        ...{ to_status: 'SCHEDULED', result: 'SUCCESS', error_code: null, attempts: 1 },
        sub_steps: [{ step: 'plan', started_at: ISO, ended_at: ISO }],
        ...{ created_at: ISO, updated_at: ISO },
      },
    ],
    pagination: { total: 1, offset: 0, limit: 50 },
  });
  expect((await search({ ...wanted, to_status: ['RUNNING'] })).items).toEqual([]);
  const refused = await call('admin', 'POST', '/scheduling-history/sessions/search', {});
  expect(refused.status).toBe(403);
});
