/** The record of an installation: what a request leaves on it, and the request that a record tells of. */
import type { Clock } from '../../common/clock.ts';
import { checkoutRoot } from '../../common/executable.ts';
import { VERSION } from '../../common/version.ts';
import { findInfo, type InstallInfo, layoutOf, serverAddresses } from '../layout.ts';
import { type InstallRequest, type Ports, usesCompose } from '../request.ts';

export function infoOf(request: InstallRequest, clock: Clock): InstallInfo {
  const { ports, database } = request;
  return {
    version: VERSION,
    type: checkoutRoot === null ? 'package' : 'source',
    last_updated: clock.now().toISOString(),
    base_path: request.targetPath,
    mode: request.mode === 'develop' ? 'develop' : 'package',
    env_id: request.envId,
    public_address: request.publicAddress,
    agent_backend: request.agentBackend,
    ...(request.accelerator === null ? {} : { accelerator: request.accelerator }),
    halfstack: usesCompose(request) ? 'compose' : 'existing',
    servers: { ...serverAddresses(request), redis_service: request.existing.redisService },
    database: { name: database.name, user: database.user },
    ...(request.watch === 'nothing'
      ? {}
      : { watch: { profile: request.watch, is_optional: request.isWatchOptional } }),
    ...(request.otelEndpoint === null ? {} : { otel_endpoint: request.otelEndpoint }),
    ...(request.endpointProtocol === null ? {} : { endpoint_protocol: request.endpointProtocol }),
    ...(request.wildcardBinding ? { wildcard_binding: true } : {}),
    ...(request.sftpAgent ? { sftp_agent: true } : {}),
    ...harborRecord(request.harbor),
    ...appProxyRecord(request.appProxy),
    ports: { ...ports },
  };
}

function harborRecord(wish: InstallRequest['harbor']): Pick<InstallInfo, 'harbor'> {
  if (wish === null) return {};
  const { hostname, httpPort, archive, sha256 } = wish;
  return { harbor: { hostname, http_port: httpPort, archive, sha256 } };
}

export function appProxyRecord(wish: InstallRequest['appProxy']): Pick<InstallInfo, 'app_proxy'> {
  if (wish === null) return {};
  return {
    app_proxy: {
      frontend_mode: wish.frontendMode,
      fqdn_prefix: wish.fqdnPrefix,
      app_base_domain: wish.appBaseDomain,
      storage_base_domain: wish.storageBaseDomain,
      tls_advertised: wish.tlsAdvertised,
      advertised_port: wish.advertisedPort,
      metric_access: wish.metricAccess,
    },
  };
}

function existingOf({ halfstack, servers }: InstallInfo): InstallRequest['existing'] {
  if (halfstack !== 'existing' || servers === undefined) return {};
  const { redis_service: redisService, ...addresses } = servers;
  return { ...addresses, redisService };
}

function appProxyOf({ app_proxy: kept }: InstallInfo): InstallRequest['appProxy'] {
  if (kept === undefined) return null;
  return {
    frontendMode: kept.frontend_mode,
    fqdnPrefix: kept.fqdn_prefix,
    appBaseDomain: kept.app_base_domain,
    storageBaseDomain: kept.storage_base_domain,
    tlsAdvertised: kept.tls_advertised,
    advertisedPort: kept.advertised_port,
    metricAccess: kept.metric_access,
  };
}

function harborOf({ harbor: kept }: InstallInfo): InstallRequest['harbor'] {
  if (kept === undefined) return null;
  const { hostname, http_port: httpPort, archive, sha256 } = kept;
  return { hostname, httpPort, archive, sha256, adminPassword: null };
}

/** The request that led to an installation, as far as its record tells. */
export function requestOf(info: InstallInfo, request: InstallRequest): InstallRequest {
  const ports: Ports = { ...request.ports, ...info.ports };
  return {
    ...request,
    mode: info.mode,
    envId: info.env_id,
    publicAddress: info.public_address,
    agentBackend: info.agent_backend,
    accelerator: info.accelerator ?? null,
    wildcardBinding: info.wildcard_binding ?? false,
    sftpAgent: info.sftp_agent ?? false,
    harbor: harborOf(info),
    appProxy: appProxyOf(info),
    watch: info.watch?.profile ?? 'nothing',
    isWatchOptional: info.watch?.is_optional ?? false,
    otelEndpoint: request.otelEndpoint ?? info.otel_endpoint ?? null,
    endpointProtocol: request.endpointProtocol ?? info.endpoint_protocol ?? null,
    halfstack: info.halfstack === 'none' ? 'auto' : info.halfstack,
    existing: existingOf(info),
    database: { ...request.database, ...info.database },
    join: {
      ...request.join,
      ...(info.join && {
        manager: info.join.manager,
        agentId: info.join.agent_id,
        advertise: info.join.advertise,
      }),
    },
    ports,
  };
}

