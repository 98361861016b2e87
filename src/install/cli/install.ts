/** `install`: asks what is wanted, on a screen or by options, and does it. */
import { hostname, userInfo } from 'node:os';
import { resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import {
  type CommandIo,
  choice,
  defineCommand,
  flag,
  integer,
  option,
  optionWithDefault,
  UsageError,
} from '../../common/command.ts';
import { parseManagerAddress } from '../../common/protocol/join.ts';
import { systemRandom } from '../../common/random.ts';
import { endRequested } from '../../common/server-process.ts';
import { guideOf } from '../modes/maintain.ts';
import type { Environment } from '../modes/servers.ts';
import { printPlan, printReport, printSummary, runPlainly } from '../plain.ts';
import { planFor } from '../plan.ts';
import {
  DEVELOP_PORTS,
  defaultMode,
  defaultTarget,
  HALFSTACKS,
  type InstallRequest,
  MAINTENANCE,
  MODES,
  type Mode,
  PACKAGE_PORTS,
  type Ports,
} from '../request.ts';

const anyCase =
  <T extends string>(choices: readonly T[]) =>
  (text: string): T => {
    const found = choices.find((candidate) => candidate === text.toLowerCase());
    if (found !== undefined) return found;
    throw new UsageError(`'${text}' is not one of ${choices.map((c) => `'${c}'`).join(', ')}.`);
  };

const address = (text: string): string => {
  const port = Number(/^(?:\[[0-9a-f:]+\]|[^:[\]]+):(\d{1,5})$/i.exec(text)?.[1]);
  if (port > 0 && port < 65_536) return text;
  throw new UsageError(`'${text}' is not of the form HOST:PORT.`);
};

/** Several, separated by commas. */
const addresses = (text: string): string =>
  text
    .split(',')
    .map((part) => address(part.trim()))
    .join(',');

const port = integer({ min: 1, max: 65_535 });
const portOption = (name: string, what: string) => option([name], 'PORT', what, port);

const options = {
  mode: option(
    ['--mode'],
    `[${MODES.join('|')}]`,
    'What to install: a cluster of this machine, one for development from this checkout, one of separate components, or a node of a cluster that runs elsewhere; or the upkeep of one.',
    anyCase(MODES),
  ),
  nonInteractive: flag(['--non-interactive'], 'Ask nothing: do what the options say.'),
  headless: flag(['--headless'], 'Plain lines instead of a screen; also what a pipe gets.'),
  dryRun: flag(['--dry-run'], 'Show what would be done, and do nothing.'),
  verbose: flag(['--verbose'], 'Show what the steps write, too.'),
  targetPath: option(
    ['--target-path'],
    'DIR',
    'Folder of the installation. [default: ~/backendai; .dev/<env-id> of the checkout; for standalone ~/.local, or /usr/local for root]',
  ),
  envId: optionWithDefault(
    ['--env-id'],
    'ID',
    'Tells installations on one machine apart.',
    'default',
    (text) => {
      if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(text)) return text;
      throw new UsageError(`'${text}' is not an environment id: use letters, digits, - _ and .`);
    },
  ),
  publicAddress: optionWithDefault(
    ['--public-facing-address'],
    'HOST',
    'Address that clients use; unless it is a loopback one, servers listen on all addresses.',
    '127.0.0.1',
    String,
  ),
  agentBackend: optionWithDefault(
    ['--agent-backend'],
    '[process|docker|dummy]',
    'How sessions run.',
    'process',
    choice(['process', 'docker', 'dummy']),
  ),
  halfstack: optionWithDefault(
    ['--halfstack'],
    '[auto|compose|existing]',
    'Where PostgreSQL, Redis and etcd come from; auto: existing ones when addresses are given.',
    'auto',
    choice(HALFSTACKS),
  ),
  postgresAddr: option(
    ['--postgres-addr'],
    'HOST:PORT[,…]',
    'An existing PostgreSQL; with its standbys, in any order.',
    addresses,
  ),
  redisAddr: option(['--redis-addr'], 'HOST:PORT', 'An existing Redis.', address),
  redisSentinel: option(
    ['--redis-sentinel'],
    'HOST:PORT[,…]',
    'Sentinels that watch an existing Redis, instead of its address.',
    addresses,
  ),
  redisService: optionWithDefault(
    ['--redis-service-name'],
    'NAME',
    'What the Sentinels watch it as.',
    'mymaster',
    String,
  ),
  etcdAddr: option(
    ['--etcd-addr'],
    'HOST:PORT[,…]',
    'An existing etcd; several members of one cluster.',
    addresses,
  ),
  otelEndpoint: option(
    ['--otel-endpoint'],
    'URL',
    'Collector that gets traces (OTLP), such as http://127.0.0.1:4318. [default: none are sent]',
    (text) => {
      if (/^https?:$/.test(URL.parse(text)?.protocol ?? '')) return text;
      throw new UsageError(`'${text}' is not an address such as http://127.0.0.1:4318.`);
    },
  ),
  endpointProtocol: option(
    ['--endpoint-protocol'],
    '[http|https]',
    'How browsers reach the web server behind a proxy. [default: as their requests say]',
    choice(['http', 'https']),
  ),
  showGuide: flag(['--show-guide'], 'Only show the report of what is installed.'),
  etcdNamespace: option(
    ['--etcd-namespace'],
    'NAME',
    'With --action move: under which name etcd keeps the settings. [default: local, or the environment id]',
  ),
  dbName: optionWithDefault(['--db-name'], 'NAME', 'Database.', 'backend', String),
  dbUser: optionWithDefault(['--db-user'], 'NAME', 'Role of the database.', 'postgres', String),
  postgresPort: portOption('--postgres-port', 'Port of the PostgreSQL that compose starts.'),
  redisPort: portOption('--redis-port', 'Port of the Redis that compose starts.'),
  etcdPort: portOption('--etcd-port', 'Port of the etcd that compose starts.'),
  managerPort: portOption('--manager-port', 'Port of the API.'),
  managerInternalPort: portOption('--manager-internal-port', 'Port of the manager for agents.'),
  webPort: portOption('--webserver-port', 'Port of the web server.'),
  agentPort: portOption('--agent-rpc-port', 'Port of the agent for managers.'),
  agentServicePort: portOption('--agent-service-port', 'Port of the health of the agent.'),
  storageClientPort: portOption('--storage-client-port', 'Port of the storage proxy for clients.'),
  storageManagerPort: portOption(
    '--storage-manager-port',
    'Port of the storage proxy for managers.',
  ),
  manager: option(
    ['--manager'],
    'HOST[:PORT]',
    "With --mode join: the manager's internal API.",
    (text) => {
      if (parseManagerAddress(text) !== null) return text;
      throw new UsageError(`'${text}' is not of the form HOST:PORT.`);
    },
  ),
  token: option(
    ['--token'],
    'TOKEN',
    'With --mode join: what `mgr token create` printed. BACKEND_JOIN_TOKEN hides it from other users.',
  ),
  agentId: optionWithDefault(
    ['--agent-id'],
    'ID',
    'With --mode join: name of the node.',
    `i-${hostname()}`,
    String,
  ),
  advertise: option(
    ['--advertise'],
    'HOST',
    'With --mode join: address by which this machine is reached. [default: found at every start]',
  ),
  noStart: flag(['--no-start'], 'Install only; start nothing.'),
  action: optionWithDefault(
    ['--action'],
    `[${MAINTENANCE.join('|')}]`,
    'With --mode maintain: what to do.',
    'repair',
    choice(MAINTENANCE),
  ),
  purge: flag(
    ['--purge'],
    'With --action uninstall: delete all data, too. With move: delete the data of before at the end.',
  ),
};

