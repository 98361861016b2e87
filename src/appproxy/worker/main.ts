/** Starts a worker: its listeners, its API, and its bond with the coordinator. */
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/logger.ts';
import type { Random } from '../../common/random.ts';
import { noTracer, type Tracer } from '../../common/tracing.ts';
import { secretCheck, serveApi } from '../shared/api-server.ts';
import { Permits } from '../shared/permits.ts';
import type { WorkerRegistration } from '../shared/protocol.ts';
import { ProxyTokens } from '../shared/tokens.ts';
import { Access } from './access.ts';
import { workerRoutes } from './api.ts';
import { Counters } from './counters.ts';
import { Frontend } from './frontend.ts';
import { CoordinatorLink } from './link.ts';
import type { WorkerSettings } from './settings.ts';

export interface WorkerOptions {
  readonly settings: WorkerSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Of the requests and connections that it passes on; none by default. */
  readonly tracer?: Tracer;
}

export interface ProxyWorker {
  /** `http://host:port` (or https) of its own API, where it listens. */
  readonly url: string;
  /** Resolves once the coordinator's circuits are served. */
  ready(): Promise<void>;
  /** Takes leave of the coordinator and ends every connection. */
  stop(): Promise<void>;
}

function registrationOf(settings: WorkerSettings, apiPort: number): WorkerRegistration {
  const { frontend, apiAdvertised } = settings;
  const isPort = frontend.mode === 'port';
  return {
    authority: settings.authority,
    frontend_mode: frontend.mode,
    protocol: settings.protocol,
    hostname: apiAdvertised.host,
    tls_listen: settings.tls !== null,
    tls_advertised: settings.tlsAdvertised,
    api_port: apiAdvertised.port === 0 ? apiPort : apiAdvertised.port,
    accepted_traffics: [...settings.acceptedTraffics],
    filtered_apps_only: settings.filteredAppsOnly,
    app_filters: settings.appFilters.map((filter) => ({ ...filter })),
    port_range: isPort ? [...frontend.advertisedPorts] : null,
    wildcard_domain: isPort ? null : frontend.domain,
    wildcard_traffic_port: isPort ? null : frontend.advertisedPort,
    traefik_last_used_marker_path: null,
  };
}

/** @throws UserError when an address cannot be bound. The coordinator may come later. */
export async function startWorker(options: WorkerOptions): Promise<ProxyWorker> {
  const { settings, clock, random, log, tracer = noTracer } = options;
  await using opened = new AsyncDisposableStack();
  const permits = new Permits(settings.permits, clock);
  const tokens = new ProxyTokens(settings.jwtSecret, clock);
  const counters = new Counters();
  const access = new Access(permits, tokens, clock);
  const frontend = Frontend.start({ settings, access, counters, tracer, clock, random, log });
  opened.defer(() => frontend.stop());
  // The API and the bond need each other: the one its port, the other how it stands.
  let link: CoordinatorLink | null = null;
  const api = serveApi({
    routes: workerRoutes({
      ...{ settings, frontend, counters, tokens, permits },
      isConnected: () => link?.isConnected ?? false,
    }),
    checkSecret: secretCheck(settings.apiSecret, clock),
    listen: { ...settings.apiListen, tls: settings.tls },
    setting: 'api_bind_addr in [proxy_worker] of app-proxy-worker.toml',
    ...{ clock, log, tracer },
  });
  opened.defer(() => api.stop());
  const registration = registrationOf(settings, api.port);
  const bond = new CoordinatorLink({ settings, registration, frontend, clock, log });
  link = bond;
  bond.start();
  opened.defer(() => bond.stop());
  log.info('A worker of the app proxy is up', { url: api.url, authority: settings.authority });
  const running = opened.move();
  return { url: api.url, ready: () => bond.ready(), stop: () => running.disposeAsync() };
}
