/** A PostgreSQL with a standby that has every commit before it is acknowledged. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres from 'postgres';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { ensurePostgresBinaries } from '../../standalone/postgres/binaries.ts';
import { type PostgresServer, startPostgres } from '../../standalone/postgres/server.ts';
import { createDatabase } from '../../standalone/postgres/store.ts';
import { hireJanitor } from '../janitor.ts';
import { silentLog } from '../manager.ts';
import { freePort } from '../services.ts';
import { until } from '../until.ts';

const REPLICATION = { wal_level: 'replica', max_wal_senders: '4', hot_standby: 'on' } as const;

export interface ReplicatedPostgres {
  readonly primary: PostgresServer;
  readonly standby: PostgresServer;
  /** Ends the primary at once, as a crash would. */
  killPrimary(): Promise<void>;
  /** Makes the standby the server that takes writes. */
  promote(): Promise<void>;
  stop(): Promise<void>;
}

async function ask(url: string, work: (sql: postgres.Sql) => Promise<unknown>): Promise<unknown> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

/** @param name of a database that both have. */
export async function startReplicatedPostgres(name: string): Promise<ReplicatedPostgres> {
  const folder = await mkdtemp(join(tmpdir(), 'bai-replicated-'));
  await chmod(folder, 0o755);
  const binaries = await ensurePostgresBinaries(
    join(tmpdir(), `bai-runtime-${process.getuid?.() ?? 0}`),
  );
  const [primaryPort, standbyPort] = [await freePort(), await freePort()];
  const start = (role: string, port: number, settings: Readonly<Record<string, string>>) =>
    startPostgres({
      ...{ binaries, dataDir: join(folder, role, 'data'), port, settings },
      ...{ durable: true, maxConnections: 150, clock: systemClock, random: systemRandom },
    });
  const origin = await start('primary', primaryPort, REPLICATION);
  await createDatabase({ url: origin.url('postgres') }, name, silentLog);
  await origin.stop();
  // A copy of a server that was stopped is a standby as soon as it is told whom to follow.
  await mkdir(join(folder, 'standby'), { mode: 0o755 });
  for (const part of ['data', 'postgres.secret']) {
    const copied = Bun.spawnSync(
      ['cp', '-a', join(folder, 'primary', part), join(folder, 'standby', part)],
      { timeout: 30_000 },
    );
    if (copied.exitCode !== 0) throw new Error(copied.stderr.toString());
  }
  const data = join(folder, 'standby/data');
  await writeFile(join(data, 'standby.signal'), '', { mode: 0o644 });
  const primary = await start('primary', primaryPort, {
    ...REPLICATION,
    synchronous_standby_names: '*',
  });
  const standby = await start('standby', standbyPort, {
    ...REPLICATION,
    primary_conninfo: `host=127.0.0.1 port=${primary.port} user=${primary.user} password=${primary.password}`,
  });
  const janitors = [primary, standby].map(({ pid }) => hireJanitor(pid, folder, 'QUIT'));
  await until(
    () =>
      ask(primary.url('postgres'), async (sql) => {
        const rows = await sql`SELECT FROM pg_stat_replication WHERE sync_state = 'sync'`;
        return rows.length === 1;
      }),
    'the standby follows the primary',
    60_000,
  );
  return {
    ...{ primary, standby },
    async killPrimary() {
      const [pid] = (await readFile(join(folder, 'primary/data/postmaster.pid'), 'utf8')).split(
        '\n',
      );
      process.kill(Number(pid), 'SIGKILL');
      await primary.exited;
    },
    promote: async () =>
      void (await ask(standby.url('postgres'), (sql) => sql`SELECT pg_promote(true)`)),
    async stop() {
      await Promise.all([primary.stop(), standby.stop()]);
      for (const janitor of janitors) janitor.dismiss();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