type Given = Parameters<Parameters<typeof defineCommand<typeof options>>[0]['run']>[0]['options'];

function portsOf(mode: Mode, given: Given): Ports {
  const base = mode === 'develop' ? DEVELOP_PORTS : PACKAGE_PORTS;
  return {
    postgres: given.postgresPort ?? base.postgres,
    redis: given.redisPort ?? base.redis,
    etcd: given.etcdPort ?? base.etcd,
    manager: given.managerPort ?? base.manager,
    managerInternal: given.managerInternalPort ?? base.managerInternal,
    web: given.webPort ?? base.web,
    agentRpc: given.agentPort ?? base.agentRpc,
    agentService: given.agentServicePort ?? base.agentService,
    storageClient: given.storageClientPort ?? base.storageClient,
    storageManager: given.storageManagerPort ?? base.storageManager,
  };
}

function requestFrom(given: Given, io: CommandIo): InstallRequest {
  const mode = given.mode ?? defaultMode();
  if (given.redisAddr !== undefined && given.redisSentinel !== undefined) {
    throw new UsageError('Redis is named by --redis-addr or by --redis-sentinel, not by both.');
  }
  if (mode === 'maintain' && given.action === 'move' && given.redisSentinel !== undefined) {
    throw new UsageError('Data is moved to one Redis: name it with --redis-addr.');
  }
  const { postgresAddr: postgres, etcdAddr: etcd } = given;
  const redis = given.redisSentinel ?? given.redisAddr;
  const redisService = given.redisSentinel === undefined ? undefined : given.redisService;
  const named = [postgres, redis, etcd].filter((server) => server !== undefined).length;
  if (given.halfstack === 'existing' ? named < 3 : named > 0 && named < 3) {
    throw new UsageError(
      'Existing servers are used all three together: --postgres-addr, --redis-addr (or --redis-sentinel) and --etcd-addr.',
    );
  }
  return {
    mode,
    envId: given.envId,
    targetPath: given.targetPath
      ? resolve(io.cwd, given.targetPath)
      : defaultTarget(mode, given.envId, io.env),
    publicAddress: given.publicAddress,
    agentBackend: given.agentBackend,
    halfstack: given.halfstack,
    existing: { postgres, redis, redisService, etcd },
    otelEndpoint: given.otelEndpoint ?? null,
    endpointProtocol: given.endpointProtocol ?? null,
    etcdNamespace: given.etcdNamespace ?? null,
    database: {
      name: given.dbName,
      user: given.dbUser,
      // Not an option: other users would see it in the list of processes.
      password: io.env.BACKEND_DB_PASSWORD ?? '',
    },
    ports: portsOf(mode, given),
    join: {
      manager: given.manager ?? '',
      token: given.token ?? io.env.BACKEND_JOIN_TOKEN ?? '',
      agentId: given.agentId,
      advertise: given.advertise ?? null,
    },
    start: !given.noStart,
    maintenance: given.action,
    purge: given.purge,
  };
}

