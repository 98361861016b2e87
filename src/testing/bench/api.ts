/**
 * The manager's API under load: one manager process on PostgreSQL, Redis and etcd, wrk beside it, and
 * databases of 1 000, 10 000 and 100 000 users, keypairs and sessions.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { connectDatabase } from '../../manager/db/connect.ts';
import { hireJanitor } from '../janitor.ts';
import { signedHeaders, silentLog } from '../manager.ts';
import { testDatabase } from '../postgres.ts';
import { freePort, startEtcd, startRedis } from '../services.ts';
import { until } from '../until.ts';
import { addRows, type BenchAccount, type BenchAccounts, prepareRows } from './api-rows.ts';
import { scratch } from './executable.ts';
import { exec } from './measure.ts';
import { type Load, type LoadFigures, load } from './wrk.ts';

const SIZES = [1_000, 10_000, 100_000];
const CONNECTIONS = 32;
const SECONDS = 5;
const START_TIMEOUT_MS = 60_000;
/** Pages asked one by one to count their queries. */
const COUNTED_PAGES = 100;
/** After which an idle connection has told the server what it did. Milliseconds. */
const STATISTICS_MS = 12_000;

const USER_DOCUMENT =
  '{ keypair { access_key is_active rate_limit resource_policy } user { email full_name role } }';
const PAGE_DOCUMENT = `{ compute_session_nodes(first: 20, filter: "status == \\"RUNNING\\"",
  order: "-created_at") { count edges { node { id row_id name status created_at owner { email } } } } }`;

interface BenchManager {
  readonly url: string;
  readonly databaseUrl: string;
  readonly sql: Sql;
  readonly accounts: BenchAccounts;
}

const managerToml = (database: URL, etcd: string, port: number, internal: number) => `[db]
addr = "${database.hostname}:${database.port}"
name = "${database.pathname.slice(1)}"
user = "${database.username}"
password = "${database.password}"
[etcd]
addr = "${etcd}"
namespace = "bench"
[manager]
id = "i-bench"
service-addr = "127.0.0.1:${port}"
internal-addr = "127.0.0.1:${internal}"
[logging]
level = "WARNING"
`;

/** Starts the servers and the manager, and ends them after `work`. */
async function withManager(
  executable: string,
  work: (manager: BenchManager) => Promise<void>,
): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const [etcd, redis, db] = await Promise.all([
    startEtcd(),
    startRedis(),
    testDatabase({ migrated: true }),
  ]);
  undo.defer(async () => {
    await db.drop();
    await Promise.all([etcd.stop(), redis.stop()]);
  });
  const folder = scratch('api');
  await mkdir(folder, { recursive: true });
  const port = await freePort();
  const config = join(folder, 'manager.toml');
  await writeFile(config, managerToml(new URL(db.url), etcd.addr, port, await freePort()), {
    mode: 0o600,
  });
  await exec([executable, 'mgr', 'etcd', 'put', 'config/redis/addr', redis.addr, '-f', config]);
  const accounts = await prepareRows(db.sql);
  const child = Bun.spawn([executable, 'mgr', 'start-server', '-f', config], {
    ...{ cwd: folder, stdin: 'ignore', stdout: 'ignore', stderr: 'inherit' },
  });
  const janitor = hireJanitor(child.pid, '', 'TERM');
  undo.defer(async () => {
    child.kill();
    await child.exited;
    janitor.dismiss();
  });
  const url = `http://127.0.0.1:${port}`;
  const answers = async () => (await fetch(`${url}/health`).catch(() => null))?.ok === true;
  await until(answers, 'the manager answers', START_TIMEOUT_MS);
  await work({ url, databaseUrl: db.url, sql: db.sql, accounts });
}

type Request = Pick<Load, 'method' | 'headers' | 'body'> & { readonly target: string };

/** A request signed now; signatures are good for minutes. */
function signed(url: string, account: BenchAccount, target: string, query?: string): Request {
  const method = query === undefined ? 'GET' : 'POST';
  const contentType = query === undefined ? undefined : 'application/json';
  const headers = signedHeaders(account, { method, target, host: new URL(url).host, contentType });
  return { method, target, headers, body: query && JSON.stringify({ query }) };
}

const graphqlAnswer = v.object({ errors: v.null() });

