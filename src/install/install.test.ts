/** Installations from beginning to end, with the real servers: made, looked after, taken away. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { Client, readClientConfig } from '../client/index.ts';
import { errorCode } from '../common/errors.ts';
import { exec } from '../testing/bench/measure.ts';
import { killAtEveryStep } from '../testing/faults/interrupted.ts';
import { expectClearFailure, mustRun, runCli } from '../testing/faults/programs.ts';
import { missingForSsh, runClient, sshOptions } from '../testing/openssh.ts';
import { startTestPostgres } from '../testing/postgres.ts';
import {
  freePort,
  missingTool,
  requireOrSkip,
  startEtcd,
  startRedis,
  type TestService,
} from '../testing/services.ts';
import { atTerminal, KEYS } from '../testing/terminal.ts';
import { until } from '../testing/until.ts';

// A dozen runs of the installer, on a machine that does other things as well.
setDefaultTimeout(600_000);
const INSTALL_TIMEOUT_MS = 120_000;

const reason =
  missingTool('redis-server', 'redis-server') ??
  missingTool('etcd', 'etcd-server') ??
  missingForSsh() ??
  (process.platform === 'linux' ? null : 'sessions of the process backend need Linux');

const directAccess = v.object({ public_host: v.string(), sshd_ports: v.array(v.number()) });
/** A request of ours to be signed. */
const asked = (path: string) => ({
  ...{ method: 'GET', target: path, headers: new Headers(), body: null },
  signal: AbortSignal.timeout(INSTALL_TIMEOUT_MS),
});

