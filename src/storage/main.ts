/** Starts a storage proxy: its volumes, the API for managers and the one for clients. */
import type { Clock } from '../common/clock.ts';
import type { HostPort } from '../common/config/values.ts';
import type { Logger } from '../common/logger.ts';
import type { Random } from '../common/random.ts';
import { noTracer, type Tracer } from '../common/tracing.ts';
import { createRegistry, type MetricsRegistry } from '../metrics/registry.ts';
import { requestMetrics } from '../metrics/requests.ts';
import { serveServiceHttp } from '../metrics/service-http.ts';
import { ArchiveWorkers } from './archives/workers.ts';
import { serveClientApi } from './client-api/server.ts';
import type { StorageContext } from './context.ts';
import { fileRoutes } from './manager-api/files.ts';
import { folderRoutes } from './manager-api/folders.ts';
import { objectRoutes } from './manager-api/objects.ts';
import { serveManagerApi } from './manager-api/server.ts';
import { volumeRoutes } from './manager-api/volumes.ts';
import { volumeGauges } from './metrics.ts';
import { ObjectStorages } from './objects/storages.ts';
import type { ListenSettings, StorageSettings } from './settings.ts';
import { TaskBoard } from './tasks/board.ts';
import { Tokens } from './tokens.ts';
import { type Backends, Volumes } from './volumes/open.ts';

export interface StorageProxyOptions {
  readonly settings: StorageSettings;
  /** Where managers reach it, with the secret of the settings. */
  readonly managerListen: ListenSettings;
  /** Where clients upload and download. */
  readonly clientListen: ListenSettings;
  /** Where health and metrics are served; absent: nowhere. */
  readonly serviceListen?: HostPort;
  /** Of the requests of managers; none by default. */
  readonly tracer?: Tracer;
  /** Kinds of storage of your own, in place of those of the same name. */
  readonly backends?: Partial<Backends>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface StorageProxy {
  /** `http://host:port` (or https) without a trailing slash. */
  readonly managerUrl: string;
  readonly clientUrl: string;
  /** What is told of it to Prometheus. */
  readonly metrics: MetricsRegistry;
  /** Ends both APIs. Tasks stop where they are, and go on with the next start. */
  stop(): Promise<void>;
}

/** @throws UserError when a volume is missing or an address is taken; nothing stays behind. */
export async function startStorageProxy(options: StorageProxyOptions): Promise<StorageProxy> {
  const { settings, clock, random, log } = options;
  await using opened = new AsyncDisposableStack();
  const volumes = opened.use(await Volumes.open(settings, log, options.backends));
  const { nodeId } = settings;
  const tasks = new TaskBoard({ nodeId, volumes, clock, random, log });
  opened.defer(() => tasks.stop());
  const tokens = new Tokens(settings.tokenSecret, settings.tokenLifetimeMs, clock);
  const objects = new ObjectStorages(settings.objectStorages, clock);
  const archives = new ArchiveWorkers(clock);
  opened.defer(() => archives.stop());
  const metrics = createRegistry();
  const onAnswered = requestMetrics(metrics);
  volumeGauges(metrics, volumes, log);
  const context: StorageContext = {
    ...{ settings, volumes, objects, archives, tasks, tokens, clock, random, log, onAnswered },
  };
  await tasks.resume();
  const managerApi = await serveManagerApi({
    routes: [volumeRoutes, folderRoutes, fileRoutes, objectRoutes].flatMap((of) => of(context)),
    secret: settings.managerSecret,
    listen: options.managerListen,
    log,
    tracer: options.tracer ?? noTracer,
    onAnswered,
  });
  opened.defer(() => managerApi.stop());
  const clientApi = await serveClientApi(context, options.clientListen);
  opened.defer(() => clientApi.stop());
  if (options.serviceListen) {
    const service = serveServiceHttp(options.serviceListen, {
      component: 'storage-proxy',
      metrics: { '/metrics': metrics },
      setting: 'internal-addr in [api.manager] of storage-proxy.toml',
      log,
    });
    opened.defer(() => service.stop());
  }
  log.info('The storage proxy is up', {
    ...{ managerUrl: managerApi.url, clientUrl: clientApi.url },
    volumes: volumes.all().map(({ name }) => name),
  });
  const running = opened.move();
  return {
    managerUrl: managerApi.url,
    clientUrl: clientApi.url,
    metrics,
    stop: () => running.disposeAsync(),
  };
}
