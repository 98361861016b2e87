/**
 * A cluster of separate programs, as an operator runs it: `mgr start-server`, some `ag start-server`
 * (real processes and simulated kernels, unless others are asked for), a durable PostgreSQL, Redis and
 * etcd. Any of the programs may be killed; what is dead is started again.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import postgres, { type Sql } from 'postgres';
import * as v from 'valibot';
import { readClientConfig } from '../../client/config.ts';
import { Client } from '../../client/index.ts';
import { systemClock } from '../../common/clock.ts';
import { checkoutRoot } from '../../common/executable.ts';
import { systemRandom } from '../../common/random.ts';
import { databaseTypes } from '../../manager/db/connect.ts';
import { ensurePostgresBinaries } from '../../standalone/postgres/binaries.ts';
import { createDatabase } from '../../standalone/postgres/store.ts';
import { type SupervisedPostgres, supervisePostgres } from '../../standalone/supervisor.ts';
import { hireJanitor } from '../janitor.ts';
import { silentLog } from '../manager.ts';
import { freePort, startEtcd, startRedis } from '../services.ts';
import { until } from '../until.ts';
import { mustRun, Program } from './programs.ts';

/** Resource group of the agent whose kernels are simulated. */
export const SIMULATED_GROUP = 'simulated';
/** Resource group of the agents with containers; those with processes serve `default`. */
export const CONTAINER_GROUP = 'containers';
const START_TIMEOUT_MS = 80_000;

/** Accounts, policies and images' minimum sizes so that 50 sessions fit on two cores. */
const account = v.object({ access_key: v.string(), secret_key: v.string(), is_admin: v.boolean() });
const fixture = v.looseObject({
  keypairs: v.array(v.looseObject(account.entries)),
  keypair_resource_policies: v.array(v.looseObject({})),
  scaling_groups: v.array(v.looseObject({ name: v.string() })),
  sgroups_for_domains: v.array(v.looseObject({ scaling_group: v.string() })),
});

const agentPlans = {
  'process agent': { id: 'i-process', backend: 'process', group: 'default' },
  'second agent': { id: 'i-second', backend: 'process', group: 'default' },
  'dummy agent': { id: 'i-dummy', backend: 'dummy', group: SIMULATED_GROUP },
  'docker agent': { id: 'i-docker', backend: 'docker', group: CONTAINER_GROUP },
  'second docker agent': { id: 'i-docker-two', backend: 'docker', group: CONTAINER_GROUP },
} as const;
type AgentName = keyof typeof agentPlans;

/** The second one runs beside the first on the same stores, where a test asks for it. */
type ManagerName = 'manager' | 'second manager';
type ServerName = ManagerName | AgentName;
export type Part = ServerName | 'PostgreSQL';

export interface DistributedOptions {
  readonly agents?: readonly AgentName[];
  readonly managers?: readonly ManagerName[];
  /** Address that agents publish the services of containers on. */
  readonly bindHost?: string;
  /** Address on which the manager listens for agents; loopback unless it is given. */
  readonly internalHost?: string;
  /** Given to the agents beside a clean environment. */
  readonly agentEnvironment?: Readonly<Record<string, string>>;
  /** Put at the end of every server's settings: whole sections. */
  readonly moreSettings?: string;
  /** Servers to stand on instead of one of each; whoever started them ends them. */
  readonly stores?: ClusterStores;
}

/** PostgreSQL, etcd and Redis of a cluster. */
export interface ClusterStores {
  /** URL of the database `backend` on the server that takes writes. */
  readonly databaseUrl: string;
  /** Addresses as the files have them, several separated by commas. */
  readonly databaseAddr: string;
  readonly etcdAddr: string;
  /** Keys below `config/redis`. */
  readonly redis: Readonly<Record<string, string>>;
}

