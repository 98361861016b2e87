/** Presets and resource groups as users choose from them: the numbers, and who sees which. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import * as v from 'valibot';
import type { SlotMap } from '../../common/slots.ts';
import { signingClient } from '../../testing/manager.ts';
import { insertSession } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { formatLimits, remaining, smallest, toLimits } from './limits.ts';

let tenants: Tenants;

async function insertGroup(name: string, domain: string, isPublic = true): Promise<void> {
  const { sql } = tenants.db;
  await sql`INSERT INTO scaling_groups (name, is_active, is_public, driver, driver_opts, scheduler,
      scheduler_opts, use_host_network, default_deployment_options, default_session_options)
    VALUES (${name}, true, ${isPublic}, 'static', '{}', 'fifo', '{}', false, '{}', '{}')`;
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain) VALUES (${name}, ${domain})`;
}

async function insertAgent(id: string, group: string, cpu: number, more: { status?: string } = {}) {
  const { sql } = tenants.db;
  await sql`INSERT INTO agents (id, status, region, scaling_group, available_slots, occupied_slots,
      addr, version, architecture, compute_plugins)
    VALUES (${id}, ${more.status ?? 'ALIVE'}, 'local', ${group}, '{}', '{}', '127.0.0.1:1', '1',
      'x86_64', '{}')`;
  await sql`INSERT INTO agent_resources (agent_id, slot_name, capacity, reserved, used)
    VALUES (${id}, 'cpu', ${cpu}, 1, 0.5), (${id}, 'mem', 4096, 0, 0)`;
}

async function insertPreset(name: string, slots: SlotMap, group: string | null = null) {
  const { sql } = tenants.db;
  await sql`INSERT INTO resource_presets (name, resource_slots, shared_memory, scaling_group_name)
    VALUES (${name}, ${sql.json(slots)}, 1048576, ${group})`;
}

/** The user runs a session with 1 cpu, and waits for one more. */
async function insertSessions(): Promise<void> {
  const { sql } = tenants.db;
  const base = {
    owner: tenants.people.user,
    projectId: tenants.projects.default,
    agentId: 'i-small',
  };
  const running = await insertSession(sql, { ...base, name: 'running' });
  const waiting = await insertSession(sql, { ...base, name: 'waiting', status: 'PENDING' });
  const ended = await insertSession(sql, { ...base, name: 'ended', status: 'TERMINATED' });
  for (const { kernelId } of [running, waiting]) {
    await sql`INSERT INTO resource_allocations (kernel_id, slot_name, requested)
      VALUES (${kernelId}, 'cpu', 1), (${kernelId}, 'mem', 100)`;
  }
  await sql`INSERT INTO resource_allocations (kernel_id, slot_name, requested, free_at)
    VALUES (${ended.kernelId}, 'cpu', 1, now())`;
}

beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  await sql`INSERT INTO resource_slot_types (slot_name, slot_type, rank)
    VALUES ('cpu', 'count', 1), ('mem', 'bytes', 2) ON CONFLICT (slot_name)
    DO UPDATE SET rank = excluded.rank`;
  await sql`UPDATE resource_slot_types SET enabled = slot_name IN ('cpu', 'mem')`;
  await insertGroup('default', 'default');
  await insertGroup('hidden', 'default', false);
  await insertGroup('theirs', 'elsewhere');
  await insertAgent('i-small', 'default', 4);
  await insertAgent('i-large', 'hidden', 16);
  await insertAgent('i-lost', 'default', 64, { status: 'LOST' });
  await insertPreset('a-small', { cpu: '2', mem: '1024' });
  await insertPreset('b-wide', { cpu: '6', mem: '1024', 'cuda.shares': '1' });
  await insertPreset('c-hidden-only', { cpu: '1', mem: '1' }, 'hidden');
  await insertPreset('d-too-much', { cpu: '9', mem: '1' });
  await insertSessions();
});
afterAll(() => tenants.close());

type Who = keyof Tenants['people'];
async function call(who: Who, method: string, target: string, json?: unknown) {
  const response = await signingClient(tenants.url, tenants.people[who])(method, target, json);
  return { status: response.status, body: await response.json() };
}

const checked = v.looseObject({
  presets: v.array(v.looseObject({ name: v.string(), allocatable: v.boolean() })),
});
async function check(who: Who, more: object = {}) {
  const { status, body } = await call(who, 'POST', '/resource/check-presets', {
    group: 'work',
    ...more,
  });
  expect(status).toBe(200);
  const { presets, ...amounts } = v.parse(checked, body);
  return {
    allocatable: presets.filter((item) => item.allocatable).map((item) => item.name),
    amounts,
  };
}

test('presets of all groups are listed, those of one with it', async () => {
  const { status, body } = await call('otherUser', 'GET', '/resource/presets');
  expect(status).toBe(200);
  const [first, ...others] = v.parse(
    v.object({ presets: v.array(v.looseObject({})) }),
    body,
  ).presets;
  expect(first).toEqual({
    id: expect.any(String),
    name: 'a-small',
    resource_slots: { cpu: '2', mem: '1024' },
    shared_memory: '1048576',
  });
  expect(others).toMatchObject([
    { name: 'b-wide', resource_slots: { cpu: '6', mem: '1024' } },
    { name: 'd-too-much' },
  ]);
  const hidden = await call('user', 'GET', '/resource/presets?scaling_group=hidden');
  expect(JSON.stringify(hidden.body)).toContain('c-hidden-only');
});

