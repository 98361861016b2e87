/** Prometheus and exporters as Debian ships them, started privately for tests. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { hireJanitor } from '../janitor.ts';
import { freePort } from '../services.ts';
import { until } from '../until.ts';

/** They start within a second, on a machine that has nothing else to do. */
const START_TIMEOUT_MS = 60_000;

export interface Watcher {
  /** `127.0.0.1:port`. */
  readonly addr: string;
  stop(): Promise<void>;
}

async function startWatcher(
  command: readonly string[],
  port: number,
  path: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Watcher> {
  const folder = mkdtempSync(join(tmpdir(), 'bai-watcher-'));
  const logFile = join(folder, 'log');
  const child = Bun.spawn([...command], {
    cwd: folder,
    stdin: 'ignore',
    stdout: Bun.file(logFile),
    stderr: Bun.file(logFile),
    env: { PATH: process.env.PATH ?? '', ...env },
  });
  const janitor = hireJanitor(child.pid, folder, 'KILL');
  const stop = async () => {
    child.kill('SIGKILL');
    await child.exited;
    janitor.dismiss();
    rmSync(folder, { recursive: true, force: true });
  };
  const addr = `127.0.0.1:${port}`;
  const answers = async () => {
    if (child.exitCode !== null) throw new Error(`${command[0]} ended with ${child.exitCode}`);
    return fetch(`http://${addr}${path}`).then(
      ({ ok }) => ok,
      () => false,
    );
  };
  try {
    await until(answers, `${command[0]} answers`, START_TIMEOUT_MS);
  } catch (error) {
    const log = existsSync(logFile) ? readFileSync(logFile, 'utf8').slice(-2000) : '';
    await stop();
    throw new Error(`${error instanceof Error ? error.message : error}\n${log}`);
  }
  return { addr, stop };
}

export async function startNodeExporter(): Promise<Watcher> {
  const port = await freePort();
  const command = ['prometheus-node-exporter', `--web.listen-address=127.0.0.1:${port}`];
  return startWatcher(command, port, '/');
}

/** @param redis `host:port`. */
export async function startRedisExporter(redis: string): Promise<Watcher> {
  const port = await freePort();
  const command = [
    ...['prometheus-redis-exporter', '-web.listen-address', `127.0.0.1:${port}`],
    ...['-redis.addr', `redis://${redis}`],
  ];
  return startWatcher(command, port, '/');
}

/** @param url of any database of the server. */
export async function startPostgresExporter(url: string): Promise<Watcher> {
  const port = await freePort();
  const command = ['prometheus-postgres-exporter', `--web.listen-address=127.0.0.1:${port}`];
  return startWatcher(command, port, '/', { DATA_SOURCE_NAME: `${url}?sslmode=disable` });
}

const answer = v.object({
  status: v.literal('success'),
  data: v.object({ result: v.array(v.looseObject({ metric: v.record(v.string(), v.string()) })) }),
});
const ruleAnswer = v.object({
  data: v.object({
    groups: v.array(
      v.object({
        rules: v.array(
          v.object({ name: v.string(), query: v.string(), health: v.string(), state: v.string() }),
        ),
      }),
    ),
  }),
});

export interface PrometheusApi {
  /** The labels of every series in the result of an instant query. @throws when it is refused. */
  query(expression: string): Promise<Record<string, string>[]>;
  /** Alert rules, as they were last evaluated. */
  rules(): Promise<v.InferOutput<typeof ruleAnswer>['data']['groups'][number]['rules']>;
}

export interface Prometheus extends Watcher, PrometheusApi {}

/** What a Prometheus that runs is asked. @param addr `host:port`. */
export function prometheusAt(addr: string): PrometheusApi {
  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://${addr}${path}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`Prometheus refuses ${path}: ${text}`);
    return JSON.parse(text);
  };
  return {
    async query(expression) {
      const found = await ask(`/api/v1/query?query=${encodeURIComponent(expression)}`);
      return v.parse(answer, found).data.result.map(({ metric }) => metric);
    },
    rules: async () =>
      v.parse(ruleAnswer, await ask('/api/v1/rules')).data.groups.flatMap(({ rules }) => rules),
  };
}

/** @param configure writes `prometheus.yaml` and what it names into the folder it is given. */
export async function startPrometheus(configure: (folder: string) => void): Promise<Prometheus> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'bai-prometheus-'));
  mkdirSync(join(folder, 'targets'));
  configure(folder);
  const watcher = await startWatcher(
    [
      ...['prometheus', `--config.file=${join(folder, 'prometheus.yaml')}`],
      ...[`--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`],
    ],
    port,
    '/-/ready',
  );
  return {
    addr: watcher.addr,
    ...prometheusAt(watcher.addr),
    async stop() {
      await watcher.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Replaces what `text` must contain. */
export function replaced(text: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((result, [from, to]) => {
    if (!result.includes(from)) throw new Error(`'${from}' is not in the text any more`);
    return result.replaceAll(from, to);
  }, text);
}

export const writeText = (folder: string, name: string, text: string): void =>
  writeFileSync(join(folder, name), text);