/** What an installation may have beside its servers, and where it listens. */
type Parts = Pick<
  InstallRequest,
  'appProxy' | 'sftpAgent' | 'harbor' | 'watch' | 'isWatchOptional' | 'ports'
>;

const PROXY_PORTS = [
  'appProxy',
  'appProxyHttp',
  'appProxyTcp',
  'appProxyH2',
  'appProxyWildcard',
] as const;
const SFTP_PORTS = ['sftpAgentRpc', 'sftpAgentService'] as const;
const WATCH_PORTS = [
  'webInternal',
  'otlpGrpc',
  'otlpHttp',
  'loki',
  'tempo',
  'prometheus',
  'scraper',
  'alertmanager',
  'grafana',
] as const;

/** The record of what has parts; null where there is none, or a damaged one: that is replaced. */
function recordOf({
  mode,
  targetPath,
}: Pick<InstallRequest, 'mode' | 'targetPath'>): InstallInfo | null {
  if (mode !== 'develop' && mode !== 'package') return null;
  const info = findInfo(layoutOf(targetPath));
  return info?.mode === 'join' ? null : info;
}

/**
 * Installed again over what is there, the parts of which nothing is said stay, with their options and ports:
 * otherwise they would go on running, and nothing would look after them.
 */
export function withInstalledParts<
  T extends Parts &
    Pick<InstallRequest, 'mode' | 'targetPath' | 'halfstack' | 'existing' | 'otelEndpoint'>,
>(request: T): T {
  const info = recordOf(request);
  if (info === null) return request;
  const keepsProxy = request.appProxy === null && info.app_proxy !== undefined;
  const keepsSftp = !request.sftpAgent && info.sftp_agent === true;
  const watch = keptWatch(info, request);
  const kept: readonly string[] = [
    ...(keepsProxy ? PROXY_PORTS : []),
    ...(keepsSftp ? SFTP_PORTS : []),
    ...(watch === null ? [] : WATCH_PORTS),
  ];
  const ports = Object.fromEntries(
    Object.entries(info.ports).filter(([name]) => kept.includes(name)),
  );
  return {
    ...request,
    appProxy: request.appProxy ?? appProxyOf(info),
    sftpAgent: request.sftpAgent || keepsSftp,
    harbor: request.harbor ?? harborOf(info),
    ...(watch && { watch: watch.profile, isWatchOptional: watch.is_optional }),
    ports: { ...request.ports, ...ports },
  };
}

/** Null where something was said of it, or nothing sees into it. */
function keptWatch(
  { watch }: InstallInfo,
  request: Pick<InstallRequest, 'isWatchOptional' | 'otelEndpoint' | 'halfstack' | 'existing'>,
): NonNullable<InstallInfo['watch']> | null {
  if (watch === undefined || !request.isWatchOptional || !usesCompose(request)) return null;
  // A collector that is named takes the place of the one that nobody asked for.
  return watch.is_optional && request.otelEndpoint !== null ? null : watch;
}

/** That parts which are there stay, and what removes them; nothing where there are none. */
export function keptPartsSummary(request: InstallRequest): string[] {
  const info = recordOf(request);
  if (info === null) return [];
  const stays: [boolean, string, string][] = [
    [info.app_proxy !== undefined, 'the app proxy', '--mode configure --without-app-proxy'],
    [
      info.watch !== undefined && info.watch.profile === request.watch,
      `what sees into it (${request.watch})`,
      '--disable-telemetry',
    ],
    [info.sftp_agent === true, 'the SFTP agent', ''],
    [info.harbor !== undefined, 'Harbor', ''],
  ];
  const there = stays.filter(([is]) => is);
  if (there.length === 0) return [];
  const names = there.map(([, name]) => name).join(', ');
  const how = there
    .filter(([, , option]) => option !== '')
    .map(([, name, option]) => `${name}: ${option}`);
  const remove = how.length === 0 ? '' : ` To remove ${how.join('; ')}.`;
  return [`Already there, and kept: ${names}.${remove}`];
}
