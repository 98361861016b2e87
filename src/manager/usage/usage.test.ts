/** Reports on what was used, from kernels in the database; and the books put right. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { signingClient } from '../../testing/manager.ts';
import { insertAgent, insertProject, insertSession } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { checkAccounting } from '../session/accounting-store.ts';
import { lengthText } from './period.ts';

let tenants: Tenants;
let ended: { sessionId: string; kernelId: string };
let running: { sessionId: string; kernelId: string };
const MIB_256 = 268_435_456;
const figure = (current: string, extra: Record<string, string> = {}) => ({
  ...{ current, capacity: '0', pct: '0', unit_hint: 'bytes' },
  ...{ 'stats.min': '0', 'stats.max': '0', 'stats.sum': '0', 'stats.avg': '0' },
  ...{ 'stats.diff': '0', 'stats.rate': '0', 'stats.version': null, ...extra },
});

beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  await insertProject(sql);
  await insertAgent(sql, 'i-one');
  const { user, otherUser } = tenants.people;
  const common = { agentId: 'i-one' };
  const own = { ...common, projectId: tenants.projects.default, owner: user };
  ended = await insertSession(sql, { ...own, name: 'ended', status: 'TERMINATED' });
  running = await insertSession(sql, { ...own, name: 'running' });
  const other = await insertSession(sql, {
    ...{ ...common, projectId: tenants.projects.elsewhere, owner: otherUser },
    ...{ name: 'theirs', domainName: 'elsewhere' },
  });
  const stat = {
    cpu_used: figure('1500'),
    mem: figure('100', { capacity: '4096' }),
    io_read: figure('10'),
    io_write: figure('20'),
    io_scratch_size: figure('5', { 'stats.max': '77' }),
  };
  await sql`UPDATE kernels SET created_at = now() - interval '3 hours',
      terminated_at = now() - interval '1 hour', last_stat = ${sql.json(stat)},
      occupied_slots = '{"cpu":"2","mem":"268435456","cuda.shares":"0.5"}',
      attached_devices = '{"cuda":[{"model_name":"H100","data":{"smp":132,"mem":1024}}]}',
      vfolder_mounts = '[{"name":"data","host_path":"/mnt/data"}]'
    WHERE id = ${ended.kernelId}`;
  await sql`UPDATE kernels SET created_at = now() - interval '2 hours'
    WHERE id IN (${running.kernelId}, ${other.kernelId})`;
  await tenants.ctx.live.set(
    `stat.kernel.${running.kernelId}`,
    JSON.stringify({ io_read: figure('1000') }),
    { ttlMs: 60_000 },
  );
});
afterAll(() => tenants.close());

const as = (who: keyof Tenants['people']) => signingClient(tenants.url, tenants.people[who]);
const metric = v.object({ value: v.number(), unit_hint: v.string() });
const bins = v.array(
  v.object({
    date: v.number(),
    num_sessions: metric,
    cpu_allocated: metric,
    mem_allocated: metric,
    gpu_allocated: metric,
    io_read_bytes: metric,
    disk_used: metric,
  }),
);
async function monthOf(who: keyof Tenants['people'], of: 'user' | 'admin' = 'user') {
  const response = await as(who)('GET', `/resource/stats/${of}/month`);
  expect(response.status).toBe(200);
  const all = v.parse(bins, await response.json());
  /** What is said of the time so many hours ago. */
  return (hoursAgo: number) => {
    const sec = Date.now() / 1000 - hoursAgo * 3600;
    const bin = all.findLast(({ date }) => date <= sec);
    return [
      ...[bin?.num_sessions.value, bin?.cpu_allocated.value, bin?.mem_allocated.value],
      ...[bin?.gpu_allocated.value, bin?.io_read_bytes.value, bin?.disk_used.value],
    ];
  };
}

