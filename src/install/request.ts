/** What the user asked the installer for, from the command line or the screens. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { checkoutRoot } from '../common/executable.ts';

export const MODES = ['standalone', 'develop', 'package', 'join', 'configure', 'maintain'] as const;
export type Mode = (typeof MODES)[number];

export const MAINTENANCE = ['upgrade', 'repair', 'move', 'uninstall'] as const;
export type Maintenance = (typeof MAINTENANCE)[number];

export const HALFSTACKS = ['auto', 'compose', 'existing'] as const;
export type HalfstackChoice = (typeof HALFSTACKS)[number];

/** Of the agent: real NVIDIA GPUs, or devices that are only made up. */
export const ACCELERATORS = ['cuda', 'cuda_mock', 'cuda_mig_mock', 'rocm_mock'] as const;
export type Accelerator = (typeof ACCELERATORS)[number];

/** What is started beside the three servers: nothing; what takes logs and traces; or all that sees into a cluster. */
export const WATCHES = ['nothing', 'telemetry', 'observability'] as const;
export type Watch = (typeof WATCHES)[number];

/** Servers that exist already: `host:port` each, or several separated by commas where one may be lost. */
export interface ExistingServers {
  readonly postgres: string;
  /** Of one Redis; of the Sentinels that watch it, when `redisService` is said. */
  readonly redis: string;
  /** What the Sentinels watch it as. */
  readonly redisService: string;
  readonly etcd: string;
}

/** What existing servers ask for, besides the database's password; empty: nothing. Secrets. */
export interface ServerPasswords {
  readonly redis: string;
  /** Of the Sentinels themselves. */
  readonly sentinel: string;
  readonly etcdUser: string;
  readonly etcd: string;
}

export const NO_PASSWORDS: ServerPasswords = { redis: '', sentinel: '', etcdUser: '', etcd: '' };

/** For `join`: which cluster, and as what. */
export interface JoinWish {
  /** `HOST` or `HOST:PORT` of the manager's internal API; empty when it was not said yet. */
  readonly manager: string;
  /** What `mgr token create` printed; empty when it was not said yet. A secret. */
  readonly token: string;
  readonly agentId: string;
  /** Address by which this machine is reached; null: that of its connection to the manager. */
  readonly advertise: string | null;
}

/** How an app proxy is reached from outside. */
export interface AppProxyWish {
  /** Each app has a port, or a name below `.<prefix>.app.<base domain>`. */
  readonly frontendMode: 'port' | 'wildcard';
  /** Null: it is reached by the public address. */
  readonly fqdnPrefix: string | null;
  readonly appBaseDomain: string;
  readonly storageBaseDomain: string;
  /** Whether browsers come through something that speaks TLS for it, and at which port. */
  readonly tlsAdvertised: boolean;
  readonly advertisedPort: number;
  /** Addresses or CIDR blocks that may read its figures; null: this machine. */
  readonly metricAccess: string | null;
}

/** A Harbor of this installation's own. */
export interface HarborWish {
  /** By which it is reached, also from elsewhere; no loopback address. */
  readonly hostname: string;
  readonly httpPort: number;
  /** Null: one that is made up, or that of before. A secret. */
  readonly adminPassword: string | null;
  /** The offline installer: a URL, or the path of a file. */
  readonly archive: string;
  /** Of the installer, in hexadecimal; null when nobody knows it. */
  readonly sha256: string | null;
}

/** Ports of the components and, with compose, of the servers below them. */
export interface Ports {
  readonly postgres: number;
  readonly redis: number;
  readonly etcd: number;
  readonly manager: number;
  readonly managerInternal: number;
  readonly web: number;
  readonly agentRpc: number;
  readonly agentService: number;
  readonly sftpAgentRpc: number;
  readonly sftpAgentService: number;
  readonly storageClient: number;
  readonly storageManager: number;
  /** Of the storage proxy's figures. */
  readonly storageInternal: number;
  readonly appProxy: number;
  readonly appProxyHttp: number;
  readonly appProxyTcp: number;
  readonly appProxyH2: number;
  /** Where apps with names listen. */
  readonly appProxyWildcard: number;
  /** Of the web server's figures, where something looks at them. */
  readonly webInternal: number;
  readonly otlpGrpc: number;
  readonly otlpHttp: number;
  readonly loki: number;
  readonly tempo: number;
  readonly prometheus: number;
  readonly scraper: number;
  readonly alertmanager: number;
  readonly grafana: number;
}

