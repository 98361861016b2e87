/** PostgreSQL dies by SIGKILL in the middle of session starts, again and again. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { systemClock } from '../common/clock.ts';
import { systemRandom } from '../common/random.ts';
import { ensurePostgresBinaries } from '../standalone/postgres/binaries.ts';
import { type PostgresServer, startPostgres } from '../standalone/postgres/server.ts';
import { type ControlPlaneFixture, controlPlaneFixture } from '../testing/control-plane.ts';
import { silentLog } from '../testing/manager.ts';
import { eventually } from '../testing/services.ts';
import { SimulatedAgent } from '../testing/simulated-agent.ts';
import { migrate } from './db/migrate.ts';
import { checkAccounting } from './session/accounting-store.ts';
import { waitForSession } from './session/service.ts';

const OUTAGES = 3;
const STARTS = 12;

let folder: string;
let binaries: string;
let server: PostgresServer;
let cluster: ControlPlaneFixture;

/** Acknowledged commits must survive, so this server is a durable one. */
const start = (port: number) =>
  startPostgres({
    ...{ binaries, dataDir: join(folder, 'data'), port, clock: systemClock, random: systemRandom },
    ...{ durable: true, maxConnections: 50 },
  });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bai-outage-'));
  chmodSync(folder, 0o755);
  binaries = await ensurePostgresBinaries(join(tmpdir(), `bai-runtime-${process.getuid?.() ?? 0}`));
  server = await start(0);
  const admin = postgres(server.url('postgres'), { max: 1, onnotice() {} });
  await admin.unsafe('create database outage');
  await admin.end();
  const url = server.url('outage');
  const sql = postgres(url, { max: 8, onnotice() {}, backoff: () => 0.05 });
  await migrate(sql, silentLog);
  cluster = await controlPlaneFixture({ db: { sql, url, drop: () => sql.end({ timeout: 1 }) } });
}, 60_000);

afterAll(async () => {
  await cluster.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

async function crash(): Promise<void> {
  const { pid, port, exited } = server;
  process.kill(pid, 'SIGKILL');
  await exited;
  // Its children notice within moments; until then the data folder is taken.
  let revived: PostgresServer | undefined;
  await eventually('the server is back', async () => {
    revived = await start(port).catch(() => undefined);
    return revived !== undefined;
  });
  if (revived) server = revived;
  expect(server.port).toBe(port);
}

test('no session is lost or stuck, and no slot stays reserved', async () => {
  const plane = await cluster.start();
  const slots = { cpu: '100', mem: String(100 * 2 ** 30) };
  const agent = await cluster.join(plane, new SimulatedAgent({ slots }));
  await cluster.sql`UPDATE keypair_resource_policies SET max_concurrent_sessions = 0`;
  const accepted: string[] = [];
  for (let outage = 0; outage < OUTAGES; outage += 1) {
    const starts = Array.from({ length: STARTS }, (_, index) =>
      cluster.enqueue(`s-${outage}-${index}`).then(
        (sessionId) => accepted.push(sessionId),
        // Refused in the outage: the client knows that there is no such session.
        () => undefined,
      ),
    );
    await Promise.race(starts);
    await crash();
    await Promise.all(starts);
    await eventually('the outbox is delivered', async () => {
      await agent.flush();
      return agent.undelivered === 0;
    });
    await agent.heartbeat();
  }
  for (const sessionId of accepted) {
    const wait = { until: 'running', timeoutMs: 20_000 } as const;
    expect((await waitForSession(cluster.ctx, sessionId, wait))?.status).toBe('RUNNING');
  }
  const rows = await cluster.sql`SELECT status, count(*)::int AS count FROM sessions GROUP BY 1`;
  // Some were stored although the reply was lost; all of them run as well.
  expect(rows.map((row) => row.status)).toEqual(['RUNNING']);
  expect(agent.kernels.size).toBe(rows[0]?.count ?? 0);
  expect(await checkAccounting(cluster.sql)).toEqual([]);
  await eventually('it leads', () => plane.isLeader());
}, 120_000);
