/** The cluster's app proxy: a coordinator with a database of its own, and a worker each for HTTP, TCP and HTTP/2. */
import type { Sql } from 'postgres';
import { type Coordinator, startCoordinator } from '../appproxy/coordinator/main.ts';
import { migrateCoordinator } from '../appproxy/coordinator/schema.ts';
import { type ProxyWorker, startWorker } from '../appproxy/worker/main.ts';
import type { WorkerSettings } from '../appproxy/worker/settings.ts';
import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/logger.ts';
import type { Random } from '../common/random.ts';
import type { Tracer } from '../common/tracing.ts';
import type { LiveStore } from '../stores/live/port.ts';
import { connectDatabase, type DatabaseAddress } from '../stores/sql/connect.ts';
import { pointGroupsAt } from './app-proxy-store.ts';
import { loadOrCreateSecrets } from './secrets.ts';

const POOL_SIZE = 4;
const HTTP_PORTS = [10_205, 10_300] as const;
const TCP_PORTS = [10_501, 10_600] as const;
const HTTP2_PORTS = [10_301, 10_400] as const;
/** A cluster on one machine notices quickly. Milliseconds. */
const HEARTBEAT_MS = 10_000;
const WORKER_TIMEOUT_MS = 30_000;
const UNUSED_CIRCUIT_MS = 3_600_000;
/** Only this machine. */
const HERE = ['127.0.0.1/32', '::1/128'];

export interface LocalAppProxyOptions {
  /** The cluster's folder. */
  readonly folder: string;
  readonly hostname: string;
  readonly ports: Readonly<Record<'coordinator' | 'http' | 'tcp' | 'h2', number>>;
  /** The coordinator's own. */
  readonly database: DatabaseAddress;
  /** The manager's pool. */
  readonly managerSql: Sql;
  readonly live: LiveStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly tracerOf?: (service: string) => Tracer;
}

export interface LocalAppProxy {
  readonly url: string;
  readonly workerUrls: readonly string[];
  stop(): Promise<void>;
}

/** Starts it, and tells the manager's resource groups. @throws UserError when a part does not start. */
export async function startLocalAppProxy(options: LocalAppProxyOptions): Promise<LocalAppProxy> {
  const { folder, hostname, ports, clock, random, log } = options;
  await using opened = new AsyncDisposableStack();
  const secrets = await loadOrCreateSecrets(
    folder,
    'app-proxy-secrets.json',
    ['api', 'jwt', 'permit'],
    { random, loss: 'apps that are open have to be opened again' },
  );
  const sql = await connectDatabase(
    {
      ...options.database,
      maxConnections: POOL_SIZE,
      applicationName: 'backend.ai-appproxy',
    },
    log,
  );
  opened.defer(() => sql.end({ timeout: 5 }));
  await migrateCoordinator(sql, log);
  const url = `http://${hostname}:${ports.coordinator}`;
  const coordinator: Coordinator = await startCoordinator({
    settings: {
      apiSecret: secrets.api,
      jwtSecret: secrets.jwt,
      advertisedUrl: url,
      allowsUnauthorizedConfigure: false,
      workerTimeoutMs: WORKER_TIMEOUT_MS,
      unusedCircuitMs: UNUSED_CIRCUIT_MS,
      metricsFrom: HERE,
    },
    listen: { hostname, port: ports.coordinator, tls: null },
    ...{ sql, live: options.live, clock, random, log },
    tracer: options.tracerOf?.('backend.ai-appproxy-coordinator'),
  });
  opened.defer(() => coordinator.stop());
  const common = {
    coordinator: url,
    verifiesCoordinator: true,
    apiSecret: secrets.api,
    jwtSecret: secrets.jwt,
    permits: { secret: secrets.permit, digest: 'sha256' },
    acceptedTraffics: ['interactive', 'inference'],
    appFilters: [],
    filteredAppsOnly: false,
    tls: null,
    tlsAdvertised: false,
    heartbeatMs: HEARTBEAT_MS,
    trustedProxies: [],
    metricsFrom: HERE,
  } satisfies Partial<WorkerSettings>;
  const tracer = options.tracerOf?.('backend.ai-appproxy-worker');
  const start = async (protocol: 'http' | 'tcp' | 'h2', range: readonly [number, number]) => {
    const port = ports[protocol];
    const worker: ProxyWorker = await startWorker({
      settings: {
        ...common,
        ...{ protocol, authority: `local-${protocol}` },
        frontend: {
          mode: 'port',
          bindHost: hostname,
          advertisedHost: hostname,
          bindPorts: range,
          advertisedPorts: range,
        },
        apiListen: { hostname, port },
        apiAdvertised: { host: hostname, port },
      },
      ...{ clock, random, log, tracer },
    });
    opened.defer(() => worker.stop());
  };
  await start('http', HTTP_PORTS);
  await start('tcp', TCP_PORTS);
  await start('h2', HTTP2_PORTS);
  await pointGroupsAt(options.managerSql, url, secrets.api);
  const running = opened.move();
  const workerUrls = [ports.http, ports.tcp, ports.h2].map((port) => `http://${hostname}:${port}`);
  return { url, workerUrls, stop: () => running.disposeAsync() };
}