describe.if(requireOrSkip(reason))('a packaged installation on existing servers', () => {
  const home = mkdtempSync(join(tmpdir(), 'bai-install-'));
  const target = join(home, 'cluster');
  let postgres: Awaited<ReturnType<typeof startTestPostgres>>;
  let redis: TestService;
  let etcd: TestService;
  let at: { cwd: string; env: Record<string, string> };
  let options: string[];
  /** Of a web server in a session. */
  let appPort: string;
  let spans = 0;
  const collector = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      if (new URL(request.url).pathname === '/v1/traces') spans += 1;
      return Response.json({});
    },
  });

  beforeAll(async () => {
    [postgres, redis, etcd] = await Promise.all([startTestPostgres(), startRedis(), startEtcd()]);
    const database = new URL(postgres.url('postgres'));
    const ports: string[] = [];
    for (const name of [
      '--manager-port',
      '--manager-internal-port',
      '--webserver-port',
      '--agent-rpc-port',
      '--agent-service-port',
      '--storage-client-port',
      '--storage-manager-port',
      '--app-proxy-port',
      '--app-proxy-http-port',
      '--app-proxy-tcp-port',
      '--app-proxy-h2-port',
      '--sftp-agent-rpc-port',
      '--sftp-agent-service-port',
    ]) {
      ports.push(name, String(await freePort()));
    }
    appPort = String(await freePort());
    at = { cwd: home, env: { BACKEND_DB_PASSWORD: decodeURIComponent(database.password) } };
    const envId = `t${home.slice(-6).replace(/[^A-Za-z0-9]/g, '0')}`;
    options = [
      ...['install', '--mode', 'package', '--non-interactive', '--target-path', target],
      ...['--env-id', envId],
      ...['--postgres-addr', `${database.hostname}:${database.port}`, '--redis-addr', redis.addr],
      ...['--etcd-addr', etcd.addr, '--db-user', database.username, '--db-name', envId],
      ...['--otel-endpoint', collector.url.origin, '--endpoint-protocol', 'http'],
      ...['--accelerator', 'cuda_mock', '--with-app-proxy', '--with-sftp-agent'],
      ...ports,
    ];
    const { default: connect } = await import('postgres');
    const sql = connect(postgres.url('postgres'));
    await sql`CREATE DATABASE ${sql(envId)}`;
    await sql.end();
  });

  afterAll(async () => {
    if (existsSync(join(target, 'INSTALL-INFO'))) {
      await runCli(['dev', 'stop', '--target-path', target], {
        ...at,
        timeoutMs: INSTALL_TIMEOUT_MS,
      });
    }
    await Promise.all([postgres?.discard(), redis?.stop(), etcd?.stop(), collector.stop(true)]);
    rmSync(home, { recursive: true, force: true });
  });

  const install = (...more: string[]) =>
    mustRun([...options, ...more], { ...at, timeoutMs: INSTALL_TIMEOUT_MS });
  const maintaining = (action: string, ...more: string[]) => [
    ...['install', '--mode', 'maintain', '--action', action, '--non-interactive'],
    ...['--target-path', target, ...more],
  ];

  test('what is missing is told all at once, and nothing is done', async () => {
    // Nobody answers at the address for documentation, not even with a refusal.
    const nowhere = new Map([
      [redis.addr, '127.0.0.1:1'],
      [etcd.addr, '192.0.2.1:2379'],
    ]);
    const wrong = options.map((text) => nowhere.get(text) ?? text);
    const outcome = await runCli(wrong, { ...at, timeoutMs: INSTALL_TIMEOUT_MS });
    expectClearFailure(outcome, 'No answer from Redis at 127.0.0.1:1', '--redis-addr');
    expectClearFailure(outcome, 'No answer from etcd at 192.0.2.1:2379', '--etcd-addr');
    expect(existsSync(join(target, 'etc'))).toBe(false);
  });

  const canMount = requireOrSkip(process.getuid?.() === 0 ? null : 'a small disk needs root');
  test.skipIf(!canMount)(
    'a port that is taken and a disk that is full are told first',
    async () => {
      const port = options[options.indexOf('--webserver-port') + 1] ?? '';
      const disk = join(home, 'small-disk');
      mkdirSync(disk);
      using _taken = Bun.listen({
        ...{ hostname: '127.0.0.1', port: Number(port) },
        socket: { data() {} },
      });
      await exec(['mount', '-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', disk]);
      try {
        const small = options.map((text) => (text === target ? join(disk, 'cluster') : text));
        const outcome = await runCli(small, { ...at, timeoutMs: INSTALL_TIMEOUT_MS });
        expectClearFailure(outcome, `Port ${port}, for the web server, is taken.`);
        expectClearFailure(outcome, '--webserver-port', 'Only 64.0M are free for', '--target-path');
        expect(existsSync(join(disk, 'cluster/etc'))).toBe(false);
      } finally {
        await exec(['umount', '-l', disk]);
      }
    },
  );

  test('a wrong password says where the right one is taken from', async () => {
    const elsewhere = options.map((text) => (text === target ? join(home, 'wrong') : text));
    const env = { BACKEND_DB_PASSWORD: 'wrong' };
    const outcome = await runCli(elsewhere, { cwd: home, env, timeoutMs: INSTALL_TIMEOUT_MS });
    expectClearFailure(outcome, 'password authentication failed', 'BACKEND_DB_PASSWORD');
    expectClearFailure(outcome, 'Nothing was done.');
    expect(existsSync(join(home, 'wrong/etc'))).toBe(false);
  });

  test('a dry run shows the steps and does none', async () => {
    const { stdout } = await install('--dry-run');
    expect(stdout).toContain('Create the tables');
    expect(existsSync(join(target, 'etc'))).toBe(false);
  });

  test('it stops in order when its terminal is closed', async () => {
    const other = join(home, 'closed');
    const screens = options
      .filter((option) => option !== '--non-interactive')
      .map((option) => (option === target ? other : option));
    const { child, sees, press } = atTerminal(screens, at);
    await sees('❯ Go', INSTALL_TIMEOUT_MS);
    press(KEYS.enter);
    await sees('✓ Write the configuration files', INSTALL_TIMEOUT_MS);
    child.kill('SIGHUP');
    expect(await child.exited).toBe(130);
    const log = readFileSync(join(other, 'install.log'), 'utf8');
    expect(log).toContain('[failed] Stopped before "');
  });

  test('killed at every step and run again, it gets to a session at the end', async () => {
    const { killedAt, last } = await killAtEveryStep(options, at);
    expect(killedAt).toHaveLength(19);
    expect(killedAt.at(-1)).toBe('Run a session that prints hello world');
    expect(last.stdout).toContain('admin@lablup.com');
    await until(() => spans > 0, 'the collector was told of something');
    const web = readFileSync(join(target, 'etc/webserver.conf'), 'utf8');
    expect(web).toContain('force-endpoint-protocol = "http"');
    const agent = readFileSync(join(target, 'logs/agent.log'), 'utf8');
    expect(agent).toMatch(/accelerators are offered.*cuda.*2/);
    const guide = await mustRun(['install', '--show-guide', '--target-path', target], at);
    expect(guide.stdout).toBe(last.stdout);
    expect(statSync(join(target, 'etc/manager.toml')).mode & 0o077).toBe(0);
    expect(statSync(join(target, 'accounts.json')).mode & 0o077).toBe(0);
  });

  const place = ['--target-path', target];
  const status = async () => {
    const { code, stdout } = await runCli(['--output', 'json', 'dev', 'status', ...place], at);
    const { services }: { services: { name: string; ready: boolean }[] } = JSON.parse(stdout);
    return { code, ready: services.filter(({ ready }) => ready).map(({ name }) => name) };
  };
  const proxies = ['proxy', 'proxy-http', 'proxy-tcp', 'proxy-h2'];
  const all = ['storage', 'mgr', ...proxies, 'agent', 'sftp-agent', 'web'];
  const withoutProxies = all.filter((name) => !proxies.includes(name));

  test('its components are looked after by dev', async () => {
    expect(await status()).toEqual({ code: 0, ready: all });
    await mustRun(['dev', 'stop', 'web', ...place], { ...at, timeoutMs: INSTALL_TIMEOUT_MS });
    expect(await status()).toEqual({ code: 1, ready: all.slice(0, -1) });
    await mustRun(['dev', 'start', ...place], { ...at, timeoutMs: INSTALL_TIMEOUT_MS });
    expect((await status()).code).toBe(0);
    const log = await mustRun(['dev', 'log', 'mgr', ...place], at);
    expect(log.stdout).toContain('INFO');
    expectClearFailure(
      await runCli(['dev', 'stop', 'webb', ...place], at),
      'No such service: webb',
    );
  });

  test('installing again keeps secrets, accounts and what runs', async () => {
    const files = ['secrets.json', 'accounts.json', 'run/mgr.pid'].map((name) =>
      join(target, name),
    );
    const before = files.map((path) => readFileSync(path, 'utf8'));
    const { stderr } = await install();
    expect(stderr).toContain('(was done)');
    expect(files.map((path) => readFileSync(path, 'utf8'))).toEqual(before);
  });

  /** What users of the installation have in their shells. */
  const environmentOf = (name: string): Record<string, string> => {
    const account = readFileSync(join(target, `env-local-${name}-api.sh`), 'utf8');
    return Object.fromEntries(
      [...account.matchAll(/^export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value ?? '']),
    );
  };
  /** Process ids of kernels, by kernel. */
  const kernelPids = (): [string, string][] => {
    const agents = join(target, 'var/agent');
    return readdirSync(agents)
      .map((agent) => join(agents, agent, 'kernels'))
      .filter(existsSync)
      .flatMap((folder) => readdirSync(folder).map((id) => join(folder, id, 'pid')))
      .flatMap((path) => {
        try {
          return [[path, readFileSync(path, 'utf8')] satisfies [string, string]];
        } catch (error) {
          // Its folder is being removed: it has ended.
          if (errorCode(error) === 'ENOENT') return [];
          throw error;
        }
      });
  };

  test('the SFTP agent takes files for a folder, and nothing else', async () => {
    const use = { cwd: home, env: environmentOf('user'), timeoutMs: INSTALL_TIMEOUT_MS };
    await mustRun(['vfolder', 'create', 'inbox', 'local:volume1'], use);
    const client = new Client(readClientConfig(use.env));
    const hosts = await client.forward(asked('/folders/_/hosts'));
    expect(await hosts.json()).toMatchObject({
      volume_info: { 'local:volume1': { sftp_scaling_groups: ['upload'] } },
    });
    // As the WebUI does it for a folder, of the image that its settings name.
    const { image = '', architecture } =
      /system-SSH-image = "(?<image>.+)@(?<architecture>.+)"/.exec(
        readFileSync(join(target, 'etc/webserver.conf'), 'utf8'),
      )?.groups ?? {};
    const wish = { ...{ name: 'sftp-inbox', image, architecture }, scalingGroup: 'upload' };
    await expect(client.session.create(wish)).rejects.toThrow('does not take interactive sessions');
    await client.session.create({ ...wish, type: 'system', mounts: [{ source: 'inbox' }] });
    const reply = await client.forward(asked('/session/sftp-inbox/direct-access-info'));
    const { public_host: host, sshd_ports: ports } = v.parse(directAccess, await reply.json());
    const [port = 0] = ports;
    expect([host, ports.length]).toEqual(['127.0.0.1', 1]);
    expect(port >= 31_100 && port <= 31_200).toBe(true);

    const folder = mkdtempSync(join(home, 'sftp-'));
    await mustRun(['session', 'download', 'sftp-inbox', 'id_container', '--dest', folder], use);
    chmodSync(join(folder, 'id_container'), 0o600);
    const sent = crypto.getRandomValues(new Uint8Array(300_000));
    writeFileSync(join(folder, 'sent'), sent);
    const options = sshOptions({ keyFolder: folder, to: port });
    const batch = 'put sent inbox/sent\nls -l inbox\nget inbox/sent back\n';
    const copied = await runClient(['sftp', '-F', '/dev/null', ...options, `work@${host}`], {
      ...{ input: batch, cwd: folder },
    });
    expect(copied).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('300000') });
    expect(Buffer.compare(readFileSync(join(folder, 'back')), sent)).toBe(0);
    const listed = await mustRun(['vfolder', 'ls', 'inbox'], use);
    expect(listed.stdout).toContain('sent');
  });

  const configure = (...more: string[]) => [
    ...['install', '--mode', 'configure', '--non-interactive', '--target-path', target, ...more],
  ];

  /**
   * Fetches a file of a session's own web server through the installed app proxy, as a browser would: it
   * follows redirections and keeps cookies. Names are looked up on this machine.
   */
  const throughProxy = async (path: string): Promise<{ origin: string; text: string }> => {
    const use = { cwd: home, env: environmentOf('user'), timeoutMs: INSTALL_TIMEOUT_MS };
    const json = async (...args: string[]) =>
      JSON.parse((await mustRun(['--output', 'json', ...args], use)).stdout);
    const { token, wsproxy_addr } = await json('session', 'start-service', 'served', appPort);
    const { session_id: id } = (await json('session', 'info', 'served')).items[0];
    const add = `/v2/proxy/${token}/${id}/add?app=${appPort}&protocol=preopen`;
    const { ports }: { ports: Record<string, number> } = JSON.parse(
      readFileSync(join(target, 'INSTALL-INFO'), 'utf8'),
    );
    const jar = join(home, 'cookies');
    const browse = (address: string | URL, ...more: string[]) =>
      exec([
        ...['curl', '--silent', '--show-error', '--fail', '--location', '--max-time', '30'],
        ...['--cookie', jar, '--cookie-jar', jar],
        ...Object.values(ports).flatMap((port) => ['--resolve', `*:${port}:127.0.0.1`]),
        ...[...more, String(address)],
      ]);
    const { url } = JSON.parse(await browse(new URL(add, wsproxy_addr)));
    const written = ['--output', '/dev/null', '--write-out', '%{url_effective}'];
    const { origin } = new URL(await browse(url, ...written));
    const text = await browse(`${origin}${path}`);
    return { origin, text };
  };

  const canBrowse = requireOrSkip(missingTool('curl', 'curl'));
  test.if(canBrowse)(
    'an app of a session is opened through the app proxy, by port and by name',
    async () => {
      const use = { cwd: home, env: environmentOf('user'), timeoutMs: INSTALL_TIMEOUT_MS };
      await mustRun(['session', 'create', 'python', '-t', 'served', '--preopen', appPort], use);
      const serving = `import subprocess, sys
open("page.txt", "w").write("served by the session")
subprocess.Popen([sys.executable, "-m", "http.server", "${appPort}"])`;
      await mustRun(['run', '-t', 'served', 'python', '-c', serving], use);
      const byPort = await throughProxy('/page.txt');
      expect(byPort.text).toBe('served by the session');
      expect(byPort.origin).toStartWith('http://127.0.0.1:');
      const port = String(await freePort());
      const names = ['--frontend-mode', 'wildcard', '--fqdn-prefix', 'lab'];
      const where = ['--app-base-domain', 'example.test', '--app-proxy-wildcard-port', port];
      await mustRun(configure(...names, ...where), {
        ...at,
        timeoutMs: INSTALL_TIMEOUT_MS,
      });
      const byName = await throughProxy('/page.txt');
      expect(byName.text).toBe('served by the session');
      expect(byName.origin).toEndWith(`.lab.app.example.test:${port}`);
      await mustRun(['rm', 'served'], use);
      await until(() => kernelPids().length === 0, 'its kernel is gone', INSTALL_TIMEOUT_MS);
    },
  );

  test('an upgrade, though it is killed, restarts everything but the sessions', async () => {
    const use = { cwd: home, env: environmentOf('user'), timeoutMs: INSTALL_TIMEOUT_MS };
    await mustRun(['run', '-t', 'left-behind', 'python', '-c', 'kept = 42'], use);
    const kernels = kernelPids();
    expect(kernels).toHaveLength(1);
    const pid = readFileSync(join(target, 'run/mgr.pid'), 'utf8');
    const { killedAt } = await killAtEveryStep(maintaining('upgrade'), at);
    expect(killedAt).toHaveLength(1);
    expect(readFileSync(join(target, 'run/mgr.pid'), 'utf8')).not.toBe(pid);
    await mustRun(['dev', 'status', '--target-path', target], at);
    expect(kernelPids()).toEqual(kernels);
    const { stdout } = await mustRun(
      ['run', '-t', 'left-behind', 'python', '-c', 'print("kept", kept)'],
      use,
    );
    expect(stdout).toContain('kept 42');
  });

  test('settings are shown before they change, and only what they concern restarts', async () => {
    const pids = () =>
      Object.fromEntries(
        ['mgr', 'web', 'agent', 'proxy'].map((name) => [
          name,
          readFileSync(join(target, `run/${name}.pid`), 'utf8'),
        ]),
      );
    const before = pids();
    const port = String(await freePort());
    const change = configure('--webserver-port', port);
    const shown = await mustRun([...change, '--dry-run'], at);
    const old = options[options.indexOf('--webserver-port') + 1] ?? '';
    expect(shown.stdout).toContain(`ports: web: ${old} → ${port}`);
    expect(pids()).toEqual(before);
    const { killedAt } = await killAtEveryStep(change, at);
    expect(killedAt).toHaveLength(1);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBeLessThan(500);
    expect(pids()).toEqual({ ...before, web: expect.not.stringMatching(before.web ?? '') });
    const again = await mustRun([...change, '--dry-run'], at);
    expect(again.stdout).toContain('Nothing changes yet.');
  });

  test('settings that nothing starts with are taken back', async () => {
    const before = readFileSync(join(target, 'etc/webserver.conf'), 'utf8');
    // A port of another component of the same installation.
    const taken = options[options.indexOf('--agent-service-port') + 1] ?? '';
    const outcome = await runCli(configure('--webserver-port', taken), {
      ...at,
      timeoutMs: INSTALL_TIMEOUT_MS,
    });
    expectClearFailure(outcome, 'It did not start with these settings', 'those of before');
    expect(readFileSync(join(target, 'etc/webserver.conf'), 'utf8')).toBe(before);
    await mustRun(['dev', 'status', '--target-path', target], at);
  });

  /** Where sessions of the first resource group have their apps opened. */
  const appProxyOfGroup = async (): Promise<string | null> => {
    const args = ['--output', 'json', 'admin', 'scaling-group', 'info', 'default'];
    const { stdout } = await mustRun(args, { ...at, env: environmentOf('admin') });
    return JSON.parse(stdout).items[0].wsproxy_addr;
  };
  const filesOfProxies = () =>
    ['etc', 'units']
      .flatMap((folder) =>
        readdirSync(join(target, folder)).filter((name) => /app-proxy|-proxy/.test(name)),
      )
      .filter((name) => name !== 'storage-proxy.toml');

  test('an app proxy is removed, and comes back when that is undone', async () => {
    expectClearFailure(
      await runCli(configure('--undo', '--without-app-proxy', '--with-app-proxy'), at),
      'not both at once',
    );
    await mustRun(configure('--without-app-proxy'), { ...at, timeoutMs: INSTALL_TIMEOUT_MS });
    expect(await status()).toEqual({ code: 0, ready: withoutProxies });
    expect(filesOfProxies()).toEqual([]);
    expect(await appProxyOfGroup()).toBeNull();
    const shown = await mustRun([...configure('--undo'), '--dry-run'], at);
    // As the test of an app has left it.
    const place = canBrowse ? 'names below .lab.app.example.test' : 'ports of 127.0.0.1';
    expect(shown.stdout).toContain(`app proxy: none → at ${place}, http`);
    const { killedAt } = await killAtEveryStep(configure('--undo'), at);
    expect(killedAt).toHaveLength(1);
    expect(await status()).toEqual({ code: 0, ready: all });
    expect(filesOfProxies()).toHaveLength(8);
    const port = options[options.indexOf('--app-proxy-port') + 1];
    expect(await appProxyOfGroup()).toBe(`http://127.0.0.1:${port}`);
    // Undone once more: what was undone is done again.
    await mustRun(configure('--undo'), { ...at, timeoutMs: INSTALL_TIMEOUT_MS });
    expect(await status()).toEqual({ code: 0, ready: withoutProxies });
  });

  test('an app proxy that does not start leaves nothing', async () => {
    // The second of the workers finds its port taken.
    const port = String(await freePort());
    const same = ['--app-proxy-http-port', port, '--app-proxy-tcp-port', port];
    const outcome = await runCli(configure('--with-app-proxy', ...same), {
      ...at,
      timeoutMs: INSTALL_TIMEOUT_MS,
    });
    expectClearFailure(outcome, `Port ${port} of the tcp worker of the app proxy is taken`);
    expectClearFailure(outcome, 'It runs with those of before');
    expect(await status()).toEqual({ code: 0, ready: withoutProxies });
    expect(filesOfProxies()).toEqual([]);
    expect(await appProxyOfGroup()).toBeNull();
  });

  test('repairing keeps the password of the database', async () => {
    const before = readFileSync(join(target, 'etc/manager.toml'), 'utf8');
    await mustRun(maintaining('repair'), { cwd: home, timeoutMs: INSTALL_TIMEOUT_MS });
    expect(readFileSync(join(target, 'etc/manager.toml'), 'utf8')).toBe(before);
    await mustRun(['dev', 'status', ...place], at);
  });

  test('uninstalling with --purge, killed at every step, ends sessions and leaves nothing', async () => {
    const { killedAt } = await killAtEveryStep(maintaining('uninstall', '--purge'), at);
    // The last step, which removes files, may be over before anybody can interrupt it.
    expect(killedAt.slice(0, 2)).toEqual(['End all sessions', 'Stop the components']);
    const { stdout } = Bun.spawnSync(['pgrep', '-f', target]);
    expect(stdout.toString()).toBe('');
    expect(readdirSync(home).filter((name) => name === 'cluster')).toEqual([]);
    const { code, stderr } = await runCli(['dev', 'status', '--target-path', target], at);
    expect(code).toBe(1);
    expect(stderr).toContain(`There is no installation in ${target}`);
  });
});
