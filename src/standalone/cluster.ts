/**
 * `up`: the whole cluster in one process. The same manager and agent as in a distributed
 * installation, with PostgreSQL embedded, the configuration in a table, live state in memory
 * (or all three on servers elsewhere), and the two components calling each other directly.
 */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { openAccelerators } from '../accelerator/open.ts';
import { openBackend } from '../agent/backends/open.ts';
import { agentSettingsFrom } from '../agent/config-file.ts';
import { type RunningAgent, startAgent } from '../agent/main.ts';
import { type BackendName, ORDINARY_USER } from '../agent/settings.ts';
import type { Clock } from '../common/clock.ts';
import { writeEnvironmentFiles } from '../common/environment-files.ts';
import { BackendError, UserError } from '../common/errors.ts';
import {
  type LocalCluster,
  removeLocalCluster,
  writeLocalCluster,
} from '../common/local-cluster.ts';
import type { Logger } from '../common/logger.ts';
import { pickPort } from '../common/ports.ts';
import { processStartTicks } from '../common/processes.ts';
import type { Random } from '../common/random.ts';
import { loadOrCreateKeys } from '../common/rpc/keys.ts';
import type { Tracer } from '../common/tracing.ts';
import { httpAgentDirectory } from '../manager/agent-link.ts';
import type { AgentClient } from '../manager/context.ts';
import { type Manager, startManager } from '../manager/main.ts';
import { managerSettings } from '../manager/settings.ts';
import type { StorageProxy } from '../storage/main.ts';
import type { OwnerSettings } from '../storage/settings.ts';
import type { ConfigStore } from '../stores/config/port.ts';
import type { LiveStore } from '../stores/live/port.ts';
import { startWebServer, type WebServer } from '../web/main.ts';
import { defaultWebSettings } from '../web/settings.ts';
import { provideAccounts } from './accounts.ts';
import { startLocalAppProxy } from './app-proxy.ts';
import { lockFolder } from './lock.ts';
import { serveLocalMetrics } from './metrics.ts';
import { type Remembered, readRemembered, remember } from './remembered.ts';
import { managerId, managerKeyPath } from './servers/place.ts';
import { startLocalStorage } from './storage.ts';
import { type ClusterStores, openStores } from './stores.ts';

const HOST = '127.0.0.1';
const MANAGER_PORT = 8091;
const WEB_PORT = 8090;
const METRICS_PORT = 18_080;
const APP_PROXY_PORTS = { coordinator: 10_200, http: 10_201, tcp: 10_202, h2: 10_203 };
const STORAGE_CLIENT_PORT = 6021;
const STORAGE_MANAGER_PORT = 6022;
const REGISTRATION_TIMEOUT_MS = 20_000;

export interface ClusterOptions {
  readonly envId: string;
  /** Everything the cluster keeps lies in here. */
  readonly folder: string;
  readonly backend: BackendName;
  /** Wanted port of the manager; another one is taken when it is in use. */
  readonly managerPort?: number;
  /** The files of a WebUI to serve; the plain page without. */
  readonly webuiFolder?: string;
  /** A mock-accelerator.toml whose devices sessions can have, instead of real ones. */
  readonly mockAcceleratorFile?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Whose spans go where, by their parts' names; none do by default. */
  readonly tracerOf?: (service: string) => Tracer;
  /** Told about each step a user may wait for. */
  readonly progress: (message: string) => void;
}

export interface RunningCluster {
  readonly record: LocalCluster;
  readonly environmentFiles: readonly string[];
  readonly manager: Manager;
  readonly agent: RunningAgent;
  /** Rejects when a part is lost for good. */
  readonly failed: Promise<never>;
  /** Ends manager, agent, storage proxy and PostgreSQL. Sessions keep running and are adopted by the next start. */
  stop(): Promise<void>;
}

/** Steps that undo the start, run latest first. */
type Teardown = AsyncDisposableStack;

/**
 * Starts the cluster kept in `options.folder`, making it when it is new.
 * @throws UserError when another process runs it, or when a part does not start; nothing stays behind.
 */
