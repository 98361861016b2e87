/** The embedded PostgreSQL under supervision: it dies, and it is stopped while it comes back. */
import { afterAll, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { systemClock } from '../common/clock.ts';
import type { Logger } from '../common/logger.ts';
import { systemRandom } from '../common/random.ts';
import { silentLogger } from '../logging/logger.ts';
import { until } from '../testing/until.ts';
import { ensurePostgresBinaries } from './postgres/binaries.ts';
import { type PostgresOptions, startPostgres } from './postgres/server.ts';
import { supervisePostgres } from './supervisor.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-supervisor-'));
chmodSync(folder, 0o755);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function options(name: string): Promise<PostgresOptions> {
  const runtime = join(tmpdir(), `bai-runtime-${process.getuid?.() ?? 0}`);
  return {
    binaries: await ensurePostgresBinaries(runtime),
    dataDir: join(folder, name, 'data'),
    ...{ port: 0, clock: systemClock, random: systemRandom },
    ...{ durable: false, maxConnections: 10 },
  };
}

async function answers(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, connect_timeout: 2, onnotice: () => {} });
  try {
    await sql`select 1`;
    return true;
  } catch {
    return false;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

test('a killed server comes back at the same address', async () => {
  const supervised = await supervisePostgres(await options('killed'), systemClock, silentLogger);
  const { server } = supervised;
  process.kill(server.pid, 'SIGKILL');
  await server.exited;
  await until(() => answers(server.url('postgres')), 'it answers again');
  await supervised.stop();
  expect(await answers(server.url('postgres'))).toBe(false);
}, 60_000);

test('stopped while it comes back, it leaves no server behind', async () => {
  const setup = await options('stopped');
  const restarting = Promise.withResolvers<void>();
  const log: Logger = { ...silentLogger, warn: () => restarting.resolve() };
  const supervised = await supervisePostgres(setup, systemClock, log);
  process.kill(supervised.server.pid, 'SIGKILL');
  await restarting.promise;
  await supervised.stop();
  const next = await startPostgres({ ...setup, port: supervised.server.port });
  // Neither another server's data nor its port.
  expect({ adopted: next.adopted, port: next.port }).toEqual({
    adopted: false,
    port: supervised.server.port,
  });
  await next.stop();
}, 60_000);
