/** `install`: asks what is wanted, on a screen or by options, and does it. */
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { type CommandIo, defineCommand, UsageError } from '../../common/command.ts';
import { systemRandom } from '../../common/random.ts';
import { endRequested } from '../../common/server-process.ts';
import { configurable } from '../modes/configure.ts';
import { guideOf } from '../modes/maintain.ts';
import { withInstalledParts } from '../modes/record.ts';
import type { Environment } from '../modes/servers.ts';
import { previousRequest } from '../modes/settings-records.ts';
import { printPlan, printReport, printSummary, runPlainly } from '../plain.ts';
import { planFor } from '../plan.ts';
import {
  type AppProxyWish,
  DEVELOP_PORTS,
  defaultMode,
  defaultTarget,
  defaultWatch,
  type InstallRequest,
  type Mode,
  PACKAGE_PORTS,
  PLAIN_APP_PROXY,
  type Ports,
  usesCompose,
} from '../request.ts';
import { givenHarborOptions, harborWish } from './harbor-options.ts';
import { options } from './install-options.ts';
import { acceleratorOf, refuseForeign } from './upstream-options.ts';

type Given = Parameters<Parameters<typeof defineCommand<typeof options>>[0]['run']>[0]['options'];

function portsOf(base: Ports, given: Given): Ports {
  return {
    postgres: given.postgresPort ?? base.postgres,
    redis: given.redisPort ?? base.redis,
    etcd: given.etcdPort ?? base.etcd,
    manager: given.managerPort ?? base.manager,
    managerInternal: given.managerInternalPort ?? base.managerInternal,
    web: given.webPort ?? base.web,
    agentRpc: given.agentPort ?? base.agentRpc,
    agentService: given.agentServicePort ?? base.agentService,
    sftpAgentRpc: given.sftpAgentPort ?? base.sftpAgentRpc,
    sftpAgentService: given.sftpAgentServicePort ?? base.sftpAgentService,
    storageClient: given.storageClientPort ?? base.storageClient,
    storageManager: given.storageManagerPort ?? base.storageManager,
    storageInternal: given.storageInternalPort ?? base.storageInternal,
    appProxy: given.appProxyPort ?? base.appProxy,
    appProxyHttp: given.appProxyHttpPort ?? base.appProxyHttp,
    appProxyTcp: given.appProxyTcpPort ?? base.appProxyTcp,
    appProxyH2: given.appProxyH2Port ?? base.appProxyH2,
    appProxyWildcard: given.appProxyWildcardPort ?? base.appProxyWildcard,
    webInternal: given.webInternalPort ?? base.webInternal,
    otlpGrpc: given.otlpGrpcPort ?? base.otlpGrpc,
    otlpHttp: given.otlpHttpPort ?? base.otlpHttp,
    loki: given.lokiPort ?? base.loki,
    tempo: given.tempoPort ?? base.tempo,
    prometheus: given.prometheusPort ?? base.prometheus,
    scraper: given.scraperPort ?? base.scraper,
    alertmanager: given.alertmanagerPort ?? base.alertmanager,
    grafana: given.grafanaPort ?? base.grafana,
  };
}

/** Options of the components that `develop` and `package` install, as they are written. */
function componentOptions(given: Given): string[] {
  const isGiven = {
    '--accelerator': acceleratorOf(given) !== undefined,
    '--use-wildcard-binding': given.wildcardBinding,
    '--with-sftp-agent': given.withSftpAgent,
    ...appProxyOptions(given),
  };
  return namesGiven(isGiven);
}

const namesGiven = (isGiven: Readonly<Record<string, boolean>>): string[] =>
  Object.entries(isGiven).flatMap(([name, is]) => (is ? [name] : []));

const appProxyOptions = (given: Given): Record<string, boolean> => ({
  '--with-app-proxy': given.withAppProxy,
  '--frontend-mode': given.frontendMode !== undefined,
  '--fqdn-prefix': given.fqdnPrefix !== undefined,
  '--app-base-domain': given.appBaseDomain !== undefined,
  '--storage-base-domain': given.storageBaseDomain !== undefined,
  '--tls-advertised': given.tlsAdvertised,
  '--advertised-port': given.advertisedPort !== undefined,
  '--metric-access-cidr': given.metricAccess !== undefined,
});

