/** The embedded PostgreSQL: starts, adoption, and failures. */
import { afterAll, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { ensurePostgresBinaries } from './binaries.ts';
import { type PostgresOptions, startPostgres } from './server.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-pg-test-'));
chmodSync(folder, 0o755);
afterAll(() => rm(folder, { recursive: true, force: true }));

async function options(name: string): Promise<PostgresOptions> {
  return {
    binaries: await ensurePostgresBinaries(
      join(tmpdir(), `bai-runtime-${process.getuid?.() ?? 0}`),
    ),
    dataDir: join(folder, name, 'data'),
    port: 0,
    clock: systemClock,
    random: systemRandom,
    durable: true,
    maxConnections: 20,
  };
}

async function query(url: string): Promise<string> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql`create table if not exists kept (value text)`;
    await sql`insert into kept values ('row')`;
    const [row] = await sql<{ count: string }[]>`select count(*) from kept`;
    return row?.count ?? '';
  } finally {
    await sql.end();
  }
}

test('keeps its data over a stop and a start, and is PostgreSQL 18', async () => {
  const setup = await options('restart');
  const first = await startPostgres(setup);
  expect(await query(first.url('postgres'))).toBe('1');
  await first.stop();
  const second = await startPostgres(setup);
  expect(second.adopted).toBe(false);
  expect(await query(second.url('postgres'))).toBe('2');
  const sql = postgres(second.url('postgres'), { max: 1 });
  const [version] = await sql<{ v: string }[]>`select current_setting('server_version') as v`;
  expect(version?.v).toStartWith('18.');
  await sql.end();
  await second.stop();
});

test('a second start on the same data adopts the running server', async () => {
  const setup = await options('adopt');
  const first = await startPostgres(setup);
  const second = await startPostgres(setup);
  expect(second.adopted).toBe(true);
  expect(second.pid).toBe(first.pid);
  expect(second.password).toBe(first.password);
  await second.stop();
  await first.exited;
});

test('recovers after kill -9 of the server', async () => {
  const setup = await options('killed');
  const first = await startPostgres(setup);
  await query(first.url('postgres'));
  process.kill(first.pid, 'SIGKILL');
  await first.exited;
  const second = await startPostgres(setup);
  expect(await query(second.url('postgres'))).toBe('2');
  await second.stop();
});

test('takes another port when the wanted one is in use', async () => {
  const occupant = createServer();
  const port = await new Promise<number>((resolve) => {
    occupant.listen(0, '127.0.0.1', () => {
      const address = occupant.address();
      resolve(address !== null && typeof address === 'object' ? address.port : 0);
    });
  });
  const server = await startPostgres({ ...(await options('port')), port });
  expect(server.port).not.toBe(port);
  await server.stop();
  occupant.close();
});

test('a broken configuration is reported with the end of the server log', async () => {
  const setup = await options('broken');
  const server = await startPostgres(setup);
  await server.stop();
  await Bun.write(join(setup.dataDir, 'postgresql.auto.conf'), "no_such_setting = 'x'\n");
  await expect(startPostgres(setup)).rejects.toThrow(/no_such_setting/);
});
