/**
 * Real Redis and etcd servers for tests: private ones with their own folder and free ports, or the
 * run's shared ones (BACKEND_TEST_REDIS, BACKEND_TEST_ETCD: `host:port`, set by scripts/test.ts)
 * under a name of the caller's own.
 */
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pickPort } from '../common/ports.ts';
import { systemRandom } from '../common/random.ts';
import { hireJanitor, type Janitor } from './janitor.ts';
import { until } from './until.ts';

/** A private server, listening on 127.0.0.1. */
export interface TestService {
  /** `127.0.0.1:port`; the same after a restart. */
  readonly addr: string;
  /** Ends the process at once, as a crash would. Its data stays for `start`. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, on the same port and data. */
  start(): Promise<void>;
  /** `kill`, then `start`. */
  restart(): Promise<void>;
  /** `kill`, and start without the data of before: another server on the same address. */
  restartEmpty(): Promise<void>;
  /** Stops the process (SIGSTOP): it is there but does not answer. Resolves once it stands still. */
  pause(): Promise<void>;
  /** Lets a paused process go on. */
  resume(): void;
  /** Ends the process and deletes its data. */
  stop(): Promise<void>;
}

/** Why `command` cannot be run here, or null when it can. */
export function missingTool(command: string, debianPackage: string): string | null {
  if (Bun.which(command)) return null;
  return `'${command}' is not installed (Debian: apt-get install ${debianPackage})`;
}

/**
 * Whether a test that needs something special can run. On a laptop a reason is printed and the
 * test skipped; with CI=true the missing thing is a failure.
 * @param reason why not, or null.
 */
export function requireOrSkip(reason: string | null): boolean {
  if (reason === null) return true;
  if (process.env.CI === 'true') throw new Error(`needed by this test: ${reason}`);
  console.warn(`skipped: ${reason}`);
  return false;
}

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export const freePort = (): Promise<number> => pickPort(0, '127.0.0.1', systemRandom);

/** Waits until `condition` holds. @throws when it does not within `deadlineMs`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs?: number,
): Promise<void> {
  await until(condition, what, deadlineMs);
}

/** Whether every thread of a process is stopped (SIGSTOP); where there is no /proc it is taken for granted. */
export function allStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return true;
  return readdirSync(tasks).every((thread) =>
    /\) [Tt] /.test(readFileSync(`${tasks}/${thread}/stat`, 'utf8')),
  );
}

interface Program {
  readonly name: string;
  readonly debianPackage: string;
  readonly port: number;
  arguments(dataDir: string): string[];
  ready(): Promise<boolean>;
}

class PrivateServer implements TestService {
  readonly addr: string;
  readonly #program: Program;
  readonly #folder: string;
  #process: Bun.Subprocess | null = null;
  #janitor: Janitor | null = null;

  constructor(program: Program) {
    this.#program = program;
    this.addr = `127.0.0.1:${program.port}`;
    this.#folder = mkdtempSync(join(tmpdir(), `bai-${program.name}-`));
  }

  async start(): Promise<void> {
    const { name, debianPackage } = this.#program;
    const missing = missingTool(name, debianPackage);
    if (missing) throw new Error(missing);
    const dataDir = join(this.#folder, 'data');
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const logFile = join(this.#folder, 'log');
    const child = Bun.spawn([name, ...this.#program.arguments(dataDir)], {
      cwd: this.#folder,
      stdin: 'ignore',
      stdout: Bun.file(logFile),
      stderr: Bun.file(logFile),
      // etcd wants to be told that anything but x86-64 is meant.
      env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.arch === 'arm64' ? 'arm64' : '' },
    });
    this.#process = child;
    this.#janitor = hireJanitor(child.pid, this.#folder, 'KILL');
    try {
      await eventually(`${name} at ${this.addr}`, async () => {
        if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
        return await this.#program.ready();
      });
    } catch (error) {
      const log = readFileSync(logFile, 'utf8').slice(-2000);
      await this.kill();
      throw new Error(`${error instanceof Error ? error.message : error}\n${log}`);
    }
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    child?.kill('SIGKILL');
    await child?.exited;
    this.#janitor?.dismiss();
    this.#janitor = null;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  async restartEmpty(): Promise<void> {
    await this.kill();
    rmSync(join(this.#folder, 'data'), { recursive: true, force: true });
    await this.start();
  }

  async pause(): Promise<void> {
    const child = this.#process;
    if (!child) throw new Error(`${this.#program.name} is not running`);
    child.kill('SIGSTOP');
    // The signal reaches the threads one after the other; until all stand still they answer.
    await eventually(`all of ${this.#program.name} stopped`, async () => allStopped(child.pid));
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function redisAnswers(port: number): Promise<boolean> {
  const answer = Promise.withResolvers<boolean>();
  try {
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port,
      socket: {
        open: (opened) => void opened.write('PING\r\n'),
        // With a password set the answer is -NOAUTH, which also shows that it is up.
        data: (_, data) => answer.resolve(/^[+-](PONG|NOAUTH)/.test(data.toString())),
        close: () => answer.resolve(false),
        error: () => answer.resolve(false),
      },
    });
    const ready = await answer.promise;
    socket.end();
    return ready;
  } catch {
    return false;
  }
}

/** Starts a private Redis that keeps nothing on disk. */
export async function startRedis(
  options: { password?: string; replicaOf?: { host: string; port: string } } = {},
): Promise<TestService> {
  const port = await freePort();
  const server = new PrivateServer({
    name: 'redis-server',
    debianPackage: 'redis-server',
    port,
    arguments: (dataDir) => [
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', dataDir],
      ...['--save', '', '--appendonly', 'no'],
      ...(options.password ? ['--requirepass', options.password] : []),
      ...(options.replicaOf ? ['--replicaof', options.replicaOf.host, options.replicaOf.port] : []),
    ],
    ready: () => redisAnswers(port),
  });
  await server.start();
  return server;
}

async function etcdAnswers(port: number): Promise<boolean> {
  try {
    const reply = await fetch(`http://127.0.0.1:${port}/health`, {
      signal: AbortSignal.timeout(1000),
    });
    return reply.ok && /"health":\s*"?true/.test(await reply.text());
  } catch {
    return false;
  }
}

/** Starts a private etcd of one member. */
export async function startEtcd(): Promise<TestService> {
  const [port, peerPort] = [await freePort(), await freePort()];
  const client = `http://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const server = new PrivateServer({
    name: 'etcd',
    debianPackage: 'etcd-server',
    port,
    arguments: (dataDir) => [
      ...['--name', 'test', '--data-dir', dataDir, '--log-level', 'warn'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `test=${peer}`],
    ],
    ready: () => etcdAnswers(port),
  });
  await server.start();
  return server;
}

/** Starts an etcd of several members on this machine. */
export async function startEtcdMembers(count: number): Promise<TestService[]> {
  const members = await Promise.all(
    Array.from({ length: count }, async (_, index) => ({
      name: `member${index}`,
      port: await freePort(),
      peer: `http://127.0.0.1:${await freePort()}`,
    })),
  );
  const cluster = members.map(({ name, peer }) => `${name}=${peer}`).join(',');
  const servers = members.map(({ name, port, peer }) => {
    const client = `http://127.0.0.1:${port}`;
    return new PrivateServer({
      name: 'etcd',
      debianPackage: 'etcd-server',
      port,
      arguments: (dataDir) => [
        ...['--name', name, '--data-dir', dataDir, '--log-level', 'warn'],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ...['--initial-cluster', cluster],
      ],
      ready: () => etcdAnswers(port),
    });
  });
  // None of them answers before most of them are there.
  await Promise.all(servers.map((server) => server.start()));
  return servers;
}

