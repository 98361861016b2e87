/** The app proxy of an installation: its configuration files, its database, and what points at it. */
import { join } from 'node:path';
import * as v from 'valibot';
import type { Random } from '../../common/random.ts';
import {
  type Layout,
  loadOrCreateSecrets,
  redisPlace,
  type Secrets,
  serverAddresses,
} from '../layout.ts';
import { type AppProxyWish, type InstallRequest, listenAddress } from '../request.ts';
import type { Step, StepContext } from '../step.ts';
import { runInstalled } from './data.ts';
import { SFTP_GROUP } from './sftp-agent.ts';

type Table = Record<string, unknown>;

/** Ports of applications, of the workers of each protocol. Both ends included. */
const APP_PORTS = { http: [10_205, 10_300], tcp: [10_501, 10_600], h2: [10_301, 10_400] } as const;
export const WORKER_PROTOCOLS = ['http', 'tcp', 'h2'] as const;
type Protocol = (typeof WORKER_PROTOCOLS)[number];

const portOf = ({ ports }: InstallRequest, protocol: Protocol): number =>
  ({ http: ports.appProxyHttp, tcp: ports.appProxyTcp, h2: ports.appProxyH2 })[protocol];

/** By which names it is reached from outside, when they are not the public address. */
function namesOf({ publicAddress }: InstallRequest, { fqdnPrefix, appBaseDomain }: AppProxyWish) {
  if (fqdnPrefix === null) return { coordinator: publicAddress, apps: publicAddress, domain: null };
  return {
    coordinator: `${fqdnPrefix}.apphub.${appBaseDomain}`,
    apps: `${fqdnPrefix}.app.${appBaseDomain}`,
    domain: `.${fqdnPrefix}.app.${appBaseDomain}`,
  };
}

/** This machine, unless others are said; with a Prometheus that looks at it, this machine as well. */
function metricAccess({ watch }: InstallRequest, { metricAccess: blocks }: AppProxyWish): Table {
  if (blocks === null) return {};
  const all = watch === 'observability' ? `${blocks},127.0.0.1/32` : blocks;
  return { 'metric-access-allowed-hosts': all };
}

function secretsSection({ appProxyApi, appProxyJwt }: Secrets): Table {
  return { 'api-secret': appProxyApi, 'jwt-secret': appProxyJwt };
}

/** The name of the coordinator's own database. */
export const appProxyDatabase = ({ database }: InstallRequest): string =>
  `${database.name}_appproxy`;

function coordinatorTable(
  request: InstallRequest,
  wish: AppProxyWish,
  secrets: Secrets,
  etcdNamespace: string,
): Table {
  const { ports, database } = request;
  return {
    db: { addr: serverAddresses(request).postgres, ...database, name: appProxyDatabase(request) },
    redis: { ...redisPlace(request), namespace: etcdNamespace },
    'proxy-coordinator': {
      'bind-addr': `${listenAddress(request)}:${ports.appProxy}`,
      'advertised-addr': {
        host: namesOf(request, wish).coordinator,
        port: wish.tlsAdvertised ? wish.advertisedPort : ports.appProxy,
      },
      'tls-advertised': wish.tlsAdvertised,
      ...metricAccess(request, wish),
    },
    secrets: secretsSection(secrets),
  };
}

/** Of TLS, by default of those who advertise a port. */
const HTTPS_PORT = 443;

/** Where apps that have names are reached. Without TLS nothing has to stand before the worker. */
const namedPort = ({ ports }: InstallRequest, { tlsAdvertised, advertisedPort }: AppProxyWish) =>
  !tlsAdvertised && advertisedPort === HTTPS_PORT ? ports.appProxyWildcard : advertisedPort;

/** HTTP has names; other protocols, and HTTP without a domain, have ports. */
function frontendOf(request: InstallRequest, wish: AppProxyWish, protocol: Protocol): Table {
  const names = namesOf(request, wish);
  const host = listenAddress(request);
  const api = portOf(request, protocol);
  if (protocol !== 'http' || wish.frontendMode === 'port' || names.domain === null) {
    return {
      'frontend-mode': 'port',
      'api-advertised-addr': { host: request.publicAddress, port: api },
      'port-proxy': {
        'bind-host': host,
        'advertised-host': request.publicAddress,
        'bind-port-range': [...APP_PORTS[protocol]],
      },
    };
  }
  return {
    'frontend-mode': 'wildcard',
    'api-advertised-addr': {
      host: names.apps,
      port: wish.tlsAdvertised ? wish.advertisedPort : api,
    },
    'wildcard-domain': {
      'bind-addr': `${host}:${request.ports.appProxyWildcard}`,
      domain: names.domain,
      'advertised-port': namedPort(request, wish),
    },
  };
}

function workerTable(
  request: InstallRequest,
  wish: AppProxyWish,
  secrets: Secrets,
  protocol: Protocol,
): Table {
  return {
    'proxy-worker': {
      'coordinator-endpoint': `http://127.0.0.1:${request.ports.appProxy}`,
      authority: `worker-${protocol}-${request.envId}`,
      protocol,
      'accepted-traffics': ['interactive', 'inference'],
      'api-bind-addr': `${listenAddress(request)}:${portOf(request, protocol)}`,
      ...frontendOf(request, wish, protocol),
      // Nobody speaks TLS before an application of which nothing is known.
      'tls-advertised': wish.tlsAdvertised && protocol !== 'tcp',
      ...metricAccess(request, wish),
    },
    secrets: secretsSection(secrets),
    'permit-hash': { secret: secrets.appProxyPermit },
  };
}