export default defineCommand({
  help: 'Install Backend.AI on this machine, or look after an installation. Whatever is interrupted is finished by running the same command again. The password of an existing database is read from BACKEND_DB_PASSWORD; for --action move, those of the others from BACKEND_REDIS_PASSWORD, BACKEND_ETCD_USER and BACKEND_ETCD_PASSWORD.',
  options,
  async run({ options: given, io, globals }) {
    const request = requestFrom(given, io);
    const signal = endRequested();
    const environment: Environment = {
      clock: systemClock,
      random: systemRandom,
      signal,
      isRoot: process.getuid?.() === 0,
      userName: userInfo().username,
    };
    if (given.showGuide) {
      const pages = await guideOf(request, environment);
      if (globals.output === 'json') io.stdout.write(`${JSON.stringify({ pages }, null, 2)}\n`);
      else printReport(io, pages);
      return 0;
    }
    const isScreen =
      io.stdout.isTTY &&
      process.stdin.isTTY &&
      // Such a terminal cannot draw anew.
      io.env.TERM !== 'dumb' &&
      !given.headless &&
      globals.output !== 'json';
    if (!given.dryRun && !given.nonInteractive && isScreen) {
      const { runScreens } = await import('../tui/run.ts');
      return await runScreens(request, environment, io, { isModeGiven: given.mode !== undefined });
    }
    const plan = planFor(request, environment);
    if (given.dryRun) {
      printPlan(io, plan);
      return 0;
    }
    if (!given.nonInteractive) {
      throw new UsageError(
        'Without a terminal that can draw nothing can be asked: add --non-interactive to do what the options say, or --dry-run to see it.',
      );
    }
    printSummary(io, plan);
    const pages = await runPlainly(io, plan, {
      clock: systemClock,
      signal,
      verbose: given.verbose,
    });
    if (globals.output === 'json') io.stdout.write(`${JSON.stringify({ pages }, null, 2)}\n`);
    else printReport(io, pages);
    return 0;
  },
});
