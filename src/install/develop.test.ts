/** A development installation on the very compose files of halfstack/: made, used, watched, deleted again. It has a Harbor. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { checkoutRoot } from '../common/executable.ts';
import { composeEnvironment, missingForCompose } from '../testing/compose.ts';
import { missingForDocker, sharedDocker, type TestDocker } from '../testing/docker.ts';
import { killAtEveryStep } from '../testing/faults/interrupted.ts';
import { expectClearFailure, mustRun, runCli } from '../testing/faults/programs.ts';
import { importHalfstackImages, missingForHalfstackImages } from '../testing/halfstack-images.ts';
import {
  HARBOR_CONTAINER,
  HARBOR_IMAGES,
  makeHarborArchive,
  missingForHarbor,
} from '../testing/harbor-archive.ts';
import {
  importStandInImages,
  importWatcherImages,
  standInNames,
} from '../testing/observability/halfstack-images.ts';
import { prometheusAt } from '../testing/observability/watchers.ts';
import { pushImage } from '../testing/registry.ts';
import { freePort, missingTool, requireOrSkip } from '../testing/services.ts';
import { until } from '../testing/until.ts';
import { projectName } from './parts/halfstack.ts';

// A dozen runs of the installer, on a machine that does other things as well.
setDefaultTimeout(600_000);
const COMMAND_TIMEOUT_MS = 180_000;
const PATIENCE_MS = 60_000;
const reason =
  missingForDocker() ??
  missingForCompose() ??
  missingForHalfstackImages() ??
  missingForHarbor() ??
  missingTool('prometheus', 'prometheus') ??
  missingTool('prometheus-alertmanager', 'prometheus-alertmanager');

/** A server of one file. */
function serveFile(path: string) {
  let requests = 0;
  const server = Bun.serve({
    ...{ hostname: '127.0.0.1', port: 0 },
    fetch() {
      requests += 1;
      return new Response(Bun.file(path));
    },
  });
  return {
    url: new URL('/harbor-offline-installer.tgz', server.url).href,
    sha256: createHash('sha256').update(readFileSync(path)).digest('hex'),
    get requests() {
      return requests;
    },
    stop: () => server.stop(true),
  };
}

