/**
 * The very compose files of halfstack/ with those parts of the observability profile that Debian has:
 * Prometheus finds the three servers through its exporters, this machine, and a server on the host; when
 * that goes down, Alertmanager tells whom its file names.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { checkoutRoot } from '../../common/executable.ts';
import { exec } from '../bench/measure.ts';
import { composeCommand, composeEnvironment, missingForCompose } from '../compose.ts';
import { missingForDocker, sharedDocker, type TestDocker } from '../docker.ts';
import { Program } from '../faults/programs.ts';
import { importHalfstackImages, missingForHalfstackImages } from '../halfstack-images.ts';
import { freePort, missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import { importWatcherImages, watcherServices } from './halfstack-images.ts';
import { prometheusAt, replaced } from './watchers.ts';

setDefaultTimeout(180_000);
const PATIENCE_MS = 90_000;
const HALFSTACK = join(checkoutRoot ?? '.', 'halfstack');
const reason =
  missingForDocker() ??
  missingForCompose() ??
  missingForHalfstackImages() ??
  missingTool('prometheus', 'prometheus') ??
  missingTool('prometheus-alertmanager', 'prometheus-alertmanager') ??
  missingTool('prometheus-node-exporter', 'prometheus-node-exporter') ??
  missingTool('prometheus-postgres-exporter', 'prometheus-postgres-exporter') ??
  missingTool('prometheus-redis-exporter', 'prometheus-redis-exporter');

/** What Alertmanager sends to webhooks, of which it tells several alerts at once. */
const message = v.object({
  status: v.string(),
  receiver: v.string(),
  alerts: v.array(
    v.object({
      status: v.string(),
      labels: v.record(v.string(), v.string()),
      annotations: v.record(v.string(), v.string()),
    }),
  ),
});

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

  const messages: v.InferOutput<typeof message>[] = [];
  const receiver = Bun.serve({
    hostname: '0.0.0.0',
    port: 0,
    async fetch(request) {
      messages.push(v.parse(message, await request.json()));
      return new Response();
    },
  });

  /** A file of `observability/`, in a hurry. */
  const hastened = (name: string, changes: Record<string, string> = {}): string => {
    const text = readFileSync(join(HALFSTACK, 'observability', name), 'utf8');
    const quick = text.replaceAll(/(?<=(?:interval|for|wait): )\d+[smh]/g, '1s');
    const path = join(home, name);
    writeFileSync(path, replaced(quick, changes));
    return path;
  };

  /** A server on this machine that no container reaches. @returns the port of its metrics. */
  async function startWebServer(): Promise<number> {
    const [port, internal] = [await freePort(), await freePort()];
    const settings = `[service]
ip = "127.0.0.1"
port = ${port}
internal-addr = "127.0.0.1:${internal}"
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
      targets: [`127.0.0.1:${await startWebServer()}`],
      labels: { job: 'backendai-webserver' },
    };
    writeFileSync(join(targets, 'web.json'), JSON.stringify([webServer]));
    env = {
      ...composeEnvironment(join(home, 'docker'), docker.socketPath),
      BACKEND_DB_PASSWORD: 'of-this-test',
      BACKEND_GRAFANA_PASSWORD: 'unused',
      BACKEND_TARGETS: targets,
      // `rslave` needs a root that is mounted as systemd does, which that of a container is not.
      BACKEND_ROOT_MOUNT: '/:/host:ro',
    };
    for (const name of ['DB', 'REDIS', 'ETCD', 'PROMETHEUS', 'SCRAPER', 'ALERTMANAGER']) {
      env[`BACKEND_${name}_PORT`] = String(await freePort());
    }
    env.BACKEND_SCRAPER = hastened('scraper.yaml', {
      '127.0.0.1:9090': `127.0.0.1:${env.BACKEND_PROMETHEUS_PORT}`,
    });
    env.BACKEND_ALERTMANAGER = hastened('alertmanager.yaml', {
      '    #webhook_configs:': '    webhook_configs:',
      '    #  - url: https://example.com/alerts': `      - url: http://host.docker.internal:${receiver.port}/`,
    });
    const mounts = ['prometheus.yaml', 'alerts.yaml'].map(
      (name) => `${hastened(name)}:/etc/prometheus/${name}:ro`,
    );
    const here = { services: { prometheus: { volumes: mounts } } };
    writeFileSync(join(home, 'here.yaml'), JSON.stringify(here));
    await compose('up', '--detach', 'postgres', 'redis', 'etcd', ...watcherServices);
  });

  afterAll(async () => {
    await web?.stop();
    await compose('down', '--volumes', '--timeout', '1');
    await docker.stop();
    await receiver.stop(true);
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

  test('when a server goes down, operators are told, and told when it is up again', async () => {
    const told = (status: string) =>
      until(
        () =>
          messages
            .flatMap(({ receiver: to, alerts }) => alerts.map((alert) => ({ to, ...alert })))
            .find((alert) => alert.labels.alertname === 'ServerDown' && alert.status === status),
        `they are told that it is ${status}`,
        PATIENCE_MS,
      ).catch(async (error) => {
        throw new Error(`${error}\n${await compose('logs', '--no-color', '--tail', '8')}`);
      });
    await web.stop();
    const { to, labels, annotations } = await told('firing');
    expect(to).toBe('operators');
    expect(labels).toMatchObject({ job: 'backendai-webserver', severity: 'critical' });
    expect(annotations.summary).toBe(`backendai-webserver at ${labels.instance} does not answer.`);
    web = new Program(['web', 'start-server'], { cwd: home });
    await told('resolved');
  });

  test('all that the file for operators shows is understood', () => {
    const text = readFileSync(join(HALFSTACK, 'observability/alertmanager.yaml'), 'utf8');
    const path = join(home, 'uncommented.yaml');
    // Whatever is commented out, but for sentences.
    writeFileSync(path, text.replaceAll(/^( +)#(?! \w)/gm, '$1'));
    const checked = Bun.spawnSync(['amtool', 'check-config', path]);
    expect(checked.stderr.toString()).toBe('');
    expect(checked.stdout.toString()).toContain('2 receivers');
    expect(Bun.YAML.parse(readFileSync(path, 'utf8'))).toMatchObject({
      receivers: [{ name: 'nobody' }, { webhook_configs: [{}], email_configs: [{}] }],
    });
  });
});