export interface DistributedCluster {
  readonly sql: Sql;
  readonly client: Client;
  /** What an administrator's shell has set to use this cluster. */
  readonly clientEnvironment: Readonly<Record<string, string>>;
  /** Working folder of a server, with its settings. */
  folderOf(name: ServerName): string;
  /** What an administrator's shell has set to use a manager of this cluster. */
  environmentFor(name: ManagerName): Readonly<Record<string, string>>;
  /** Folder of the process agent's kernels. */
  readonly kernelsFolder: string;
  /** Everything of this cluster lies in here; it is in the command line of every kernel. */
  readonly folder: string;
  /** SIGKILLs a server, which stays away until it is started again. */
  kill(name: ServerName): Promise<void>;
  start(name: ServerName): void;
  /** SIGKILLs a part and starts it again. */
  killAndRestart(part: Part): Promise<void>;
  /** The last lines that the servers logged. */
  logs(): Promise<string>;
  stop(): Promise<void>;
}

async function prepareFixture(folder: string): Promise<{ path: string; keys: [string, string] }> {
  const example = join(checkoutRoot ?? '.', 'fixtures/manager/example-users.json');
  const inOrder = v.parse(
    v.record(v.string(), v.unknown()),
    JSON.parse(await readFile(example, 'utf8')),
  );
  const tables = v.parse(fixture, inOrder);
  const [group, link] = [tables.scaling_groups[0], tables.sgroups_for_domains[0]];
  const key = tables.keypairs.find(({ is_admin }) => is_admin);
  if (!group || !link || !key) throw new Error(`${example} lacks a group or an administrator`);
  const others = [SIMULATED_GROUP, CONTAINER_GROUP];
  const path = join(folder, 'fixture.json');
  const more = {
    ...inOrder,
    keypair_resource_policies: tables.keypair_resource_policies.map((policy) => ({
      ...policy,
      max_concurrent_sessions: 1000,
      max_containers_per_session: 8,
    })),
    scaling_groups: [group, ...others.map((name) => ({ ...group, name }))],
    sgroups_for_domains: [link, ...others.map((name) => ({ ...link, scaling_group: name }))],
  };
  await writeFile(path, JSON.stringify(more));
  return { path, keys: [key.access_key, key.secret_key] };
}

interface Addresses {
  readonly database: string;
  readonly databaseAddr: string;
  readonly etcd: string;
  /** Of each manager: its port for clients and its address for agents. */
  readonly managers: ReadonlyMap<ManagerName, { readonly api: number; readonly internal: string }>;
}

function managerToml(
  name: ManagerName,
  { database, databaseAddr, etcd, managers }: Addresses,
): string {
  const { api, internal } = managers.get(name) ?? {};
  const { username, password, pathname } = new URL(database);
  return `[db]
addr = "${databaseAddr}"
name = "${pathname.slice(1)}"
user = "${username}"
password = "${password}"
[etcd]
addr = "${etcd}"
namespace = "faults"
[manager]
id = "i-faults-${name.replace(' ', '-')}"
service-addr = "127.0.0.1:${api}"
internal-addr = "${internal}"
heartbeat-timeout = 10.0
[logging]
level = "INFO"
drivers = ["file"]
file = { path = ".", filename = "server.log" }
`;
}

const agentToml = (
  etcd: string,
  rpcPort: number,
  { id, backend, group }: (typeof agentPlans)[AgentName],
  bindHost: string,
) => `[etcd]
addr = "${etcd}"
namespace = "faults"
[agent]
backend = "${backend}"
id = "${id}"
scaling-group = "${group}"
rpc-listen-addr = "127.0.0.1:${rpcPort}"
var-base-path = "state"
[container]
bind-host = "${bindHost}"
[resource]
reserved-cpu = 0
reserved-mem = "256m"
[logging]
level = "INFO"
drivers = ["file"]
file = { path = ".", filename = "server.log" }
[debug]
heartbeat-interval = 1
`;

/** Quick, but slow enough that a kill finds kernels in every state. */
const DUMMY_TOML = `[agent.delay]
scan-image = 0
destroy-kernel = [0.0, 0.2]
[agent.resource.cpu]
num-core = 200
[kernel-creation-ctx.delay]
prepare-scratch = [0.0, 0.1]
prepare-ssh = 0
mount-krunner = [0.0, 0.1]
spawn = [0.0, 0.2]
start-container = [0.0, 0.2]
[kernel.delay]
check-status = 0
`;