export async function startCluster(options: ClusterOptions): Promise<RunningCluster> {
  const { folder, clock, random, log, progress } = options;
  await using teardown = new AsyncDisposableStack();
  const lock = lockFolder(folder);
  teardown.defer(() => lock.release());
  const remembered = await readRemembered(folder);

  const stores = await openStores(options, remembered.postgresPort ?? 0, teardown);
  const { sql, config, webSessions, internalAddr } = stores;
  const accounts = await provideAccounts(folder, sql, random);

  progress('Starting the manager');
  const storage = await startStorage(options, remembered, config);
  teardown.defer(() => storage.stop());
  const { manager, port, setAgent } = await startLocalManager(options, remembered, stores);
  teardown.defer(() => manager.stop());

  progress(`Starting the agent (${options.backend} backend)`);
  const { agent, isolationGaps } = await startLocalAgent(
    options,
    { manager, config, host: internalAddr?.host ?? HOST },
    teardown,
  );
  setAgent(agent.api);

  const appProxy = await startAppProxy(options, remembered, stores);
  teardown.defer(() => appProxy.stop());

  const web = await startWeb(options, remembered.webPort ?? WEB_PORT, {
    manager,
    live: webSessions,
  });
  teardown.defer(() => web.stop());

  const metricsPort = await pickPort(remembered.metricsPort ?? METRICS_PORT, HOST, random);
  const metrics = await serveLocalMetrics({
    ...{ folder, hostname: HOST, port: metricsPort, log },
    registries: {
      'backendai-manager': manager.metrics,
      'backendai-agent': agent.metrics,
      'backendai-storage-proxy': storage.metrics,
      'backendai-webserver': web.metrics,
    },
    others: [
      { job: 'backendai-appproxy-coordinator', url: appProxy.url },
      ...appProxy.workerUrls.map((url) => ({ job: 'backendai-appproxy-worker', url })),
    ],
  });
  teardown.defer(() => metrics.stop());

  const record: LocalCluster = {
    envId: options.envId,
    pid: process.pid,
    pidStartTicks: processStartTicks(process.pid),
    endpoint: manager.url,
    webUrl: web.url,
    metricsUrl: metrics.url,
    backend: options.backend,
    isolationGaps,
    startedAt: clock.now().toISOString(),
    accounts: [...accounts],
  };
  const environmentFiles = writeEnvironmentFiles(folder, record.endpoint, accounts);
  await remember(folder, {
    ...appProxy.ports,
    managerPort: port,
    metricsPort,
    postgresPort: stores.postgresPort ?? remembered.postgresPort,
    storageClientPort: Number(new URL(storage.clientUrl).port),
    storageManagerPort: Number(new URL(storage.managerUrl).port),
    webPort: Number(new URL(web.url).port),
  });
  writeLocalCluster(folder, record);
  teardown.defer(() => removeLocalCluster(folder));
  const running = teardown.move();
  return {
    record,
    environmentFiles,
    manager,
    agent,
    failed: stores.lost,
    stop: () => running.disposeAsync(),
  };
}

/**
 * Who owns new folders: containers of an agent that is root run as an ordinary user, who must be able
 * to write. Sessions of the process backend are this process's own user, and get in by the group.
 */
const folderOwner = (backend: BackendName): OwnerSettings | null =>
  backend === 'docker' && process.getuid?.() === 0
    ? { ...ORDINARY_USER, gid: 0, groupWrites: true }
    : null;

/** Where folders are kept. Only the manager and people on this machine reach it. */
async function startStorage(
  { folder, backend, clock, random, log, progress }: ClusterOptions,
  remembered: Remembered,
  config: ConfigStore,
): Promise<StorageProxy> {
  const portFor = async (wanted: number) => {
    const port = await pickPort(wanted, HOST, random);
    if (port !== wanted) progress(`Port ${wanted} is in use; taking ${port} instead`);
    return port;
  };
  return startLocalStorage({
    ...{ folder, config, clock, random, hostname: HOST, owner: folderOwner(backend) },
    managerPort: await portFor(remembered.storageManagerPort ?? STORAGE_MANAGER_PORT),
    clientPort: await portFor(remembered.storageClientPort ?? STORAGE_CLIENT_PORT),
    log: log.child({ component: 'storage' }),
  });
}

/** What makes applications of sessions reachable; nobody but this machine gets to it. */
async function startAppProxy(
  { folder, clock, random, log, progress, tracerOf }: ClusterOptions,
  remembered: Remembered,
  { sql, live, appProxyDatabase }: ClusterStores,
) {
  progress('Starting the app proxy');
  const port = (wanted: number) => pickPort(wanted, HOST, random);
  const ports = {
    coordinator: await port(remembered.appProxyPort ?? APP_PROXY_PORTS.coordinator),
    http: await port(remembered.appProxyHttpPort ?? APP_PROXY_PORTS.http),
    tcp: await port(remembered.appProxyTcpPort ?? APP_PROXY_PORTS.tcp),
    h2: await port(remembered.appProxyHttp2Port ?? APP_PROXY_PORTS.h2),
  };
  const proxy = await startLocalAppProxy({
    ...{ folder, hostname: HOST, ports, live, clock, random, tracerOf },
    database: appProxyDatabase,
    managerSql: sql,
    log: log.child({ component: 'appproxy' }),
  });
  return {
    url: proxy.url,
    workerUrls: proxy.workerUrls,
    stop: () => proxy.stop(),
    ports: {
      appProxyPort: ports.coordinator,
      appProxyHttp2Port: ports.h2,
      appProxyHttpPort: ports.http,
      appProxyTcpPort: ports.tcp,
    },
  };
}