describe.if(requireOrSkip(reason))('a development installation', () => {
  const home = mkdtempSync(join(tmpdir(), 'bai-develop-'));
  const target = join(home, 'dev');
  const envId = `dev${home.slice(-6).replace(/[^A-Za-z0-9]/g, '0')}`;
  let docker: TestDocker;
  let at: { cwd: string; env: Record<string, string>; timeoutMs: number };
  const place = ['--target-path', target];
  /** Without Harbor. */
  let core: string[];
  let options: string[];
  let archive: ReturnType<typeof serveFile>;
  let harbor: string;
  const ports = new Map<string, number>();

  beforeAll(async () => {
    docker = await sharedDocker();
    await importHalfstackImages(docker.socketPath);
    const env = composeEnvironment(join(home, 'docker'), docker.socketPath);
    at = { cwd: home, env, timeoutMs: COMMAND_TIMEOUT_MS };
    archive = serveFile(await makeHarborArchive(join(home, 'archive'), docker.socketPath, env));
    // None of theirs can be had here until a test makes them.
    for (const name of standInNames()) await askDocker(`/images/${name}?force=1`, 'DELETE');
    for (const name of [
      ...['postgres', 'redis', 'etcd', 'manager', 'manager-internal', 'webserver', 'agent-rpc'],
      ...['agent-service', 'storage-client', 'storage-manager', 'storage-internal'],
      ...['webserver-internal', 'otlp-grpc', 'otlp-http', 'loki', 'tempo', 'prometheus', 'scraper'],
      ...['alertmanager', 'grafana'],
    ]) {
      ports.set(name, await freePort());
    }
    const asOptions = [...ports].flatMap(([name, port]) => [`--${name}-port`, String(port)]);
    const harborPort = await freePort();
    // By the machine's own name: Harbor does not want to be reached by a loopback address.
    harbor = `${hostname()}:${harborPort}`;
    core = ['--env-id', envId, ...asOptions];
    options = [
      ...[...core, '--verbose'],
      ...['--harbor-download-uri', archive.url, '--harbor-download-sha256', archive.sha256],
      ...['--harbor-hostname', hostname(), '--harbor-http-port', String(harborPort)],
      '--with-harbor',
    ];
  });

  afterAll(async () => {
    if (existsSync(join(target, 'INSTALL-INFO'))) await script('delete-dev.sh', '--yes');
    archive?.stop();
    await docker?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  /** One of the scripts for developers. `--target-path` is added to what it is given. */
  async function script(name: string, ...args: string[]) {
    const child = Bun.spawn(['sh', join(checkoutRoot ?? '.', 'scripts', name), ...place, ...args], {
      cwd: home,
      env: { HOME: process.env.HOME ?? home, LANG: 'C.UTF-8', ...at.env },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      timeout: COMMAND_TIMEOUT_MS,
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { stdout, stderr, code };
  }

  const askDocker = (path: string, method = 'GET') =>
    fetch(`http://docker${path}`, { method, unix: docker.socketPath });

  /** What Docker has of Harbor. */
  async function leftOfHarbor() {
    const list = v.array(v.unknown());
    const ask = async (path: string, filters: Record<string, string[]>) => {
      const url = `http://docker${path}?all=1&filters=${encodeURIComponent(JSON.stringify(filters))}`;
      return v.parse(list, await (await fetch(url, { unix: docker.socketPath })).json()).length;
    };
    return {
      containers: await ask('/containers/json', { name: [HARBOR_CONTAINER] }),
      images: await ask('/images/json', { reference: HARBOR_IMAGES }),
    };
  }

  /** What an account's user has in the shell. */
  function environmentOf(account: string): Record<string, string> {
    const text = readFileSync(join(target, `env-local-${account}-api.sh`), 'utf8');
    return Object.fromEntries(
      [...text.matchAll(/^export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value ?? '']),
    );
  }

  /** How many of Docker's objects belong to the installation. */
  async function leftInDocker() {
    const label = `com.docker.compose.project=${projectName(envId)}`;
    const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
    const ask = async (path: string) => (await askDocker(`${path}filters=${filters}`)).json();
    const list = v.array(v.unknown());
    return {
      containers: v.parse(list, await ask('/containers/json?all=1&')).length,
      networks: v.parse(list, await ask('/networks?')).length,
      volumes: v.parse(v.object({ Volumes: v.nullable(list) }), await ask('/volumes?')).Volumes
        ?.length,
    };
  }

  test('killed at every step and run again, it gets to a session', async () => {
    // Harbor and what watches are looked at below.
    const develop = ['--mode', 'develop', '--non-interactive', '--disable-telemetry'];
    const { killedAt, last } = await killAtEveryStep(
      ['install', ...develop, ...place, ...core],
      at,
    );
    expect(killedAt).toContain('Start PostgreSQL, Redis and etcd with compose');
    expect(killedAt.at(-1)).toBe('Run a session that prints hello world');
    expect(last.stdout).toContain('admin@lablup.com');
  });

  test('compose starts the three servers, and a session says hello', async () => {
    // By default there is a collector, but not where its image cannot be had, or something else listens.
    using _taken = Bun.listen({
      ...{ hostname: '127.0.0.1', port: ports.get('otlp-http') ?? 0 },
      socket: { data() {} },
    });
    const { code, stderr, stdout } = await script('install-dev.sh', ...options);
    expect(stderr).toContain('another port with --otlp-http-port.');
    expect(stderr).toContain('It goes on without: ');
    expect(stdout).not.toContain('\nWatching\n');
    expect(stderr).toContain('✓ Start PostgreSQL, Redis and etcd with compose');
    expect(stderr).toContain('  hello world\n');
    expect(stdout).toContain('admin@lablup.com');
    expect(code).toBe(0);
    expect(await leftInDocker()).toMatchObject({ containers: 3, networks: 1 });
  });

  const grafana = v.object({ grafana: v.string() });

  test('made once more with --enable-observability, Prometheus sees all of its components', async () => {
    await importWatcherImages(docker.socketPath);
    await importStandInImages(docker.socketPath);
    const { code, stderr, stdout } = await script(
      'install-dev.sh',
      ...options,
      '--enable-observability',
    );
    expect(stderr).toContain('stopped the manager, whose settings change');
    expect(code).toBe(0);
    expect(await leftInDocker()).toEqual({ containers: 13, networks: 1, volumes: 9 });
    const secrets = v.parse(
      v.pipe(v.string(), v.parseJson(), grafana),
      readFileSync(join(target, 'secrets.json'), 'utf8'),
    );
    expect(stdout).toContain(`user backend, password ${secrets.grafana}`);
    const prometheus = prometheusAt(`127.0.0.1:${ports.get('prometheus')}`);
    for (const job of ['manager', 'agent', 'storage-proxy', 'webserver']) {
      await until(
        async () => (await prometheus.query(`up{job="backendai-${job}"} == 1`)).length > 0,
        `Prometheus sees the ${job}`,
        PATIENCE_MS,
      );
    }
    const collector = `endpoint = "http://127.0.0.1:${ports.get('otlp-http')}"`;
    const files = ['manager.toml', 'agent.toml', 'storage-proxy.toml', 'webserver.conf'];
    for (const name of files) {
      const text = readFileSync(join(target, 'etc', name), 'utf8');
      expect(text).toContain(collector);
      expect(text).toContain('format = "json"');
    }
  });

  test('its components are at work, and once more finds everything done', async () => {
    await mustRun(['dev', 'status', ...place], at);
    // Its file is JSON now.
    const log = await mustRun(['dev', 'log', 'mgr', ...place], at);
    expect(log.stdout).toContain(' INFO  manager: ');
    const before = readFileSync(join(target, 'run/mgr.pid'), 'utf8');
    const { code, stderr } = await script('install-dev.sh', ...options, '--enable-observability');
    expect(stderr).toContain('(was done)');
    expect(code).toBe(0);
    expect(readFileSync(join(target, 'run/mgr.pid'), 'utf8')).toBe(before);
  });

  test('--disable-telemetry takes away what watches', async () => {
    const { code, stdout } = await script('install-dev.sh', ...options, '--disable-telemetry');
    expect(stdout).not.toContain('\nWatching\n');
    expect(code).toBe(0);
    // Their data goes with that of the servers.
    expect(await leftInDocker()).toEqual({ containers: 3, networks: 1, volumes: 9 });
    expect(readFileSync(join(target, 'etc/manager.toml'), 'utf8')).not.toContain('[otel]');
  });

  test('Harbor is known to the cluster, and its images are found', async () => {
    const base = `http://${harbor}/v2/library/python`;
    await pushImage(base, '3-lab', {
      architecture: 'amd64',
      labels: { 'ai.backend.kernelspec': '1' },
    });
    const config = ['-f', join(target, 'etc/manager.toml')];
    const { stdout } = await mustRun(['mgr', 'image', 'rescan', harbor, ...config], at);
    expect(stdout).toContain(`${harbor}/library/python:3-lab`);
    const shown = await mustRun(['admin', 'domain', 'info', 'default'], {
      ...at,
      env: { ...at.env, ...environmentOf('admin') },
    });
    expect(shown.stdout).toContain(harbor);
    expect(archive.requests).toBe(1);
  });

  test('Harbor is looked after by dev', async () => {
    const dev = (action: string) => runCli(['dev', 'harbor', action, '--target-path', target], at);
    const { code, stdout } = await dev('status');
    expect([code, stdout]).toEqual([0, expect.stringContaining('healthy')]);
    expect((await dev('stop')).code).toBe(0);
    expect(await dev('status')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('it does not answer'),
    });
    expect((await dev('restart')).stderr).toContain('✓ Harbor is ready');
    expect((await dev('status')).code).toBe(0);
    const port = harbor.split(':')[1] ?? '';
    expect((await fetch(`http://127.0.0.1:${port}/v2/library/python/tags/list`)).status).toBe(200);
  });

  test('nothing is deleted without a yes', async () => {
    const { code, stdout } = await script('delete-dev.sh');
    expect(stdout).toContain('with all its data? [y/N]');
    expect(code).toBe(0);
    await mustRun(['dev', 'status', ...place], at);
    const wrong = await script('delete-dev.sh', '--skip-venv');
    expectClearFailure(wrong, "'--skip-venv' is not an option.", '--skip-db');
  });

  test('deleted, it leaves nothing', async () => {
    const { code, stderr } = await script('delete-dev.sh', '--yes');
    expect(stderr).toContain('✓ Remove Harbor with its data');
    expect(await leftOfHarbor()).toEqual({ containers: 0, images: 0 });
    expect(stderr).toContain('✓ Remove PostgreSQL, Redis and etcd with their data');
    expect(code).toBe(0);
    expect(await leftInDocker()).toEqual({ containers: 0, networks: 0, volumes: 0 });
    expect(existsSync(target)).toBe(false);
    expect(Bun.spawnSync(['pgrep', '-f', target]).stdout.toString()).toBe('');
    const status = await runCli(['dev', 'status', ...place], at);
    expectClearFailure(status, `There is no installation in ${target}`);
  });
});
