/** Explanations through the API: who gets one, of real rows, and requests that are only tried. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { signingClient } from '../../testing/manager.ts';
import type { InsertedSession } from '../../testing/sessions.ts';
import { type TenantSessions, tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { globalId } from '../graphql/global-id.ts';
import { upsertImages } from '../image/catalog.ts';

type Who = Parameters<Tenants['ask']>[0];

const GIB = 1024 ** 3;

let tenants: Tenants;
let sessions: TenantSessions;
let big: InsertedSession;
let small: InsertedSession;
let abroad: InsertedSession;
let running: InsertedSession;

/** A waiting session that asks for so many cores, with the image of `local/python:3.11`. */
async function waiting(owner: 'user' | 'otherUser', name: string, cpu: number) {
  const { sql } = tenants.ctx;
  const inserted = await sessions.insert(owner, name, { status: 'PENDING' });
  await sql`insert into resource_allocations (kernel_id, slot_name, requested)
    values (${inserted.kernelId}, 'cpu', ${cpu}), (${inserted.kernelId}, 'mem', ${2 * GIB})`;
  await sql`update kernels set agent = null, agent_addr = null,
      image_id = (select id from images limit 1) where id = ${inserted.kernelId}`;
  return inserted;
}

beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.ctx;
  sessions = await tenantSessions(tenants);
  await sql`update resource_slot_types set required = true where slot_name in ('cpu', 'mem')`;
  await sql`insert into container_registries (url, registry_name, type, project, username, password,
      ssl_verify, is_global)
    values ('http://local', 'local', 'local', 'python', null, null, false, true)`;
  await upsertImages(sql, [
    {
      ...{ canonical: 'local/python:3.11', architecture: 'x86_64', digest: 'sha256:0' },
      ...{ sizeBytes: 1, labels: { role: 'COMPUTE' }, aliases: [] },
    },
  ]);
  await sql`update images set resources = '{"cpu": {"min": "2", "max": null}}'`;
  big = await waiting('user', 'big', 4);
  small = await waiting('user', 'small', 2);
  abroad = await waiting('otherUser', 'abroad', 1);
  running = await sessions.insert('user', 'running');
  await sql`insert into sgroups_for_domains (scaling_group, domain) values ('default', 'default')`;
});
afterAll(() => tenants.close());

const DOCUMENT = `query($id: GlobalIDField!) { compute_session_node(id: $id) { pending_explanation {
  starts_now agent_ids failed_rules { name message } passed_rules queue_position queue_length
  is_behind_reservation has_reservation
  closest_agents { agent_id wrong_architecture has_too_many_sessions
    missing { slot requested available missing } }
  estimated_start suggestion { summary resources cluster_size any_agent } } } }`;

async function ask(who: Who, { sessionId }: InsertedSession) {
  const id = globalId('ComputeSessionNode', sessionId);
  const answer = await tenants.ask(who, DOCUMENT, { id });
  expect(answer.errors).toBeNull();
  return JSON.parse(JSON.stringify(answer.data ?? {})).compute_session_node;
}

describe('pending_explanation', () => {
  test('has the rule, the numbers, the place, and what would help', async () => {
    expect(await ask('user', big)).toEqual({
      pending_explanation: {
        ...{ starts_now: false, agent_ids: [], queue_position: 1, queue_length: 3 },
        failed_rules: [
          {
            name: 'AgentSelector',
            message:
              "No agent of resource group 'default' has room: i-one (cpu: requested=4, available=2.5).",
          },
        ],
        passed_rules: expect.arrayContaining(['ConcurrencyLimitValidator']),
        ...{ is_behind_reservation: false, has_reservation: false },
        closest_agents: [
          {
            ...{ agent_id: 'i-one', wrong_architecture: null, has_too_many_sessions: false },
            missing: [{ slot: 'cpu', requested: '4', available: '2.5', missing: '1.5' }],
          },
        ],
        estimated_start: null,
        suggestion: {
          summary: 'It would start now with at most cpu=2 per kernel.',
          ...{ resources: '{"cpu":"2"}', cluster_size: null, any_agent: false },
        },
      },
    });
  });

  test('says where a session starts that is next, and nothing of one that does not wait', async () => {
    expect((await ask('user', small)).pending_explanation).toMatchObject({
      ...{ starts_now: true, agent_ids: ['i-one'], failed_rules: [], suggestion: null },
    });
    expect(await ask('user', running)).toEqual({ pending_explanation: null });
  });

  test('is for those who see the session', async () => {
    for (const who of ['superadmin', 'admin', 'monitor'] as const) {
      expect((await ask(who, big)).pending_explanation.queue_position).toBe(1);
    }
    expect(await ask('otherUser', big)).toBeNull();
    expect(await ask('otherAdmin', big)).toBeNull();
    expect((await ask('otherUser', abroad)).pending_explanation.queue_position).toBe(3);
  });
});

describe('POST /resource/what-if', () => {
  const body = (cpu: number, more: Record<string, unknown> = {}) => ({
    ...{ name: 'maybe', image: 'local/python:3.11', group: 'work' },
    config: { resources: { cpu, mem: '1g' } },
    ...more,
  });

  test('tells what would happen, and makes nothing', async () => {
    const { sql } = tenants.ctx;
    const count = async () => {
      const [row] = await sql`select (select count(*) from sessions)::int as sessions,
        (select count(*) from kernels)::int as kernels, (select count(*) from audit_logs)::int as logs`;
      return { ...row };
    };
    const before = await count();
    const send = signingClient(tenants.url, tenants.people.user);
    const refused = await send('POST', '/resource/what-if', body(4));
    expect(refused.status).toBe(200);
    expect(await refused.json()).toMatchObject({
      ...{ starts_now: false, queue_position: 4, queue_length: 4 },
      failed_rules: [{ name: 'AgentSelector' }],
    });
    const never = await send('POST', '/resource/what-if', body(1));
    expect(never.status).toBe(400);
    expect(await count()).toEqual(before);
  });

  test('takes what POST /session takes', async () => {
    const send = signingClient(tenants.url, tenants.people.user);
    const unknown = await send('POST', '/resource/what-if', body(2, { image: 'no/such:1' }));
    expect(unknown.status).toBe(404);
    const empty = await send('POST', '/resource/what-if', {});
    expect(empty.status).toBe(400);
  });
});
