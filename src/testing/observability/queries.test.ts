/**
 * A real Prometheus scrapes a real cluster, and every query of every dashboard and alert must find
 * something: a metric that is renamed, or a panel for one that does not exist, fails here.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { checkoutRoot } from '../../common/executable.ts';
import { expectClearFailure, mustRun, Program, runCli } from '../faults/programs.ts';
import {
  missingTool,
  requireOrSkip,
  startEtcd,
  startRedis,
  type TestService,
} from '../services.ts';
import { until } from '../until.ts';
import { dashboardQueries, selectorsIn } from './queries.ts';
import {
  type Prometheus,
  replaced,
  startNodeExporter,
  startPostgresExporter,
  startPrometheus,
  startRedisExporter,
  type Watcher,
  writeText,
} from './watchers.ts';

const HALFSTACK = join(checkoutRoot ?? '.', 'halfstack/observability');
const TIMEOUT_MS = 240_000;
/** For what takes a second or two where nothing else runs. */
const PATIENCE_MS = 60_000;
const TOOLS = [
  ...['prometheus', 'prometheus-node-exporter', 'prometheus-redis-exporter'],
  'prometheus-postgres-exporter',
] as const;
const missing = TOOLS.map((tool) => missingTool(tool, tool)).find((reason) => reason !== null);
const canRun = requireOrSkip(missing ?? missingTool('redis-server', 'redis-server'));

const targets = v.array(v.object({ labels: v.looseObject({ job: v.string() }) }));
const jobsIn = (path: string) =>
  new Set(v.parse(targets, JSON.parse(readFileSync(path, 'utf8'))).map(({ labels }) => labels.job));

const folder = mkdtempSync(join(tmpdir(), 'bai-observability-'));
const cluster = join(folder, 'data/watched');
const at = {
  cwd: folder,
  env: { BACKEND_DATA_DIR: join(folder, 'data'), BACKEND_ENV_ID: 'watched' },
};

/** How a server of the cluster's own PostgreSQL is reached. */
function databaseUrl(): string {
  const ports = v.object({ postgresPort: v.number() });
  const { postgresPort } = v.parse(
    ports,
    JSON.parse(readFileSync(join(cluster, 'ports.json'), 'utf8')),
  );
  const password = readFileSync(join(cluster, 'postgres/postgres.secret'), 'utf8').trim();
  return `postgres://backend:${password}@127.0.0.1:${postgresPort}/backend`;
}

const record = v.looseObject({ endpoint: v.string(), webUrl: v.string() });
const addresses = () =>
  v.parse(record, JSON.parse(readFileSync(join(cluster, 'cluster.json'), 'utf8')));

/** As a crash; `up` starts it again. */
function killPostgres(): void {
  const [pid] = readFileSync(join(cluster, 'postgres/data/postmaster.pid'), 'utf8').split('\n');
  process.kill(Number(pid), 'SIGKILL');
}

/** Some of everything that is counted: work, refusals, and a server that fails for a moment. */
async function live(): Promise<void> {
  await mustRun(['run', '-q', '-t', 'watched', '-c', 'print(1)', 'python'], at);
  writeText(folder, 'file.txt', 'something');
  await mustRun(['vfolder', 'create', 'watched'], at);
  await mustRun(['vfolder', 'upload', 'watched', 'file.txt'], at);
  // Nothing to commit where sessions are processes: a call to the agent fails.
  expectClearFailure(await runCli(['session', 'commit', 'watched'], at));
  const { endpoint, webUrl } = addresses();
  await fetch(`${webUrl}/func/`);
  killPostgres();
  await until(
    async () => {
      const { status } = await fetch(`${endpoint}/health/readyz`);
      await mustRun(['--output', 'json', 'ps'], at).catch(() => null);
      return status >= 500 || null;
    },
    'the manager notices that its database is gone',
    PATIENCE_MS,
  );
  await until(
    async () => (await fetch(`${endpoint}/health/readyz`)).ok,
    'the manager has its database again',
    PATIENCE_MS,
  );
}