/** @throws UsageError when something is said that the mode does nothing with. */
function refuseMisplaced(mode: Mode, given: Given): void {
  const ofConfigure = [
    ...(given.undo ? ['--undo'] : []),
    ...(given.withoutAppProxy ? ['--without-app-proxy'] : []),
  ];
  if (mode !== 'configure' && ofConfigure.length > 0) {
    throw new UsageError(`Only --mode configure takes ${ofConfigure.join(' and ')}.`);
  }
  refuseForeign(given);
  const ofHarbor = namesGiven(givenHarborOptions(given));
  if (ofHarbor.length > 0 && mode !== 'develop') {
    throw new UsageError(`Only --mode develop takes ${ofHarbor.join(', ')}.`);
  }
  const names = componentOptions(given);
  if (names.length === 0 || ['develop', 'package', 'configure'].includes(mode)) return;
  const isMock = mode === 'standalone' && names.includes('--accelerator');
  throw new UsageError(
    `Only --mode develop, package and configure take ${names.join(', ')}.${
      isMock
        ? ' A cluster of this machine offers the GPUs that it finds; "backend.ai up --mock-accelerator FILE" starts it with simulated ones.'
        : ''
    }`,
  );
}

/**
 * What is started to see into the cluster.
 * @throws UsageError when it is asked for where it cannot be had.
 */
function watchWish(
  request: Parameters<typeof defaultWatch>[0],
  given: Given,
): Pick<InstallRequest, 'watch' | 'isWatchOptional'> {
  const { mode } = request;
  const { enableTelemetry, disableTelemetry, enableObservability } = given;
  if (enableTelemetry && disableTelemetry) {
    throw new UsageError('Give --enable-telemetry or --disable-telemetry, not both.');
  }
  const isAsked = enableTelemetry || enableObservability;
  const isInstalled = mode === 'develop' || mode === 'package';
  if (isAsked && !isInstalled) {
    throw new UsageError(
      `Only --mode develop and package take --enable-${enableObservability ? 'observability' : 'telemetry'}; to add it to an installation, install again over it with the options of before.`,
    );
  }
  if (isAsked && !usesCompose(request)) {
    throw new UsageError(
      'With existing servers nothing is started with compose: name a collector of yours with --otel-endpoint, and let a Prometheus of yours read etc/prometheus-targets of the installation.',
    );
  }
  // The larger one has all of the other, as upstream's.
  if (enableObservability) return { watch: 'observability', isWatchOptional: false };
  if (enableTelemetry) return { watch: 'telemetry', isWatchOptional: false };
  if (disableTelemetry) return { watch: 'nothing', isWatchOptional: false };
  return { watch: defaultWatch(request), isWatchOptional: true };
}

/**
 * @param kept that of before; null where there was none.
 * @throws UsageError when names are wanted and not said.
 */
function appProxyWish(given: Given, kept: AppProxyWish | null): AppProxyWish | null {
  if (!Object.values(appProxyOptions(given)).includes(true)) return kept;
  const base = kept ?? PLAIN_APP_PROXY;
  const wish: AppProxyWish = {
    frontendMode: given.frontendMode ?? base.frontendMode,
    fqdnPrefix: given.fqdnPrefix ?? base.fqdnPrefix,
    appBaseDomain: given.appBaseDomain ?? base.appBaseDomain,
    storageBaseDomain: given.storageBaseDomain ?? base.storageBaseDomain,
    tlsAdvertised: given.tlsAdvertised || base.tlsAdvertised,
    advertisedPort: given.advertisedPort ?? base.advertisedPort,
    metricAccess: given.metricAccess ?? base.metricAccess,
  };
  if (wish.frontendMode === 'wildcard' && wish.fqdnPrefix === null) {
    throw new UsageError('--frontend-mode wildcard needs names for apps: add --fqdn-prefix.');
  }
  if (given.advertisedPort !== undefined && wish.frontendMode === 'port' && !wish.tlsAdvertised) {
    throw new UsageError(
      '--advertised-port is where TLS or names are spoken: add --tls-advertised or --frontend-mode wildcard.',
    );
  }
  return wish;
}

/**
 * What is there, with what was said otherwise.
 * @throws UsageError when other servers are named: data would have to go there, too.
 */