/** Asks once. @throws when the answer is none that should be measured. */
async function check(url: string, { method, target, headers, body }: Request): Promise<void> {
  const response = await fetch(`${url}${target}`, { method, headers, body });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${target} answered ${response.status}: ${text}`);
  if (body !== undefined) v.parse(graphqlAnswer, JSON.parse(text));
}

async function measure(url: string, request: Request, connections: number): Promise<LoadFigures> {
  await check(url, request);
  const { target, ...rest } = request;
  // What is compiled and cached on first use is not what is measured.
  await load(`${url}${target}`, { ...rest, connections, seconds: 1 });
  return load(`${url}${target}`, { ...rest, connections, seconds: SECONDS });
}

const transactions = v.tuple([v.object({ count: v.pipe(v.string(), v.transform(Number)) })]);

/** Statements that one page costs: each is a transaction of its own. */
async function queriesPerPage({ url, sql, accounts }: BenchManager): Promise<number> {
  const count = async () => {
    // What a connection did is reported when it has been idle for a moment.
    await sql`SELECT pg_stat_force_next_flush()`;
    const [{ count: total }] = v.parse(
      transactions,
      await sql`SELECT xact_commit::text AS count FROM pg_stat_database
                 WHERE datname = current_database()`,
    );
    return total;
  };
  /** Statements within a time that is long enough for every connection to have told of them. */
  const during = async (work: () => Promise<void>) => {
    const before = await count();
    await work();
    await Bun.sleep(STATISTICS_MS);
    return (await count()) - before;
  };
  await Bun.sleep(STATISTICS_MS);
  // What the manager does by itself.
  const other = await during(async () => {});
  const page = signed(url, accounts.superadmin, '/admin/gql', PAGE_DOCUMENT);
  const all = await during(async () => {
    for (let asked = 0; asked < COUNTED_PAGES; asked += 1) await check(url, page);
  });
  return Math.round((all - other) / COUNTED_PAGES);
}

/** Bun's own server answering a few bytes, with the same load: what this machine can do at most. */
async function helloPeer(): Promise<LoadFigures> {
  const port = await freePort();
  const source = `Bun.serve({ hostname: '127.0.0.1', port: ${port}, fetch: () => Response.json({ ok: true }) })`;
  const child = Bun.spawn([process.execPath, '-e', source], { stdin: 'ignore' });
  try {
    const url = `http://127.0.0.1:${port}`;
    const answers = async () => (await fetch(url).catch(() => null))?.ok === true;
    await until(answers, 'the peer answers', START_TIMEOUT_MS);
    return await load(url, { method: 'GET', connections: CONNECTIONS, seconds: SECONDS });
  } finally {
    child.kill();
    await child.exited;
  }
}

/** `SELECT 1` through the manager's own pool, with as many askers as there are connections. */
async function selectPeer(url: string): Promise<number> {
  const { hostname, port, username, password, pathname } = new URL(url);
  const sql = await connectDatabase(
    {
      ...{ host: hostname, port: Number(port), user: username, password },
      ...{ database: pathname.slice(1), maxConnections: 8, applicationName: 'bench' },
    },
    silentLog,
  );
  try {
    const endMs = performance.now() + SECONDS * 1000;
    let done = 0;
    const ask = async () => {
      for (; performance.now() < endMs; done += 1) await sql`SELECT 1`;
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, ask));
    return done / SECONDS;
  } finally {
    await sql.end();
  }
}

const rate = ({ perSecond, p50Ms, p99Ms }: LoadFigures) =>
  `${perSecond.toFixed(0)}/s (p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms)`;

export async function run(executable: string): Promise<void> {
  console.log(
    `\napi: ${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)}, ${CONNECTIONS} connections`,
  );
  await withManager(executable, async (manager) => {
    const { url, sql, accounts } = manager;
    const hello = await helloPeer();
    console.log(`peer: Bun.serve ${rate(hello)}`);
    const selects = await selectPeer(manager.databaseUrl);
    console.log(`peer: SELECT 1 through the pool ${selects.toFixed(0)}/s`);
    let size = 0;
    for (const rows of SIZES) {
      await addRows(sql, size + 1, rows);
      size = rows;
      const get = await measure(url, signed(url, accounts.user, '/auth/test'), CONNECTIONS);
      const graphql = await measure(
        url,
        signed(url, accounts.user, '/admin/gql', USER_DOCUMENT),
        CONNECTIONS,
      );
      const page = await measure(
        url,
        signed(url, accounts.superadmin, '/admin/gql', PAGE_DOCUMENT),
        1,
      );
      const open = await measure(url, { method: 'GET', target: '/' }, 1);
      const authorised = await measure(url, signed(url, accounts.user, '/auth/test'), 1);
      console.log(
        [
          `\n${rows} users, keypairs and sessions`,
          `  signed GET            ${rate(get)}; goal ≥ 10000/s; ${(get.perSecond / hello.perSecond).toFixed(2)} of the peer`,
          `  keypair + user        ${rate(graphql)}; goal ≥ 5000/s`,
          `  20 sessions of a page ${rate(page)}; goal p99 ≤ 20 ms; ${await queriesPerPage(manager)} queries`,
          `  authentication        ${(authorised.p50Ms - open.p50Ms).toFixed(3)} ms p50; goal ≤ 0.2 ms`,
        ].join('\n'),
      );
    }
  });
}
