/**
 * The very compose files of halfstack/ with those parts of the observability profile that Debian has:
 * Prometheus finds the three servers through its exporters, this machine, and a server on the host.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkoutRoot } from '../../common/executable.ts';
import { exec } from '../bench/measure.ts';
import { composeCommand, composeEnvironment, missingForCompose } from '../compose.ts';
import { missingForDocker, sharedDocker, type TestDocker } from '../docker.ts';
import { Program } from '../faults/programs.ts';
import { importHalfstackImages, missingForHalfstackImages } from '../halfstack-images.ts';
import { freePort, missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import { importWatcherImages, watcherServices } from './halfstack-images.ts';
import { prometheusAt } from './watchers.ts';

setDefaultTimeout(180_000);
const PATIENCE_MS = 90_000;
const HALFSTACK = join(checkoutRoot ?? '.', 'halfstack');
const reason =
  missingForDocker() ??
  missingForCompose() ??
  missingForHalfstackImages() ??
  missingTool('prometheus', 'prometheus') ??
  missingTool('prometheus-node-exporter', 'prometheus-node-exporter') ??
  missingTool('prometheus-postgres-exporter', 'prometheus-postgres-exporter') ??
  missingTool('prometheus-redis-exporter', 'prometheus-redis-exporter');

describe.if(requireOrSkip(reason))('the observability profile', () => {
  const home = mkdtempSync(join(tmpdir(), 'bai-observed-'));
  const project = `obs${home
    .slice(-6)
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '0')}`;
  let docker: TestDocker;
  let env: Record<string, string>;
  let web: Program;

  const compose = (...args: string[]) =>
    exec(
      [
        ...composeCommand(env),
        ...['--project-name', project, '--profile', 'observability'],
        ...['--file', join(HALFSTACK, 'compose.yaml')],
        ...['--file', join(HALFSTACK, 'observability.yaml')],
        ...['--file', join(home, 'here.yaml'), ...args],
      ],
      env,
    );

  /** A server that containers reach, as README.md says it has to be. @returns the port of its metrics. */
  async function startWebServer(): Promise<number> {
    const [port, internal] = [await freePort(), await freePort()];
    const settings = `[service]
ip = "127.0.0.1"
port = ${port}
internal-addr = "0.0.0.0:${internal}"
[api]
endpoint = "http://127.0.0.1:1"
`;
    writeFileSync(join(home, 'webserver.conf'), settings);
    web = new Program(['web', 'start-server'], { cwd: home });
    await web.says('the web server is ready', PATIENCE_MS);
    return internal;
  }

  beforeAll(async () => {
    docker = await sharedDocker();
    await importHalfstackImages(docker.socketPath);
    await importWatcherImages(docker.socketPath);
    const targets = join(home, 'targets');
    mkdirSync(targets);
    const webServer = {
      targets: [`host.docker.internal:${await startWebServer()}`],
      labels: { job: 'backendai-webserver' },
    };
    writeFileSync(join(targets, 'web.json'), JSON.stringify([webServer]));
    env = {
      ...composeEnvironment(join(home, 'docker'), docker.socketPath),
      BACKEND_DB_PASSWORD: 'of-this-test',
      BACKEND_GRAFANA_PASSWORD: 'unused',
      BACKEND_TARGETS: targets,
    };
    for (const name of ['DB', 'REDIS', 'ETCD', 'PROMETHEUS']) {
      env[`BACKEND_${name}_PORT`] = String(await freePort());
    }
    // The file's `rslave` needs a root that is mounted as systemd does, which that of a container is not.
    const here = 'services:\n  node-exporter:\n    volumes: ["/:/host:ro"]\n';
    writeFileSync(join(home, 'here.yaml'), here);
    await compose('up', '--detach', 'postgres', 'redis', 'etcd', ...watcherServices);
  });

  afterAll(async () => {
    await web?.stop();
    await compose('down', '--volumes', '--timeout', '1');
    await docker.stop();
    rmSync(home, { recursive: true, force: true });
  });

  test('Prometheus sees the servers, this machine, and what runs on the host', async () => {
    const prometheus = prometheusAt(`127.0.0.1:${env.BACKEND_PROMETHEUS_PORT}`);
    for (const query of [
      'pg_up{job="postgres"} == 1',
      'pg_stat_database_numbackends{datname="backend"}',
      'redis_up{job="redis"} == 1',
      'etcd_server_has_leader{job="etcd"} == 1',
      'node_filesystem_avail_bytes{job="node", mountpoint="/"}',
      'up{job="backendai-webserver"} == 1',
      '{job="backendai-webserver", __name__=~"backendai_.*"}',
    ]) {
      await until(
        async () => (await prometheus.query(query).catch(() => [])).length > 0,
        `${query} finds something`,
        PATIENCE_MS,
      ).catch(async (error) => {
        throw new Error(`${error}\n${await compose('logs', '--no-color', '--tail', '8')}`);
      });
    }
    const rules = await prometheus.rules();
    expect(rules.length).toBeGreaterThan(10);
    expect(rules.filter(({ health }) => !['ok', 'unknown'].includes(health))).toEqual([]);
  });
});