export interface InstallRequest {
  readonly mode: Mode;
  /**
   * Folder that everything of a `develop`, `package` or `join` installation lies in; for `standalone`, that
   * whose `bin` gets the executable.
   */
  readonly targetPath: string;
  /** Tells installations on one machine apart. */
  readonly envId: string;
  /** Address that clients use; servers listen on all addresses unless it is a loopback one. */
  readonly publicAddress: string;
  readonly agentBackend: 'process' | 'docker' | 'dummy';
  /** Servers listen on all addresses, whatever the public one is. */
  readonly wildcardBinding: boolean;
  /** Whether a second agent serves the sessions that take folders over SFTP. */
  readonly sftpAgent: boolean;
  /** Null: none is installed. For `develop` only. */
  readonly harbor: HarborWish | null;
  /** Null: none is installed. */
  readonly appProxy: AppProxyWish | null;
  /** Null: real ones that are found when the agent starts. */
  readonly accelerator: Accelerator | null;
  readonly halfstack: HalfstackChoice;
  readonly existing: Partial<ExistingServers>;
  readonly watch: Watch;
  /** Nobody asked for that, so what cannot be started is done without. */
  readonly isWatchOptional: boolean;
  readonly passwords: ServerPasswords;
  /** Collector of traces, as a URL; null: the one that is started here, if any. */
  readonly otelEndpoint: string | null;
  /** By which scheme browsers reach the web server; null: as their requests say. */
  readonly endpointProtocol: 'http' | 'https' | null;
  /** Of etcd, for `move`; null: named after the environment. */
  readonly etcdNamespace: string | null;
  readonly database: { readonly name: string; readonly user: string; readonly password: string };
  readonly ports: Ports;
  readonly join: JoinWish;
  /** Of `configure`: the settings are those of before its last change. */
  readonly undo: boolean;
  /** Whether the components are started, and units installed, at the end. */
  readonly start: boolean;
  readonly maintenance: Maintenance;
  /** `uninstall` also removes data; `move`, the data of before. */
  readonly purge: boolean;
}

/** Upstream's ports of a packaged installation. */
export const PACKAGE_PORTS: Ports = {
  postgres: 8100,
  redis: 8110,
  etcd: 8120,
  manager: 8091,
  managerInternal: 18080,
  web: 8090,
  agentRpc: 6011,
  agentService: 6003,
  sftpAgentRpc: 6013,
  sftpAgentService: 6014,
  storageClient: 6021,
  storageManager: 6022,
  storageInternal: 16_023,
  appProxy: 10_200,
  appProxyHttp: 10_201,
  appProxyTcp: 10_202,
  appProxyH2: 10_203,
  appProxyWildcard: 10_250,
  webInternal: 18_090,
  otlpGrpc: 4317,
  otlpHttp: 4318,
  loki: 3100,
  tempo: 3200,
  prometheus: 9090,
  scraper: 9091,
  alertmanager: 9093,
  grafana: 3000,
};

/** Upstream's ports of a development installation. */
export const DEVELOP_PORTS: Ports = { ...PACKAGE_PORTS, postgres: 8101, redis: 8111, etcd: 8121 };

/** As an app proxy is when nothing more is said of it. */
export const PLAIN_APP_PROXY: AppProxyWish = {
  frontendMode: 'port',
  fqdnPrefix: null,
  appBaseDomain: 'backend.ai',
  storageBaseDomain: 'isla-sorna.backend.ai',
  tlsAdvertised: false,
  advertisedPort: 443,
  metricAccess: null,
};

/** The mode that fits here: `develop` in a checkout, as upstream's installer decides. */
export const defaultMode = (): Mode => (checkoutRoot === null ? 'standalone' : 'develop');

/** Where an installation goes unless somebody says otherwise. */
export function defaultTarget(
  mode: Mode,
  envId: string,
  env: Readonly<Record<string, string | undefined>>,
): string {
  if (mode === 'develop' && checkoutRoot !== null) return join(checkoutRoot, '.dev', envId);
  const home = env.HOME || homedir();
  if (mode !== 'standalone') return resolve(home, 'backendai');
  // The place for users' own programs: on the path of most shells.
  return process.getuid?.() === 0 ? '/usr/local' : resolve(home, '.local');
}

/** Whether PostgreSQL, Redis and etcd are started with compose, or exist. */
export const usesCompose = ({
  halfstack,
  existing,
}: Pick<InstallRequest, 'halfstack' | 'existing'>): boolean =>
  halfstack === 'compose' ||
  (halfstack === 'auto' && Object.values(existing).every((address) => address === undefined));

/** What is started when nobody says anything: as upstream has it. */
export const defaultWatch = (
  request: Pick<InstallRequest, 'mode' | 'halfstack' | 'existing' | 'otelEndpoint'>,
): Watch =>
  request.mode === 'develop' && usesCompose(request) && request.otelEndpoint === null
    ? 'telemetry'
    : 'nothing';

/** Where traces are sent; null: nowhere. */
export function otelEndpointOf({
  otelEndpoint,
  watch,
  ports,
}: Pick<InstallRequest, 'otelEndpoint' | 'watch' | 'ports'>): string | null {
  return otelEndpoint ?? (watch === 'nothing' ? null : `http://127.0.0.1:${ports.otlpHttp}`);
}

const LOOPBACK = /^(localhost|127\.|\[?::1\]?$)/;

/** Whether only this machine itself is reached by it. */
export const isLoopback = (address: string): boolean => LOOPBACK.test(address);

/** The address that servers listen on. */
export const listenAddress = ({
  publicAddress,
  wildcardBinding,
}: Pick<InstallRequest, 'publicAddress' | 'wildcardBinding'>): string =>
  !wildcardBinding && isLoopback(publicAddress) ? '127.0.0.1' : '0.0.0.0';