/** The manager calls the agent of this process directly, and those of other machines over HTTP. */
async function startLocalManager(
  options: ClusterOptions,
  remembered: Remembered,
  { sql, config, live, webSessions, internalAddr }: ClusterStores,
) {
  const { folder, clock, random, progress, tracerOf } = options;
  const local: { agent: AgentClient | null } = { agent: null };
  const managerKeys = await loadOrCreateKeys(managerKeyPath(folder));
  const log = options.log.child({ component: 'manager' });
  const elsewhere = httpAgentDirectory({ keys: managerKeys, clock, random, log });
  const wanted = options.managerPort ?? remembered.managerPort ?? MANAGER_PORT;
  const port = await pickPort(wanted, HOST, random);
  if (port !== wanted) progress(`Port ${wanted} is in use; taking ${port} instead`);
  const manager = await startManager({
    ...{ id: managerId(options.envId), settings: v.parse(managerSettings, {}) },
    ...{ sql, config, live, webSessions, managerKeys, clock, random, log },
    agents: {
      client: (agentId, addr, publicKey) =>
        agentId === agentIdOf(options)
          ? (local.agent ?? agentIsStarting())
          : elsewhere.client(agentId, addr, publicKey),
    },
    listen: { hostname: HOST, port },
    ...(internalAddr === null
      ? {}
      : { internalListen: { hostname: internalAddr.host, port: internalAddr.port } }),
    tracer: tracerOf?.('backend.ai-manager'),
  });
  const setAgent = (agent: AgentClient) => {
    local.agent = agent;
  };
  return { manager, port, setAgent };
}

/** The page for people, on the same machine only and so without TLS. */
async function startWeb(
  { clock, random, log, progress, webuiFolder, tracerOf }: ClusterOptions,
  wantedPort: number,
  { manager, live }: { manager: Manager; live: LiveStore },
): Promise<WebServer> {
  const port = await pickPort(wantedPort, HOST, random);
  if (port !== wantedPort) progress(`Port ${wantedPort} is in use; taking ${port} instead`);
  return startWebServer({
    settings: { ...defaultWebSettings, cookieSecure: false, staticPath: webuiFolder ?? null },
    live,
    clock,
    random,
    log: log.child({ component: 'web' }),
    listen: { hostname: HOST, port },
    managerUrl: manager.url,
    tracer: tracerOf?.('backend.ai-webserver'),
  });
}

function agentIsStarting(): never {
  throw new BackendError('AgentConnectionUnavailable', 'The local agent is still starting.');
}

const agentIdOf = ({ envId }: ClusterOptions): string => `i-${envId}`;

async function startLocalAgent(
  options: ClusterOptions,
  { manager, config, host }: { manager: Manager; config: ConfigStore; host: string },
  teardown: Teardown,
): Promise<{ agent: RunningAgent; isolationGaps: string[] }> {
  const { folder, clock, random, mockAcceleratorFile: mockFile } = options;
  const stateDir = join(folder, 'agent');
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const settings = agentSettingsFrom({
    agent: {
      id: agentIdOf(options),
      backend: options.backend,
      'var-base-path': stateDir,
      'ipc-base-path': stateDir,
    },
    // Kernels on other machines meet those of this one there.
    container: { 'bind-host': host, 'scratch-root': join(stateDir, 'scratches') },
    // One person's machine: nothing is set aside, sessions share it with everything else.
    resource: { 'reserved-cpu': 0, 'reserved-mem': '256m' },
  });
  const log = options.log.child({ component: 'agent' });
  const backend = await openBackend({
    settings,
    stateDir,
    hiddenPaths: [dirname(folder)],
    clock,
    random,
    log,
  });
  const accelerators = await openAccelerators({
    allow: mockFile === undefined ? null : ['mock'],
    block: [],
    settings: {},
    mockFile,
    drivers: (await backend.capacity()).deviceDrivers,
    places: { cwd: folder, home: folder },
    store: config,
    random,
    log,
  });
  // Ready means that a session can be asked for: the manager knows the agent and its images.
  const registered = Promise.withResolvers<void>();
  const agent = await startAgent({
    settings,
    backend,
    accelerators,
    manager: {
      ...manager.gateway,
      async heartbeat(state) {
        const answer = await manager.gateway.heartbeat(state);
        registered.resolve();
        return answer;
      },
    },
    keys: await loadOrCreateKeys(join(stateDir, 'agent.key')),
    stateDir,
    clock,
    random,
    log,
    tracer: options.tracerOf?.('backend.ai-agent'),
  });
  teardown.defer(() => agent.stop());
  const giveUp = clock.timer(REGISTRATION_TIMEOUT_MS, () =>
    registered.reject(
      new UserError('The agent could not register with the manager.', {
        hint: 'Start it with --debug to see why.',
      }),
    ),
  );
  await registered.promise.finally(() => giveUp.cancel());
  return { agent, isolationGaps: await backend.isolationGaps() };
}