export const workerFile = (protocol: Protocol): string => `app-proxy-worker-${protocol}.toml`;
const COORDINATOR_FILE = 'app-proxy-coordinator.toml';

/** Name and content of each file, without logging; none without an app proxy. */
export function appProxyFiles(
  request: InstallRequest,
  secrets: Secrets,
  etcdNamespace: string,
): [string, Table][] {
  const { appProxy } = request;
  if (appProxy === null) return [];
  return [
    [COORDINATOR_FILE, coordinatorTable(request, appProxy, secrets, etcdNamespace)],
    ...WORKER_PROTOCOLS.map((protocol): [string, Table] => [
      workerFile(protocol),
      workerTable(request, appProxy, secrets, protocol),
    ]),
  ];
}

/** Names the coordinator's configuration file to its commands. */
export const coordinatorConfig = (layout: Layout): string[] => [
  '-f',
  join(layout.config, COORDINATOR_FILE),
];

/** Also in an upgrade. */
export const appProxySchemaArgs = (layout: Layout): string[] => [
  ...['app-proxy-coordinator', 'schema', 'oneshot', '--create-database'],
  ...coordinatorConfig(layout),
];

export function appProxySchemaStep(layout: Layout): Step {
  return {
    id: 'app-proxy-schema',
    title: "Create the app proxy's database and its tables",
    run: async (context) => {
      await runInstalled(layout, appProxySchemaArgs(layout), context);
    },
  };
}

/** Where sessions of a resource group have their apps opened. */
export interface GroupProxy {
  /** Null: by the manager itself. */
  readonly address: string | null;
  /** What managers prove themselves with; null: it stays. A secret. */
  readonly token: string | null;
}

export const NO_GROUP_PROXY: GroupProxy = { address: null, token: null };

export const groupProxyOf = ({ ports }: InstallRequest, { appProxyApi }: Secrets): GroupProxy => ({
  address: `http://127.0.0.1:${ports.appProxy}`,
  token: appProxyApi,
});

const groupAnswer = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    items: v.tuple([
      v.object({ wsproxy_addr: v.nullable(v.string()), wsproxy_api_token: v.nullable(v.string()) }),
    ]),
  }),
);

/** The resource groups that are installed. */
const groupsOf = ({ sftpAgent }: InstallRequest): readonly string[] => [
  'default',
  ...(sftpAgent ? [SFTP_GROUP] : []),
];

/**
 * Of each resource group that is installed.
 * @param env what makes a client that of an administrator.
 */
export async function readGroupProxies(
  request: InstallRequest,
  layout: Layout,
  env: Record<string, string>,
  context: StepContext,
): Promise<ReadonlyMap<string, GroupProxy>> {
  const proxies = new Map<string, GroupProxy>();
  for (const group of groupsOf(request)) {
    const args = ['--output', 'json', 'admin', 'scaling-group', 'info', group];
    const answer = await runInstalled(layout, args, context, { env, quiet: true });
    const [found] = v.parse(groupAnswer, answer).items;
    proxies.set(group, {
      address: found.wsproxy_addr || null,
      token: found.wsproxy_api_token || null,
    });
  }
  return proxies;
}

/** @param env as above. */
export async function writeGroupProxies(
  proxies: ReadonlyMap<string, GroupProxy>,
  layout: Layout,
  env: Record<string, string>,
  context: StepContext,
): Promise<void> {
  for (const [group, { address, token }] of proxies) {
    const args = ['admin', 'scaling-group', 'update', group, '--wsproxy-addr', address ?? ''];
    await runInstalled(layout, args, context, {
      // Not an argument: other users would see it in the list of processes.
      env: { ...env, ...(token === null ? {} : { BACKEND_WSPROXY_API_TOKEN: token }) },
    });
  }
}

/** All of them point at the app proxy of this installation. */
export function ownGroupProxies(
  request: InstallRequest,
  secrets: Secrets,
): ReadonlyMap<string, GroupProxy> {
  return new Map(groupsOf(request).map((group) => [group, groupProxyOf(request, secrets)]));
}

/**
 * Sessions of the resource groups that are installed have their apps opened there.
 * @param environment what makes a client that of an administrator.
 */
export function appProxyGroupStep(
  request: InstallRequest,
  layout: Layout,
  random: Random,
  environment: () => Record<string, string>,
): Step {
  return {
    id: 'app-proxy-group',
    title: 'Have sessions open their apps at the app proxy',
    async run(context) {
      const proxies = ownGroupProxies(request, loadOrCreateSecrets(layout, random));
      await writeGroupProxies(proxies, layout, environment(), context);
    },
  };
}

/** Where folders are up- and downloaded from outside. */
export function storageUrl({ appProxy, publicAddress, ports }: InstallRequest): string {
  const prefix = appProxy?.fqdnPrefix ?? null;
  if (appProxy === null || prefix === null) return `http://${publicAddress}:${ports.storageClient}`;
  const name = `${prefix}.public.${appProxy.storageBaseDomain}`;
  return appProxy.tlsAdvertised
    ? new URL(`https://${name}:${appProxy.advertisedPort}`).origin
    : `http://${name}:${ports.storageClient}`;
}

/** Where apps are opened, for people. */
export function appProxyTitle(request: InstallRequest, wish: AppProxyWish): string {
  const { apps, domain } = namesOf(request, wish);
  const scheme = wish.tlsAdvertised ? 'https' : 'http';
  return wish.frontendMode === 'wildcard' && domain !== null
    ? `at names below ${domain}, ${scheme}, port ${namedPort(request, wish)}`
    : `at ports of ${apps}, ${scheme}`;
}
