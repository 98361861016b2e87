/**
 * Sessions that have ended stay in the tables for years. What is asked about those that live, or about one
 * user, must not read them all: neither quotas at each creation nor lists nor sums.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { type ControlPlaneFixture, controlPlaneFixture } from '../../testing/control-plane.ts';
import { SimulatedAgent } from '../../testing/simulated-agent.ts';
import { countActiveSessions } from '../config/store.ts';
import { LargeTotals } from '../graphql/large-totals.ts';
import { deleteEndedSessions } from '../history/store.ts';
import { countSessions } from '../metrics/store.ts';
import { sumOwnSessions } from '../resource-group/statistics-store.ts';
import { selectHeld, selectHeldByUser } from '../resource-preset/check-store.ts';
import { selectOccupancy } from '../scheduler/store.ts';
import { readLived } from '../usage/store.ts';
import { selectCounts, selectPendingSlots } from './enqueue-store.ts';
import { containersOfAgents, countOccupyingSessions, listSessions } from './graphql-store.ts';
import { selectSlotTotals } from './node-store.ts';
import { liveSessionStatuses, placedKernelStatuses } from './status.ts';
import { selectByPrefix, selectLiveIds } from './store.ts';
import { selectActiveUse } from './usage-store.ts';

const ENDED = 4_000;
const LIVE = 10;
/** Rows of sessions, kernels and what they hold that a statement may read; a page has 20 sessions. */
const MAX_READ = 300;

let cluster: ControlPlaneFixture;
let owner: { user: string; key: string; project: string };

/** Copies of a row, with other values in some columns; `n` counts them. */
async function copies(sql: Sql, table: string, where: string, values: Record<string, string>) {
  const rows = await sql`
    SELECT column_name AS name FROM information_schema.columns
    WHERE table_name = ${table} ORDER BY ordinal_position`;
  const names = v.parse(v.array(v.object({ name: v.string() })), [...rows]).map(({ name }) => name);
  await sql.unsafe(`
    INSERT INTO ${table} (${names.map((name) => `"${name}"`).join()})
    SELECT ${names.map((name) => values[name] ?? `t."${name}"`).join()}
    FROM (SELECT * FROM ${table} WHERE ${where}) AS t, generate_series(1, ${ENDED}) AS n`);
}

beforeAll(async () => {
  cluster = await controlPlaneFixture();
  const { sql, caller } = cluster;
  const plane = await cluster.start(await cluster.sibling('i-gateway'));
  await cluster.join(plane, new SimulatedAgent());
  await cluster.quiesce();
  const ids: string[] = [];
  for (let n = 0; n < LIVE; n += 1) ids.push(await cluster.enqueue(`live-${n}`, { reuse: false }));
  const [row] = await sql`SELECT s.group_id AS project, k.id FROM sessions s
    JOIN kernels k ON k.session_id = s.id WHERE s.id = ${ids[0] ?? ''}`;
  const first = v.parse(v.object({ project: v.string(), id: v.string() }), row);
  owner = { user: caller.userId, key: caller.accessKey, project: first.project };
  const ended = {
    status: `'TERMINATED'`,
    created_at: `timestamptz '2020-01-01' + n * interval '1 hour'`,
    terminated_at: `timestamptz '2020-01-01' + n * interval '1 hour'`,
    // A few are the same user's.
    user_uuid: `CASE WHEN n % 100 = 0 THEN t.user_uuid ELSE md5('user' || n % 100)::uuid END`,
    access_key: `CASE WHEN n % 100 = 0 THEN t.access_key ELSE 'AK' || n % 100 END`,
  };
  const session = { id: `md5('s' || n)::uuid`, name: `'ended-' || n` };
  await copies(sql, 'sessions', `id = '${ids[0]}'`, { ...ended, ...session });
  const kernel = { id: `md5('k' || n)::uuid`, session_id: `md5('s' || n)::uuid`, agent: `'i-sim'` };
  await copies(sql, 'kernels', `id = '${first.id}'`, { ...ended, ...kernel });
  await copies(sql, 'resource_allocations', `kernel_id = '${first.id}'`, {
    kernel_id: `md5('k' || n)::uuid`,
    free_at: ended.terminated_at,
  });
  await sql`UPDATE kernels SET status = 'RUNNING', agent = 'i-sim' WHERE terminated_at IS NULL`;
  await sql.unsafe('VACUUM ANALYZE sessions, kernels, resource_allocations');
});
afterAll(() => cluster.close());

