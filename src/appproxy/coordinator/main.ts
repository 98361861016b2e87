/** Starts a coordinator: its API on given stores, and its upkeep. */
import type { Sql } from 'postgres';
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/logger.ts';
import type { Random } from '../../common/random.ts';
import type { Tracer } from '../../common/tracing.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import { type ApiServer, secretCheck, serveApi } from '../shared/api-server.ts';
import { ProxyTokens } from '../shared/tokens.ts';
import { Changes } from './changes.ts';
import { controlRoutes } from './control-routes.ts';
import { proxyRoutes } from './proxy-routes.ts';
import { CoordinatorService } from './service.ts';
import type { CoordinatorSettings, ListenSettings } from './settings.ts';
import { systemRoutes } from './system-routes.ts';
import { startUpkeep } from './upkeep.ts';

export interface CoordinatorOptions {
  readonly settings: CoordinatorSettings;
  /** A pool on a migrated database. */
  readonly sql: Sql;
  readonly live: LiveStore;
  readonly listen: ListenSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Of the requests that it answers; none by default. */
  readonly tracer?: Tracer;
}

export interface Coordinator {
  /** `http://host:port` (or https), where it listens. */
  readonly url: string;
  /** Ends the API and the upkeep; the stores stay open, and workers go on. */
  stop(): Promise<void>;
}

/** @throws UserError when the address cannot be bound. */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { settings, sql, live, clock, random, log } = options;
  await using opened = new AsyncDisposableStack();
  const changes = await Changes.open(sql, clock);
  opened.defer(() => changes.close());
  const tokens = new ProxyTokens(settings.jwtSecret, clock);
  const ctx = { settings, sql, live, changes, tokens, clock, random, log };
  const service = new CoordinatorService(ctx);
  const checkSecret = secretCheck(settings.apiSecret, clock);
  const api: ApiServer = serveApi({
    routes: [
      ...systemRoutes(service),
      ...proxyRoutes(service, checkSecret),
      ...controlRoutes(service),
    ],
    checkSecret,
    listen: options.listen,
    setting: 'bind_addr in [proxy_coordinator] of app-proxy-coordinator.toml',
    ...{ clock, log, tracer: options.tracer },
  });
  opened.defer(() => api.stop());
  opened.defer(startUpkeep(service, clock));
  log.info('The coordinator of the app proxy is up', { url: api.url });
  const running = opened.move();
  return { url: api.url, stop: () => running.disposeAsync() };
}