describe('the last month', () => {
  test("of the caller: ended and running sessions, nobody else's", async () => {
    const at = await monthOf('user');
    expect(at(4)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(at(2.5)).toEqual([1, 2, MIB_256, 0.5, 10, 77]);
    expect(at(1.5)).toEqual([2, 3, 2 * MIB_256, 0.5, 1010, 77]);
    expect(at(0.1)).toEqual([1, 1, MIB_256, 0, 1000, 0]);
    expect((await monthOf('otherUser'))(1.5)).toEqual([1, 1, MIB_256, 0, 0, 0]);
    expect((await monthOf('admin'))(1.5)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test('of everybody, for superadmins', async () => {
    expect((await monthOf('superadmin', 'admin'))(1.5)).toEqual([
      ...[3, 4, 3 * MIB_256, 0.5, 1010, 77],
    ]);
  });
});

const day = (offset = 0) =>
  new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '');

describe('a month and a period', () => {
  const projects = v.array(
    v.looseObject({ g_id: v.string(), c_infos: v.array(v.looseObject({ id: v.string() })) }),
  );

  test('the month sums kernels by project', async () => {
    // The kernels may have begun in the month before.
    const month = new Date(Date.now() - 2 * 3_600_000).toISOString().slice(0, 7).replace('-', '');
    const get = async (query: string) => {
      const response = await as('superadmin')(
        'GET',
        `/resource/usage/month?month=${month}${query}`,
      );
      expect(response.status).toBe(200);
      return v.parse(projects, await response.json());
    };
    const all = await get('');
    const { default: mine, elsewhere } = tenants.projects;
    expect(all.map(({ g_id }) => g_id).sort()).toEqual([mine, elsewhere].sort());
    const [only, ...rest] = await get(`&group_ids=${mine}`);
    expect(rest).toEqual([]);
    expect(only).toMatchObject({
      g_name: 'work',
      domain_name: 'default',
      g_cpu_allocated: 3,
      g_cpu_used: 1500,
      g_mem_allocated: 2 * MIB_256,
      g_mem_used: 4096,
      g_shared_memory: 2 * 67_108_864,
      g_disk_used: 77,
      g_io_read: 1010,
      g_io_write: 20,
      g_device_type: ['H100'],
      g_smp: 132,
      g_gpu_mem_allocated: 1024,
      g_gpu_allocated: 0.5,
    });
    expect(only?.c_infos.find(({ id }) => id === ended.kernelId)).toMatchObject({
      name: 'ended',
      email: 'user@test.example',
      used_time: '2:00:00',
      nfs: ['/mnt/data'],
      status: 'TERMINATED',
    });
    expect(only?.c_infos.find(({ id }) => id === running.kernelId)).toMatchObject({
      used_time: null,
      terminated_at: null,
    });
    expect(await get(`&group_ids=${mine}&group_ids=${elsewhere}`)).toHaveLength(2);
    // As upstream's command line sends them: with commas, or nothing at all.
    expect(await get(`&group_ids=${mine},${elsewhere}`)).toHaveLength(2);
    expect(await get('&group_ids=')).toEqual(await get(''));
  });

  test('the period gives a tree of projects, sessions and kernels', async () => {
    const { default: mine } = tenants.projects;
    const path = `/resource/usage/period?start_date=${day(-1)}&end_date=${day()}`;
    const response = await as('superadmin')('GET', `${path}&project_id=${mine}`);
    expect(await response.json()).toMatchObject([
      {
        group_unit: 'project',
        project_id: mine,
        status: null,
        total_usage: { cpu_allocated: 3, io_read: 1010, nfs: ['/mnt/data'], device_type: ['H100'] },
        sessions: {
          [ended.sessionId]: {
            group_unit: 'session',
            session_name: 'ended',
            total_usage: { cpu_allocated: 2 },
            kernels: {
              [ended.kernelId]: { group_unit: 'kernel', agent: 'i-one', status: 'TERMINATED' },
            },
          },
          [running.sessionId]: { session_name: 'running', total_usage: { io_read: 1000 } },
        },
      },
    ]);
    const before = `/resource/usage/period?start_date=${day(-40)}&end_date=${day(-30)}`;
    expect(await (await as('superadmin')('GET', before)).json()).toEqual([]);
  });

  test.each([
    '/resource/usage/month?month=202613',
    '/resource/usage/month?month=000001',
    '/resource/usage/period?start_date=99991231&end_date=99991231',
    '/resource/usage/month?month=may',
    '/resource/usage/month',
    '/resource/usage/month?month=202601&group_ids=x',
    '/resource/usage/period?start_date=20260230&end_date=20260301',
    '/resource/usage/period?start_date=20260302&end_date=20260301',
    '/resource/usage/period?start_date=20260101&end_date=20260601',
  ])('%s is refused', async (path) => {
    expect((await as('superadmin')('GET', path)).status).toBe(400);
  });

  test('only superadmins read them', async () => {
    for (const who of ['admin', 'user', 'monitor', 'otherAdmin'] as const) {
      for (const path of [
        '/resource/stats/admin/month',
        '/resource/usage/month?month=202601',
        '/resource/usage/period?start_date=20260101&end_date=20260102',
      ]) {
        expect((await as(who)('GET', path)).status).toBe(403);
      }
      expect((await as(who)('POST', '/resource/recalculate-usage')).status).toBe(403);
    }
  });

  test.each([
    [0, '0:00:00'],
    [61_500, '0:01:01.500000'],
    [86_400_000, '1 day, 0:00:00'],
    [200_000_000, '2 days, 7:33:20'],
  ])('%d ms is written as %s', (ms, expected) => {
    expect(lengthText(ms)).toBe(expected);
  });
});

test('the books are put right, and every correction is recorded', async () => {
  const { sql } = tenants.db;
  await sql`INSERT INTO resource_allocations (kernel_id, slot_name, requested, used) VALUES
    (${running.kernelId}, 'cpu', 1, 1), (${ended.kernelId}, 'cpu', 2, 2)`;
  expect(await checkAccounting(sql)).not.toEqual([]);
  expect((await as('superadmin')('POST', '/resource/recalculate-usage')).status).toBe(200);
  const books = await sql`
    SELECT slot_name, reserved::float, used::float FROM agent_resources ORDER BY slot_name`;
  expect([...books]).toEqual([
    { slot_name: 'cpu', reserved: 0, used: 1 },
    { slot_name: 'mem', reserved: 0, used: 0 },
  ]);
  const freed = await sql`
    SELECT kernel_id FROM resource_allocations WHERE free_at IS NOT NULL`;
  expect(freed.map(({ kernel_id }) => kernel_id)).toEqual([ended.kernelId]);
  const records = await sql`
    SELECT entity_id FROM audit_logs WHERE entity_type = 'agent-resource' ORDER BY entity_id`;
  expect(records.map(({ entity_id }) => entity_id)).toEqual([
    ...[`${ended.kernelId} cpu`, 'i-one cpu', 'i-one mem'].sort(),
  ]);
  expect((await as('superadmin')('POST', '/resource/recalculate-usage')).status).toBe(200);
  const again = await sql`SELECT 1 FROM audit_logs WHERE entity_type = 'agent-resource'`;
  expect(again).toHaveLength(3);
});
