/** Scheduling histories and ending several sessions: by owner, roles and administrators, across tenants. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { type TenantSessions, tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { provideSystemRoles } from '../authz/system-roles.ts';
import { globalId } from '../graphql/global-id.ts';

type Who = Parameters<Tenants['ask']>[0];

let tenants: Tenants;
let sessions: TenantSessions;
let mine = '';
let abroad = '';

beforeAll(async () => {
  tenants = await testTenants();
  sessions = await tenantSessions(tenants);
  await provideSystemRoles(tenants.ctx.sql);
});
beforeEach(async () => {
  const { sql } = tenants.ctx;
  await sql`delete from kernels`;
  await sql`delete from sessions`;
  mine = (await sessions.insert('user', 'mine')).sessionId;
  abroad = (await sessions.insert('otherUser', 'abroad')).sessionId;
});
afterAll(() => tenants.close());

/** Makes a user an administrator of a project by giving it the project's role. */
async function makeProjectAdmin(userId: string, projectId: string): Promise<void> {
  const { sql } = tenants.ctx;
  const granted = await sql`
    insert into user_roles (user_id, role_id)
    select distinct ${userId}::uuid, p.role_id from permissions p
     where p.scope_type = 'project' and p.scope_id = ${projectId} and p.entity_type = 'session'
       and p.operation = 'soft-delete' returning role_id`;
  expect(granted).toHaveLength(1);
}

async function data(who: Who, query: string, variables?: unknown) {
  const answer = await tenants.ask(who, query, variables);
  expect(answer.errors).toBeNull();
  return JSON.parse(JSON.stringify(answer.data ?? {}));
}

const statusOf = async (id: string): Promise<string> => {
  const [row] = await tenants.ctx.sql`select status from sessions where id = ${id}`;
  return String(row?.status);
};

describe('scheduling histories', () => {
  const query = `query($id: UUID!, $filter: SessionSchedulingHistoryFilter,
      $orderBy: [SessionSchedulingHistoryOrderBy!], $limit: Int) {
    sessionScopedSchedulingHistories(scope: { sessionId: $id }, filter: $filter, orderBy: $orderBy,
      limit: $limit) { count edges { node { id sessionId phase fromStatus toStatus result errorCode
        message attempts createdAt updatedAt subSteps { step result errorCode message startedAt
          endedAt } } } } }`;

  beforeEach(async () => {
    await tenants.ctx.sql`delete from session_scheduling_history`;
    await tenants.ctx.sql`insert into session_scheduling_history (session_id, phase, from_status,
        to_status, result, error_code, message, sub_steps, attempts, created_at, updated_at)
      values
        (${mine}, 'schedule-sessions', 'PENDING', 'PENDING', 'NEED_RETRY', 'reserved', 'no room',
         ${'[{"step":"pick","result":"FAILURE","error_code":"reserved","message":"m","started_at":"2026-01-01T00:00:00+00:00","ended_at":null}]'}::text::jsonb,
         3, '2026-01-01T00:00:00Z', '2026-01-01T00:00:05Z'),
        (${mine}, 'schedule-sessions', 'PENDING', 'SCHEDULED', 'SUCCESS', null, 'placed', '[]', 1,
         '2026-01-01T00:00:10Z', '2026-01-01T00:00:10Z'),
        (${abroad}, 'schedule-sessions', 'PENDING', 'SCHEDULED', 'SUCCESS', null, 'placed', '[]', 1,
         '2026-01-01T00:00:10Z', '2026-01-01T00:00:10Z')`;
  });

  test('tell what was tried with a session, newest first, filtered and ordered', async () => {
    const { sessionScopedSchedulingHistories: all } = await data('user', query, { id: mine });
    expect(all.count).toBe(2);
    expect(all.edges.map(({ node }: { node: { toStatus: string } }) => node.toStatus)).toEqual([
      'SCHEDULED',
      'PENDING',
    ]);
    expect(all.edges[1].node).toMatchObject({
      ...{ sessionId: mine, phase: 'schedule-sessions', result: 'NEED_RETRY', attempts: 3 },
      ...{ errorCode: 'reserved', message: 'no room' },
      subSteps: [
        {
          ...{ step: 'pick', result: 'FAILURE', errorCode: 'reserved', message: 'm' },
          ...{ startedAt: '2026-01-01T00:00:00.000000+00:00', endedAt: null },
        },
      ],
    });
    const filtered = await data('user', query, {
      id: mine,
      filter: { result: { in: ['NEED_RETRY'] }, fromStatus: ['PENDING'] },
      orderBy: [{ field: 'CREATED_AT', direction: 'ASC' }],
      limit: 5,
    });
    expect(filtered.sessionScopedSchedulingHistories.count).toBe(1);
  });

  test('are for those who may read the session', async () => {
    expect(await tenants.outcomes(query, { id: mine })).toEqual({
      ...{ superadmin: 'data', admin: 'data', user: 'data', monitor: 'data' },
      ...{ otherAdmin: 'error', otherUser: 'error' },
    });
    const nowhere = '00000000-0000-4000-8000-000000000000';
    const { errors } = await tenants.ask('user', query, { id: nowhere });
    const { errors: others } = await tenants.ask('otherUser', query, { id: mine });
    expect(others?.[0]?.extensions).toEqual(errors?.[0]?.extensions);
    const all = '{ adminSessionSchedulingHistories { count edges { node { message } } } }';
    expect((await data('superadmin', all)).adminSessionSchedulingHistories.count).toBe(3);
    const outcomes = await tenants.outcomes(all);
    expect(outcomes).toMatchObject({ admin: 'error', user: 'error', monitor: 'error' });
  });
});