async function rowsRead(sql: Sql): Promise<number> {
  const [row] = await sql`
    SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::int AS count
    FROM pg_stat_xact_user_tables
    WHERE relname IN ('sessions', 'kernels', 'resource_allocations')`;
  return v.parse(v.object({ count: v.number() }), row).count;
}

const anywhere = { domainName: null, accessKey: null };
const page = (sql: Sql, query: Partial<Parameters<typeof listSessions>[1]>) =>
  listSessions(
    { sql, totals: new LargeTotals(cluster.clock) },
    {
      ...{ scope: anywhere, groupId: null, statuses: null, filter: null, order: null },
      ...{ hideAgents: false, limit: 20, offset: 0, ...query },
    },
  );

const questions: Record<string, (sql: Sql) => PromiseLike<unknown>> = {
  'how many a keypair has': (sql) => selectCounts(sql, owner.key),
  'what a keypair waits for': (sql) => selectPendingSlots(sql, owner.key),
  'which begin with a name': (sql) => selectByPrefix(sql, owner.key, 'live', 10),
  'which live': (sql) => selectLiveIds(sql, null, 100),
  'how many hold resources': (sql) => countActiveSessions(sql),
  'how many of a keypair do': (sql) => countOccupyingSessions(sql, [owner.key]),
  'how many of each status there are': (sql) => countSessions(sql),
  'what runs on an agent': (sql) => containersOfAgents(sql, ['i-sim'], placedKernelStatuses),
  'what a project uses': (sql) => selectActiveUse(sql, { kind: 'project', ids: [owner.project] }),
  'what a keypair, a project and a domain hold': (sql) =>
    selectHeld(sql, { accessKey: owner.key, projectId: owner.project, domainName: 'default' }),
  'what a user holds': (sql) => selectHeldByUser(sql, owner.user, ['default']),
  'what a user holds in groups': (sql) => sumOwnSessions(sql, owner.user, ['default']),
  'what those that live hold': (sql) =>
    selectSlotTotals(sql, {
      ...{ statuses: liveSessionStatuses, filter: null, domainName: null, scalingGroup: null },
    }),
  'what a user used lately': async (sql) => {
    for await (const rows of readLived(sql, new Date('2026-01-01'), owner.user)) rows.at(0);
  },
  'a page of those that live': (sql) => page(sql, { statuses: liveSessionStatuses }),
  'a page of what a keypair has left': (sql) =>
    page(sql, { scope: { domainName: null, accessKey: owner.key } }),
  'those that ended first, to remove them': (sql) =>
    deleteEndedSessions(sql, new Date('2020-02-01'), 10),
};

/** What is asked on connections for statements that go by keys. */
const keyed: typeof questions = {
  'what placed sessions hold': (sql) => selectOccupancy(sql),
};

const all = [
  ...Object.entries(questions).map(([name, ask]) => ({ name, ask, pool: () => cluster.sql })),
  ...Object.entries(keyed).map(([name, ask]) => ({ name, ask, pool: () => cluster.ctx.keyed })),
];

test.each(all)('$name is told without reading what has ended', async ({ ask, pool }) => {
  const sql = await pool().reserve();
  try {
    await sql`BEGIN`;
    const before = await rowsRead(sql);
    await ask(sql);
    expect((await rowsRead(sql)) - before).toBeLessThan(MAX_READ);
  } finally {
    await sql`ROLLBACK`;
    sql.release();
  }
});

test('the page of all begins with what was made or ended last', async () => {
  const { rows, total } = await page(cluster.sql, { limit: LIVE + 3 });
  expect(total).toBe(ENDED + LIVE);
  const names = rows.map(({ name }) => name);
  expect(names.slice(0, LIVE).every((name) => name?.startsWith('live-'))).toBe(true);
  expect(names.slice(LIVE)).toEqual([`ended-${ENDED}`, `ended-${ENDED - 1}`, `ended-${ENDED - 2}`]);
  const next = await page(cluster.sql, { limit: 2, offset: LIVE + 3 });
  expect(next.rows.map(({ name }) => name)).toEqual([`ended-${ENDED - 3}`, `ended-${ENDED - 4}`]);
});

test('one that was made early and ended late comes first', async () => {
  const name = 'ended-7';
  await cluster.sql`UPDATE sessions SET terminated_at = '2999-01-01' WHERE name = ${name}`;
  const { rows } = await page(cluster.sql, { limit: 1 });
  expect(rows.map((row) => row.name)).toEqual([name]);
});