export interface WatchedRedis {
  /** What the Sentinels watch it as. */
  readonly serviceName: string;
  readonly master: TestService;
  readonly replica: TestService;
  readonly sentinels: readonly TestService[];
  stop(): Promise<void>;
}

/** One command to a server of Redis's protocol; the first bytes of its answer. */
async function askRedis(addr: string, command: string): Promise<string> {
  const answer = Promise.withResolvers<string>();
  const port = Number(addr.split(':')[1]);
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port,
    socket: {
      open: (opened) => void opened.write(`${command}\r\n`),
      data: (_, data) => answer.resolve(data.toString()),
      close: () => answer.resolve(''),
      error: () => answer.resolve(''),
    },
  });
  try {
    return await answer.promise;
  } finally {
    socket.end();
  }
}

/** Starts a Redis with a replica, and three Sentinels that notice within a second when it is gone. */
export async function startWatchedRedis(): Promise<WatchedRedis> {
  const serviceName = 'backendai';
  const master = await startRedis();
  const [host = '', masterPort = ''] = master.addr.split(':');
  const replica = await startRedis({ replicaOf: { host, port: masterPort } });
  const sentinels = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const port = await freePort();
      const server = new PrivateServer({
        name: 'redis-server',
        debianPackage: 'redis-server',
        port,
        arguments(dataDir) {
          const path = join(dataDir, 'sentinel.conf');
          const settings = [
            ...[`port ${port}`, 'bind 127.0.0.1', `dir ${dataDir}`],
            `sentinel monitor ${serviceName} ${host} ${masterPort} 2`,
            `sentinel down-after-milliseconds ${serviceName} 1000`,
            `sentinel failover-timeout ${serviceName} 5000`,
          ];
          writeFileSync(path, `${settings.join('\n')}\n`);
          return [path, '--sentinel'];
        },
        ready: () => redisAnswers(port),
      });
      await server.start();
      return server;
    }),
  );
  await eventually(
    'the Sentinels know each other and the replica',
    async () => {
      const views = sentinels.map(async ({ addr }) => {
        const info = await askRedis(addr, 'INFO sentinel');
        return info.includes('slaves=1,sentinels=3');
      });
      return (await Promise.all(views)).every(Boolean);
    },
    30_000,
  );
  const all = [master, replica, ...sentinels];
  return {
    ...{ serviceName, master, replica, sentinels },
    stop: async () => void (await Promise.all(all.map((server) => server.stop()))),
  };
}

const own = () => `test-${randomUUID()}`;
const noop = async () => {};

/** The run's Redis, or a private one, with a key prefix of the caller's own. */
export async function sharedRedis(): Promise<{
  addr: string;
  keyPrefix: string;
  stop(): Promise<void>;
}> {
  const addr = process.env.BACKEND_TEST_REDIS;
  if (addr) return { addr, keyPrefix: `${own()}:`, stop: noop };
  const server = await startRedis();
  return { addr: server.addr, keyPrefix: `${own()}:`, stop: () => server.stop() };
}

/** The run's etcd, or a private one, with a namespace of the caller's own. */
export async function sharedEtcd(): Promise<{
  addr: string;
  namespace: string;
  stop(): Promise<void>;
}> {
  const addr = process.env.BACKEND_TEST_ETCD;
  if (addr) return { addr, namespace: own(), stop: noop };
  const server = await startEtcd();
  return { addr: server.addr, namespace: own(), stop: () => server.stop() };
}