async function startDatabase(folder: string): Promise<SupervisedPostgres> {
  const binaries = await ensurePostgresBinaries(
    join(tmpdir(), `bai-runtime-${process.getuid?.() ?? 0}`),
  );
  await mkdir(join(folder, 'postgres'));
  const options = {
    ...{ binaries, dataDir: join(folder, 'postgres/data'), port: 0, durable: true },
    ...{ maxConnections: 100, clock: systemClock, random: systemRandom },
  };
  return supervisePostgres(options, systemClock, silentLog);
}

/** The id of the server process that runs at this moment. */
async function killPostgres(folder: string): Promise<void> {
  const [pid] = (await readFile(join(folder, 'postgres/data/postmaster.pid'), 'utf8')).split('\n');
  process.kill(Number(pid), 'SIGKILL');
}

class Servers {
  readonly #folder: string;
  readonly #running = new Map<ServerName, Program>();
  readonly #agentEnvironment: Readonly<Record<string, string>>;

  constructor(folder: string, agentEnvironment: Readonly<Record<string, string>>) {
    this.#folder = folder;
    this.#agentEnvironment = agentEnvironment;
  }

  folderOf(name: ServerName): string {
    return join(this.#folder, name.replaceAll(' ', '-'));
  }

  start(name: ServerName): void {
    const cwd = this.folderOf(name);
    const program =
      name === 'manager' || name === 'second manager'
        ? new Program(['mgr', 'start-server'], { cwd })
        : new Program(['ag', 'start-server'], { cwd, env: this.#agentEnvironment });
    this.#running.set(name, program);
  }

  async kill(name: ServerName): Promise<void> {
    const program = this.#running.get(name);
    this.#running.delete(name);
    await program?.kill();
  }

  async restart(name: ServerName): Promise<void> {
    await this.kill(name);
    this.start(name);
  }

  /** @throws when one of them ended by itself. */
  assertAlive(): void {
    for (const [name, program] of this.#running) {
      if (!program.isRunning) throw new Error(`the ${name} ended: ${program.stderr}`);
    }
  }

  async logs(): Promise<string> {
    const parts = [...this.#running.keys()].map(async (name) => {
      const path = join(this.folderOf(name), 'server.log');
      const text = await readFile(path, 'utf8').catch(() => '');
      return `--- ${name}\n${text.split('\n').slice(-40).join('\n')}`;
    });
    return (await Promise.all(parts)).join('\n');
  }

  async stop(): Promise<void> {
    // Agents say goodbye to a manager, so managers end last.
    const isManager = (name: ServerName) => name === 'manager' || name === 'second manager';
    const order = [...this.#running].sort(
      ([a], [b]) => Number(isManager(a)) - Number(isManager(b)),
    );
    for (const [, program] of order) await program.stop();
  }
}

async function writeSettings(
  servers: Servers,
  agents: readonly AgentName[],
  addresses: Addresses & { readonly bindHost: string; readonly moreSettings: string },
): Promise<void> {
  const files = [...addresses.managers.keys()].map((name): [ServerName, string, string] => [
    name,
    'manager.toml',
    managerToml(name, addresses) + addresses.moreSettings,
  ]);
  for (const name of agents) {
    const { etcd, bindHost, moreSettings } = addresses;
    const text = agentToml(etcd, await freePort(), agentPlans[name], bindHost) + moreSettings;
    files.push([name, 'agent.toml', text]);
    if (name === 'dummy agent') files.push([name, 'agent.dummy.toml', DUMMY_TOML]);
  }
  for (const [name, file, text] of files) {
    await mkdir(servers.folderOf(name), { recursive: true });
    await writeFile(join(servers.folderOf(name), file), text, { mode: 0o600 });
  }
}

/** Images as small as possible, so that dozens of sessions fit on the machine. */
async function shrinkImages(sql: Sql): Promise<void> {
  await sql`UPDATE images SET resources = jsonb_set(resources::jsonb, '{cpu,min}', '"0.01"')`;
}

async function configure(
  servers: Servers,
  redis: ClusterStores['redis'],
  fixturePath: string,
): Promise<void> {
  const at = { cwd: servers.folderOf('manager') };
  for (const [key, value] of Object.entries(redis)) {
    await mustRun(['mgr', 'etcd', 'put', `config/redis/${key}`, value], at);
  }
  await mustRun(['mgr', 'schema', 'oneshot'], at);
  await mustRun(['mgr', 'fixture', 'populate', fixturePath], at);
}

/** An image of each kind of backend. */
const someImage = {
  process: 'local/bash',
  dummy: 'local/dummy',
  docker: 'local/testing/',
} as const;

/** One server of each kind. */
async function startStores(folder: string, undo: AsyncDisposableStack): Promise<ClusterStores> {
  const [etcd, redis, database] = await Promise.all([
    startEtcd(),
    startRedis(),
    startDatabase(folder),
  ]);
  // A server that loses its data folder ends by itself, also one that was started after a kill.
  const janitor = hireJanitor(database.server.pid, folder, 'QUIT');
  undo.defer(async () => {
    janitor.dismiss();
    await Promise.all([etcd.stop(), redis.stop(), database.stop()]);
  });
  await createDatabase({ url: database.server.url('postgres') }, 'backend', silentLog);
  return {
    databaseUrl: database.server.url('backend'),
    databaseAddr: `${database.server.host}:${database.server.port}`,
    etcdAddr: etcd.addr,
    redis: { addr: redis.addr },
  };
}

/** Starts everything and waits until the agents are known and their images can be used. */
export async function startDistributedCluster(
  options: DistributedOptions = {},
): Promise<DistributedCluster> {
  const { agents = ['process agent', 'dummy agent'], bindHost = '127.0.0.1' } = options;
  const names = options.managers ?? ['manager'];
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'bai-faults-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755);
  const stores = options.stores ?? (await startStores(folder, undo));
  const url = stores.databaseUrl;
  const managers = new Map<ManagerName, { api: number; internal: string }>();
  for (const name of names) {
    const internal = `${options.internalHost ?? '127.0.0.1'}:${await freePort()}`;
    managers.set(name, { api: await freePort(), internal });
  }
  const servers = new Servers(folder, options.agentEnvironment ?? {});
  await writeSettings(servers, agents, {
    ...{ database: url, databaseAddr: stores.databaseAddr, etcd: stores.etcdAddr },
    ...{ managers, bindHost },
    moreSettings: options.moreSettings ?? '',
  });
  const { path, keys } = await prepareFixture(folder);
  await configure(servers, stores.redis, path);
  const sql: Sql = postgres(url, { max: 4, types: databaseTypes, onnotice: () => {} });
  undo.defer(() => sql.end({ timeout: 5 }));

  undo.defer(() => servers.stop());
  for (const name of [...names, ...agents]) servers.start(name);
  const images = [...new Set(agents.map((name) => someImage[agentPlans[name].backend]))];
  const known = async () => {
    servers.assertAlive();
    const [row] = await sql<{ agents: number; images: number }[]>`SELECT
      (SELECT count(*) FROM agents WHERE status = 'ALIVE') AS agents,
      (SELECT count(*) FROM unnest(${images}::text[]) AS wanted
        WHERE EXISTS (SELECT FROM images WHERE starts_with(name, wanted))) AS images`;
    return row?.agents === agents.length && row.images === images.length;
  };
  await until(known, 'the agents and their images are known', START_TIMEOUT_MS);
  await shrinkImages(sql);
  const [accessKey, secretKey] = keys;
  const environmentFor = (name: ManagerName) => ({
    BACKEND_ENDPOINT: `http://127.0.0.1:${managers.get(name)?.api}`,
    BACKEND_ACCESS_KEY: accessKey,
    BACKEND_SECRET_KEY: secretKey,
  });
  const clientEnvironment = environmentFor('manager');
  const cluster = undo.move();
  return {
    ...{ sql, folder, clientEnvironment, environmentFor },
    client: new Client(readClientConfig(clientEnvironment)),
    folderOf: (name) => servers.folderOf(name),
    kernelsFolder: join(servers.folderOf('process agent'), 'state/i-process/kernels'),
    kill: (name) => servers.kill(name),
    start: (name) => servers.start(name),
    killAndRestart: (part) =>
      part === 'PostgreSQL' ? killPostgres(folder) : servers.restart(part),
    logs: () => servers.logs(),
    stop: () => cluster.disposeAsync(),
  };
}