describe.skipIf(!canRun)('a watched cluster', () => {
  let up: Program;
  let prometheus: Prometheus;
  const servers: TestService[] = [];
  const watchers: Watcher[] = [];

  beforeAll(async () => {
    // PostgreSQL runs under an account of its own, which has to get there.
    chmodSync(folder, 0o755);
    up = new Program(['up'], at);
    const [redis, etcd] = await Promise.all([startRedis(), startEtcd()]);
    servers.push(redis, etcd);
    await up.says('The cluster is ready at', PATIENCE_MS);
    const [node, redisExporter, postgresExporter] = await Promise.all([
      startNodeExporter(),
      startRedisExporter(redis.addr),
      startPostgresExporter(databaseUrl()),
    ]);
    watchers.push(node, redisExporter, postgresExporter);
    // Here, one looks at everything.
    const scraper = readFileSync(join(HALFSTACK, 'scraper.yaml'), 'utf8');
    const [jobs = ''] = scraper.split('scrape_configs:\n')[1]?.split('remote_write:') ?? [];
    const text = replaced(`${readFileSync(join(HALFSTACK, 'prometheus.yaml'), 'utf8')}${jobs}`, {
      ' 15s': ' 1s',
      'postgres-exporter:9187': postgresExporter.addr,
      'redis-exporter:9121': redisExporter.addr,
      'etcd:2379': etcd.addr,
      'node-exporter:9100': node.addr,
    });
    prometheus = await startPrometheus((place) => {
      writeText(place, 'prometheus.yaml', text);
      cpSync(join(HALFSTACK, 'alerts.yaml'), join(place, 'alerts.yaml'));
      cpSync(join(cluster, 'prometheus-targets.json'), join(place, 'targets/up.json'));
    });
    watchers.push(prometheus);
    // Rates need samples from before what is counted.
    await until(
      async () => (await prometheus.query('up{job=~"backendai-.*"} == 1')).length >= 7,
      'Prometheus has seen all parts of the cluster',
      PATIENCE_MS,
    );
    await live();
  }, TIMEOUT_MS);

  afterAll(async () => {
    await Promise.all(watchers.map((watcher) => watcher.stop()));
    await runCli(['down', '--sessions'], at);
    await up?.kill();
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(folder, { recursive: true, force: true });
  }, TIMEOUT_MS);

  test('the targets that the half stack names are the jobs that `up` names', () => {
    expect(jobsIn(join(HALFSTACK, 'targets/backendai.json'))).toEqual(
      jobsIn(join(cluster, 'prometheus-targets.json')),
    );
  });

  test(
    'every query of every dashboard finds data',
    async () => {
      const open = new Map(
        dashboardQueries(join(HALFSTACK, 'grafana/dashboards')).map((query) => [
          `${query.where}: ${query.expression}`,
          query.expression,
        ]),
      );
      expect(open.size).toBeGreaterThan(50);
      const answered = async () => {
        for (const [name, expression] of open) {
          const found = await prometheus.query(expression);
          if (found.length > 0) open.delete(name);
        }
        return open.size === 0;
      };
      await until(answered, 'all queries are answered', PATIENCE_MS).catch(() => null);
      expect([...open.keys()]).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'every alert is evaluated, and the series that it looks at exist',
    async () => {
      const rules = await until(
        async () => {
          const all = await prometheus.rules();
          return all.length > 0 && all.every(({ health }) => health !== 'unknown') ? all : null;
        },
        'all rules are evaluated',
        PATIENCE_MS,
      );
      expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
      const lost: string[] = [];
      for (const { name, query } of rules) {
        for (const selector of selectorsIn(query)) {
          const found = await prometheus.query(`count(${selector})`);
          if (found.length === 0) lost.push(`${name}: ${selector}`);
        }
      }
      expect(lost).toEqual([]);
      // A cluster that is well wakes nobody: what is worst must be quiet by now.
      const loud = await Promise.all(
        [
          'ServerDown',
          'NothingIsSeen',
          'NoLeader',
          'PostgresDown',
          'RedisDown',
          'EtcdNoLeader',
        ].map(async (name) => {
          const rule = rules.find((candidate) => candidate.name === name);
          if (!rule) throw new Error(`there is no alert ${name}`);
          return await until(
            async () => (await prometheus.query(rule.query)).length === 0,
            `${name} is quiet`,
            PATIENCE_MS,
          );
        }),
      );
      expect(loud.every((isQuiet) => isQuiet)).toBe(true);
    },
    TIMEOUT_MS,
  );

  test('promtool finds nothing wrong with the configuration', () => {
    for (const [kind, file] of [
      ['config', 'prometheus.yaml'],
      ['config', 'scraper.yaml'],
      ['rules', 'alerts.yaml'],
    ] as const) {
      const checked = Bun.spawnSync(['promtool', 'check', kind, join(HALFSTACK, file)]);
      expect(checked.stderr.toString()).toBe('');
      expect(checked.exitCode).toBe(0);
    }
  });
});