function configured(request: InstallRequest, given: Given): InstallRequest {
  const servers = {
    '--postgres-addr': given.postgresAddr,
    '--redis-addr': given.redisAddr,
    '--redis-sentinel': given.redisSentinel,
    '--etcd-addr': given.etcdAddr,
    '--postgres-port': given.postgresPort,
    '--redis-port': given.redisPort,
    '--etcd-port': given.etcdPort,
    '--otlp-grpc-port': given.otlpGrpcPort,
    '--otlp-http-port': given.otlpHttpPort,
    '--loki-port': given.lokiPort,
    '--tempo-port': given.tempoPort,
    '--prometheus-port': given.prometheusPort,
    '--scraper-port': given.scraperPort,
    '--alertmanager-port': given.alertmanagerPort,
    '--grafana-port': given.grafanaPort,
  };
  const [named] = Object.entries(servers).find(([, value]) => value !== undefined) ?? [];
  if (named !== undefined) {
    throw new UsageError(
      `--mode configure leaves what compose starts, or PostgreSQL, Redis and etcd, where they are, so it does not take ${named}.`,
    );
  }
  if (given.withoutAppProxy && Object.values(appProxyOptions(given)).includes(true)) {
    throw new UsageError('An app proxy is configured or removed, not both at once.');
  }
  const kept = given.undo ? previousRequest(request) : configurable(request);
  return {
    ...kept,
    publicAddress: given.publicAddress ?? kept.publicAddress,
    agentBackend: given.agentBackend ?? kept.agentBackend,
    accelerator: acceleratorOf(given) ?? kept.accelerator,
    wildcardBinding: given.wildcardBinding || kept.wildcardBinding,
    sftpAgent: given.withSftpAgent || kept.sftpAgent,
    appProxy: given.withoutAppProxy ? null : appProxyWish(given, kept.appProxy),
    ports: portsOf(kept.ports, given),
  };
}

function requestFrom(given: Given, io: CommandIo): InstallRequest {
  const mode = given.mode ?? defaultMode();
  refuseMisplaced(mode, given);
  if (given.redisAddr !== undefined && given.redisSentinel !== undefined) {
    throw new UsageError('Redis is named by --redis-addr or by --redis-sentinel, not by both.');
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
  const existing = { postgres, redis, redisService, etcd };
  const otelEndpoint = given.otelEndpoint ?? null;
  const targetPath = given.targetPath
    ? resolve(io.cwd, given.targetPath)
    : defaultTarget(mode, given.envId, io.env);
  const place = { mode, targetPath, halfstack: given.halfstack, existing, otelEndpoint };
  // What is there, so that what is said changes only what it names.
  const there = withInstalledParts({
    ...place,
    ...watchWish(place, given),
    ...{ appProxy: null, sftpAgent: false, harbor: null },
    ports: mode === 'develop' ? DEVELOP_PORTS : PACKAGE_PORTS,
  });
  return {
    ...there,
    envId: given.envId,
    publicAddress: given.publicAddress ?? '127.0.0.1',
    agentBackend: given.agentBackend ?? 'process',
    accelerator: acceleratorOf(given) ?? null,
    wildcardBinding: given.wildcardBinding,
    sftpAgent: given.withSftpAgent || there.sftpAgent,
    harbor: harborWish(given, io, given.publicAddress ?? '127.0.0.1', there.harbor),
    appProxy: appProxyWish(given, there.appProxy),
    endpointProtocol: given.endpointProtocol ?? null,
    etcdNamespace: given.etcdNamespace ?? null,
    database: {
      name: given.dbName,
      user: given.dbUser,
      // Not an option: other users would see it in the list of processes.
      password: io.env.BACKEND_DB_PASSWORD ?? '',
    },
    passwords: {
      redis: io.env.BACKEND_REDIS_PASSWORD ?? '',
      sentinel: io.env.BACKEND_REDIS_SENTINEL_PASSWORD ?? '',
      etcdUser: io.env.BACKEND_ETCD_USER ?? '',
      etcd: io.env.BACKEND_ETCD_PASSWORD ?? '',
    },
    undo: given.undo,
    ports: portsOf(there.ports, given),
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
  help: 'Install Backend.AI on this machine, or look after an installation. Whatever is interrupted is finished by running the same command again. Passwords of existing servers are read from BACKEND_DB_PASSWORD, BACKEND_REDIS_PASSWORD, BACKEND_REDIS_SENTINEL_PASSWORD, BACKEND_ETCD_USER and BACKEND_ETCD_PASSWORD.',
  options,
  async run({ options: given, io, globals }) {
    const asked = requestFrom(given, io);
    const request = asked.mode === 'configure' ? configured(asked, given) : asked;
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
