/**
 * Servers with standbys: the master of Redis, a member of etcd and the primary of PostgreSQL are lost
 * while a hundred sessions start. None is lost and none is there twice; how long it took is printed.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import postgres, { type Sql } from 'postgres';
import { ApiError } from '../../client/errors.ts';
import { databaseTypes } from '../../manager/db/connect.ts';
import {
  freePort,
  missingTool,
  requireOrSkip,
  startEtcdMembers,
  startWatchedRedis,
  type TestService,
  type WatchedRedis,
} from '../services.ts';
import { until } from '../until.ts';
import {
  type DistributedCluster,
  SIMULATED_GROUP,
  startDistributedCluster,
} from './distributed.ts';
import { Program } from './programs.ts';
import { type ReplicatedPostgres, startReplicatedPostgres } from './replicated-postgres.ts';

const SESSIONS = 100;
const TIMEOUT_MS = 300_000;
const RECOVERY_MS = 60_000;
const ALREADY_EXISTS = 'session_create_already-exists';

const missing = missingTool('redis-server', 'redis-server') ?? missingTool('etcd', 'etcd-server');
const canRun = requireOrSkip(missing);

let redis: WatchedRedis;
let etcd: TestService[];
let database: ReplicatedPostgres;
let cluster: DistributedCluster;
let web: Program;
let webUrl = '';
let standby: Sql;
const undo = new AsyncDisposableStack();

async function startWeb(): Promise<void> {
  const port = await freePort();
  webUrl = `http://127.0.0.1:${port}`;
  const sentinels = redis.sentinels.map(({ addr }) => `"${addr}"`).join(', ');
  const settings = `[service]
ip = "127.0.0.1"
port = ${port}
[api]
endpoint = "${cluster.clientEnvironment.BACKEND_ENDPOINT}"
[session.redis]
sentinel = [${sentinels}]
service_name = "${redis.serviceName}"
`;
  await writeFile(join(cluster.folder, 'webserver.conf'), settings);
  web = new Program(['web', 'start-server'], { cwd: cluster.folder });
  await web.says('the web server is ready', RECOVERY_MS);
}

beforeAll(async () => {
  if (!canRun) return;
  [redis, etcd, database] = await Promise.all([
    startWatchedRedis(),
    startEtcdMembers(3),
    startReplicatedPostgres('backend'),
  ]);
  undo.defer(() => database.stop());
  undo.defer(() => redis.stop());
  undo.defer(async () => void (await Promise.all(etcd.map((member) => member.stop()))));
  const { primary, standby: second } = database;
  cluster = await startDistributedCluster({
    agents: ['dummy agent'],
    stores: {
      databaseUrl: primary.url('backend'),
      // The standby first: what is asked must be which one takes writes, not which one answers.
      databaseAddr: `127.0.0.1:${second.port},127.0.0.1:${primary.port}`,
      etcdAddr: etcd.map(({ addr }) => addr).join(','),
      redis: {
        sentinel: redis.sentinels.map(({ addr }) => addr).join(','),
        service_name: redis.serviceName,
      },
    },
  });
  undo.defer(() => cluster.stop());
  standby = postgres(second.url('backend'), { max: 2, types: databaseTypes, onnotice: () => {} });
  undo.defer(() => standby.end({ timeout: 2 }));
  await startWeb();
  undo.defer(async () => void (await web.stop()));
}, TIMEOUT_MS);

afterAll(() => undo.disposeAsync(), TIMEOUT_MS);

/** Repeats a request until it is answered, as a patient client does. */
async function start(name: string): Promise<void> {
  const spec = {
    name,
    image: 'dummy',
    scalingGroup: SIMULATED_GROUP,
    resources: { cpu: '1', mem: '80m' },
    enqueueOnly: true,
  };
  let wasSent = false;
  await until(
    async () => {
      const isRepeated = wasSent;
      wasSent = true;
      try {
        await cluster.client.session.create(spec, AbortSignal.timeout(20_000));
        return true;
      } catch (error) {
        // The name is this request's own: what was lost the first time is the answer.
        if (isRepeated && error instanceof ApiError && error.errorCode === ALREADY_EXISTS) {
          return true;
        }
        if (error instanceof ApiError && error.status < 500) throw error;
        return false;
      }
    },
    `${name} is accepted`,
    RECOVERY_MS,
  );
}

/** What the web server and the manager say of their stores. */
async function isWell(): Promise<boolean> {
  try {
    const { BACKEND_ENDPOINT = '' } = cluster.clientEnvironment;
    const answers = await Promise.all([
      fetch(`${BACKEND_ENDPOINT}/health/readyz`, { signal: AbortSignal.timeout(5_000) }),
      fetch(`${webUrl}/readyz`, { signal: AbortSignal.timeout(5_000) }),
    ]);
    return answers.every(({ ok }) => ok);
  } catch {
    return false;
  }
}

/** Loses something. @returns seconds until everything works again. */
async function lose(what: string, how: () => Promise<void>): Promise<void> {
  const began = performance.now();
  await how();
  // It has to be noticed first: what was well a moment ago says so for a moment.
  await start(`probe-${what}`);
  await until(isWell, `everything works without ${what}`, RECOVERY_MS);
  const seconds = (performance.now() - began) / 1000;
  console.log(`  ${what} lost: service back after ${seconds.toFixed(1)} s`);
}

test.skipIf(!canRun)(
  'no session is lost or doubled when each server is lost once',
  async () => {
    const started: Promise<void>[] = [];
    const begin = (count: number) => {
      for (let index = 0; index < count; index += 1) {
        const starting = start(`session-${String(started.length).padStart(3, '0')}`);
        // Looked at in the end.
        starting.catch(() => {});
        started.push(starting);
      }
    };
    begin(SESSIONS / 4);
    await lose('redis', () => redis.master.kill());
    begin(SESSIONS / 4);
    await lose('etcd', async () => {
      await etcd[0]?.kill();
    });
    begin(SESSIONS / 4);
    await lose('postgresql', async () => {
      await database.killPrimary();
      await database.promote();
    });
    begin(SESSIONS / 4);
    await Promise.all(started);
    const wanted = SESSIONS + 3;
    await until(
      async () => {
        const [row] = await standby<{ running: number }[]>`
          SELECT count(*) AS running FROM sessions WHERE status = 'RUNNING'`;
        return row?.running === wanted;
      },
      'all sessions run',
      RECOVERY_MS,
    ).catch(async (error: unknown) => {
      const left = await standby`SELECT name, status, status_info FROM sessions
        WHERE status <> 'RUNNING' LIMIT 10`;
      throw new Error(`${error}\n${JSON.stringify(left)}\n${await cluster.logs()}`);
    });
    const [books] = await standby<
      { sessions: number; names: number; kernels: number; containers: number; used: number }[]
    >`SELECT
        (SELECT count(*) FROM sessions) AS sessions,
        (SELECT count(DISTINCT name) FROM sessions) AS names,
        (SELECT count(*) FROM kernels) AS kernels,
        (SELECT count(DISTINCT container_id) FROM kernels) AS containers,
        (SELECT used::int FROM agent_resources WHERE slot_name = 'cpu') AS used`;
    expect(books).toEqual({
      sessions: wanted,
      names: wanted,
      kernels: wanted,
      containers: wanted,
      used: wanted,
    });
  },
  TIMEOUT_MS,
);