describe('the check', () => {
  const unknown = { cpu: 'NaN', mem: 'NaN' };
  const unlimited = { cpu: 'Infinity', mem: 'Infinity' };

  test('adds up what agents have left and what the user holds', async () => {
    const { allocatable, amounts } = await check('user');
    expect(amounts).toEqual({
      keypair_limits: unlimited,
      keypair_using: { cpu: '1', mem: '100' },
      keypair_remaining: unlimited,
      group_limits: unknown,
      group_using: unknown,
      group_remaining: unknown,
      scaling_group_remaining: { cpu: '17', mem: '8192' },
      scaling_groups: {
        default: { using: { cpu: '1', mem: '100' }, remaining: { cpu: '2.5', mem: '4096' } },
        hidden: { using: { cpu: '0', mem: '0' }, remaining: { cpu: '14.5', mem: '4096' } },
      },
    });
    expect(allocatable).toEqual(['a-small', 'b-wide', 'd-too-much']);
    const one = await check('user', { scaling_group: 'default' });
    expect(one.allocatable).toEqual(['a-small']);
    expect(one.amounts.scaling_group_remaining).toEqual({ cpu: '2.5', mem: '4096' });
    const own = await check('user', { scaling_group: 'hidden' });
    expect(own.allocatable).toContain('c-hidden-only');
  });

  test('stays within keypair, project and domain, and shows the project only when allowed', async () => {
    const { sql } = tenants.db;
    await sql`UPDATE keypair_resource_policies SET total_resource_slots = '{"cpu":"10"}',
      default_for_unspecified = 'LIMITED' WHERE name = 'default'`;
    const limited = await check('user');
    expect(limited.amounts).toMatchObject({
      keypair_limits: { cpu: '10', mem: '0' },
      keypair_remaining: { cpu: '9', mem: '-100' },
      scaling_group_remaining: { cpu: '9', mem: '-100' },
    });
    expect(limited.allocatable).toEqual([]);
    await sql`UPDATE keypair_resource_policies SET default_for_unspecified = 'UNLIMITED'
      WHERE name = 'default'`;
    await sql`UPDATE groups SET total_resource_slots = '{"cpu":"8"}'
      WHERE id = ${tenants.projects.default}`;
    await sql`UPDATE domains SET total_resource_slots = '{"mem":"2148"}' WHERE name = 'default'`;
    await tenants.ctx.config.put('config/api/resources/group_resource_visibility', 'true');
    const { allocatable, amounts } = await check('user');
    expect(amounts).toMatchObject({
      keypair_remaining: { cpu: '7', mem: '2048' },
      group_limits: { cpu: '8', mem: 'Infinity' },
      group_using: { cpu: '1', mem: '100' },
      group_remaining: { cpu: '7', mem: 'Infinity' },
    });
    expect(allocatable).toEqual(['a-small', 'b-wide']);
  });

  test('is about projects and resource groups of the caller only', async () => {
    const outcome = async (who: Who, body: object) =>
      (await call(who, 'POST', '/resource/check-presets', body)).status;
    expect(await outcome('user', { group: 'nothing' })).toBe(404);
    expect(await outcome('otherUser', { group: tenants.projects.default })).toBe(404);
    expect(await outcome('otherAdmin', { group: tenants.projects.default })).toBe(404);
    expect(await outcome('monitor', { group: 'work' })).toBe(404);
    expect(await outcome('user', { group: 'work', scaling_group: 'theirs' })).toBe(400);
    expect(await outcome('user', {})).toBe(400);
    const theirs = await check('otherUser');
    expect(Object.keys(theirs.amounts.scaling_groups ?? {})).toEqual(['theirs']);
    expect(theirs.amounts.keypair_using).toEqual({ cpu: '0', mem: '0' });
    await check('admin');
    await check('superadmin');
  });
});

test('resource groups: users see public ones of their project, administrators all', async () => {
  const names = async (who: Who, query: string) => {
    const { status, body } = await call(who, 'GET', `/scaling-groups?${query}`);
    return status === 200 ? body : status;
  };
  const one = { scaling_groups: [{ name: 'default' }] };
  expect(await names('user', 'group=work')).toEqual(one);
  expect(await names('user', `group_id=${tenants.projects.default}`)).toEqual(one);
  const both = { scaling_groups: [{ name: 'default' }, { name: 'hidden' }] };
  expect(await names('admin', 'group_name=work')).toEqual(both);
  expect(await names('superadmin', 'group=work')).toEqual(both);
  expect(await names('otherUser', 'group=work')).toEqual({ scaling_groups: [{ name: 'theirs' }] });
  expect(await names('otherUser', `group=${tenants.projects.default}`)).toBe(404);
  expect(await names('user', '')).toBe(400);
});

test('what is left never exceeds any limit', () => {
  const amounts = fc.dictionary(
    fc.constantFrom('cpu', 'mem'),
    fc.oneof(fc.nat(100).map(String), fc.constant('Infinity')),
  );
  const known = ['cpu', 'mem'];
  fc.assert(
    fc.property(amounts, amounts, fc.nat(200), (first, second, held) => {
      const using = new Map([['cpu', BigInt(held) * 1_000_000n]]);
      const limits = [first, second].map((map) => toLimits(map, known, 'UNLIMITED'));
      const [one, two] = limits.map((limit) => remaining(limit, using));
      if (!one || !two) throw new Error('two limits were made');
      const least = formatLimits(smallest(one, two));
      const expected = Math.min(Number(first.cpu ?? Infinity), Number(second.cpu ?? Infinity));
      expect(Number(least.cpu)).toBe(expected - held);
      expect(smallest(one, two)).toEqual(smallest(two, one));
    }),
  );
});