describe('terminateSessionsV2', () => {
  const mutation = `mutation($ids: [ID!]!, $forced: Boolean!) {
    terminateSessionsV2(sessionIds: $ids, forced: $forced) {
      cancelled terminating forceTerminated skipped } }`;
  const end = (who: Who, ids: string[], forced = false) =>
    tenants.ask(who, mutation, { ids, forced });
  const outcome = { cancelled: [], terminating: [], forceTerminated: [], skipped: [] };

  test('tells what became of each, by either form of ids, and again nothing', async () => {
    const waiting = (await sessions.insert('user', 'waiting', { status: 'PENDING' })).sessionId;
    const ids = [mine, globalId('ComputeSessionNode', waiting)];
    const { data: first } = await end('user', ids);
    expect(first?.terminateSessionsV2).toEqual({
      ...{ ...outcome, terminating: [mine], cancelled: [waiting] },
    });
    expect([await statusOf(mine), await statusOf(waiting)]).toEqual(['TERMINATING', 'CANCELLED']);
    const { data: again } = await end('user', ids);
    expect(again?.terminateSessionsV2).toEqual({ ...outcome, skipped: [mine, waiting] });
    const { data: forced } = await end('user', [mine], true);
    expect(forced?.terminateSessionsV2).toEqual({ ...outcome, forceTerminated: [mine] });
    const audited = await tenants.ctx.sql`select operation from audit_logs
      where entity_type = 'session' and entity_id = ${waiting}`;
    expect(audited.map(({ operation }) => operation)).toEqual(['delete']);
  });

  test.each(['otherUser', 'otherAdmin', 'monitor'] as const)('%s may not', async (who) => {
    const { data: answer, errors } = await end(who, [mine]);
    expect(answer?.terminateSessionsV2).toBeNull();
    expect(errors).toHaveLength(1);
    expect(await statusOf(mine)).toBe('RUNNING');
  });

  test.each(['admin', 'superadmin'] as const)('the %s may', async (who) => {
    const { data: answer } = await end(who, [mine]);
    expect(answer?.terminateSessionsV2).toEqual({ ...outcome, terminating: [mine] });
  });

  test("a project's administrator ends its members' sessions, and no other project's", async () => {
    const { monitor } = tenants.people;
    await makeProjectAdmin(monitor.userId, tenants.projects.default);
    const both = await end('monitor', [mine, abroad]);
    expect(both.errors).toHaveLength(1);
    expect([await statusOf(mine), await statusOf(abroad)]).toEqual(['RUNNING', 'RUNNING']);
    const { data: answer } = await end('monitor', [mine]);
    expect(answer?.terminateSessionsV2).toEqual({ ...outcome, terminating: [mine] });
    await tenants.ctx.sql`delete from user_roles where user_id = ${monitor.userId}`;
  });

  test('ids that are none, and too many, are refused', async () => {
    expect((await end('user', ['x'])).errors?.[0]?.message).toContain('no session id');
    const many = Array.from({ length: 101 }, () => mine);
    expect((await end('user', many)).errors?.[0]?.message).toContain('At most 100');
  });
});
