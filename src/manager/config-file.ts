/** manager.toml: upstream's sections and keys, read into what the manager is started with. */
import { cpus, hostname } from 'node:os';
import * as v from 'valibot';
import { isAddressBlock } from '../common/address-blocks.ts';
import type { SearchPlaces } from '../common/config/find.ts';
import { loadConfigFile } from '../common/config/load.ts';
import {
  EFFECTIVE_OTEL,
  etcdEnvironment,
  etcdSection,
  keysWithoutEffect,
  loggingSection,
  type OtelSettings,
  otelSection,
} from '../common/config/sections.ts';
import {
  anyTable,
  boolean,
  durationMs,
  firstAndOthers,
  type HostPort,
  hostPort,
  hostPorts,
  integer,
  number,
  textOrNothing,
} from '../common/config/values.ts';
import { type ManagerSettings, managerSettings } from './settings.ts';

const address = (fallback: HostPort) => v.optional(hostPort(fallback), fallback);

const dbSection = v.strictObject({
  type: v.optional(v.literal('postgresql'), 'postgresql'),
  // Ours: with several, the one that takes writes is used.
  addr: v.optional(hostPorts, '127.0.0.1:5432'),
  name: v.string(),
  user: v.string(),
  password: v.optional(textOrNothing),
  'pool-size': v.optional(v.pipe(integer, v.minValue(1, 'expected at least 1')), 8),
  'pool-recycle': v.optional(number, -1),
  'pool-pre-ping': v.optional(boolean, false),
  'max-overflow': v.optional(integer, 64),
  'lock-conn-timeout': v.optional(number, 0),
});

const identity = v.union([v.string(), v.number()], 'expected a name or a number');

const managerKeys = v.strictObject({
  'ipc-base-path': v.optional(v.string()),
  'num-proc': v.optional(integer, Math.max(1, cpus().length)),
  id: v.optional(textOrNothing),
  user: v.optional(identity),
  group: v.optional(identity),
  'service-addr': address({ host: '0.0.0.0', port: 8080 }),
  'announce-addr': v.optional(hostPort()),
  'announce-internal-addr': v.optional(hostPort()),
  'internal-addr': address({ host: '0.0.0.0', port: 18080 }),
  'rpc-auth-manager-keypair': v.optional(v.string()),
  'heartbeat-timeout': v.optional(v.pipe(number, v.minValue(1, 'expected at least 1')), 40),
  secret: v.optional(textOrNothing),
  'ssl-enabled': v.optional(boolean, false),
  'ssl-cert': v.optional(textOrNothing),
  'ssl-privkey': v.optional(textOrNothing),
  'trusted-proxies': v.optional(
    v.array(v.pipe(v.string(), v.check(isAddressBlock, 'expected an address or a CIDR block'))),
    [],
  ),
  'event-loop': v.optional(v.string()),
  'distributed-lock': v.optional(v.string()),
  'pg-advisory-config': v.optional(anyTable),
  'filelock-config': v.optional(anyTable),
  'redlock-config': v.optional(anyTable),
  'etcdlock-config': v.optional(anyTable),
  'session-schedule-lock-lifetime': v.optional(number),
  'session-check-precondition-lock-lifetime': v.optional(number),
  'session-start-lock-lifetime': v.optional(number),
  'pid-file': v.optional(textOrNothing),
  'allowed-plugins': v.optional(v.array(v.string())),
  'disabled-plugins': v.optional(v.array(v.string())),
  'hide-agents': v.optional(boolean, false),
  'agent-selection-resource-priority': v.optional(v.array(v.string())),
  'importer-image': v.optional(v.string()),
  'max-wsmsg-size': v.optional(integer, 16 * 1024 * 1024),
  'aiomonitor-port': v.optional(integer),
  'aiomonitor-termui-port': v.optional(integer),
  'aiomonitor-webui-port': v.optional(integer),
  'use-experimental-redis-event-dispatcher': v.optional(boolean),
  'status-update-interval': v.optional(number),
  'status-lifetime': v.optional(integer),
  'public-metrics-port': v.optional(integer),
  rbac: v.optional(v.strictObject({ 'enforcement-enabled': v.optional(boolean, true) })),
});

const managerSection = v.pipe(
  managerKeys,
  v.check(
    (section) => !section['ssl-enabled'] || Boolean(section['ssl-cert'] && section['ssl-privkey']),
    'expected ssl-cert and ssl-privkey, since ssl-enabled is true',
  ),
);

const debugSection = v.strictObject({
  enabled: v.optional(boolean, false),
  asyncio: v.optional(boolean),
  'enhanced-aiomonitor-task-info': v.optional(boolean),
  'log-events': v.optional(boolean),
  'log-scheduler-ticks': v.optional(boolean),
  'periodic-sync-stats': v.optional(boolean),
});

const authSection = v.strictObject({
  'max-password-age': v.optional(durationMs),
  'password-hash-algorithm': v.optional(v.string()),
  'password-hash-rounds': v.optional(integer),
  'password-hash-salt-size': v.optional(integer),
  'login-session-max-age': v.optional(
    v.pipe(integer, v.minValue(1, 'expected at least 1')),
    604_800,
  ),
});

/** Sections of upstream whose contents have no effect here yet. */
const acceptedSections = {
  pyroscope: v.optional(anyTable),
  reporter: v.optional(anyTable),
  system: v.optional(anyTable),
  api: v.optional(anyTable),
  redis: v.optional(anyTable),
  idle: v.optional(anyTable),
  docker: v.optional(anyTable),
  plugins: v.optional(anyTable),
  network: v.optional(anyTable),
  watcher: v.optional(anyTable),
  jwt: v.optional(anyTable),
  session: v.optional(anyTable),
  metric: v.optional(anyTable),
  volumes: v.optional(anyTable),
  'resource-slots': v.optional(anyTable),
  'service-discovery': v.optional(anyTable),
  'artifact-registry': v.optional(anyTable),
  reservoir: v.optional(anyTable),
  deployment: v.optional(anyTable),
};

const managerFile = v.strictObject({
  ...acceptedSections,
  db: dbSection,
  etcd: v.optional(etcdSection, {}),
  manager: v.optional(managerSection, {}),
  logging: v.optional(loggingSection, {}),
  otel: v.optional(otelSection, {}),
  debug: v.optional(debugSection, {}),
  auth: v.optional(authSection, {}),
  'docker-registry': v.optional(v.strictObject({ 'ssl-verify': v.optional(boolean, true) }), {}),
  export: v.optional(
    v.strictObject({
      'max-rows': v.optional(integer),
      'statement-timeout-sec': v.optional(integer),
      'max-concurrent-exports': v.optional(integer),
    }),
    {},
  ),
});
type ManagerFile = v.InferOutput<typeof managerFile>;

const overrides = {
  ...etcdEnvironment,
  BACKEND_DB_ADDR: ['db', 'addr'],
  BACKEND_DB_NAME: ['db', 'name'],
  BACKEND_DB_USER: ['db', 'user'],
  BACKEND_DB_PASSWORD: ['db', 'password'],
  BACKEND_MANAGER_NPROC: ['manager', 'num-proc'],
  BACKEND_SSL_CERT: ['manager', 'ssl-cert'],
  BACKEND_SSL_KEY: ['manager', 'ssl-privkey'],
  BACKEND_PID_FILE: ['manager', 'pid-file'],
  BACKEND_SERVICE_IP: ['manager', 'service-addr', 'host'],
  BACKEND_SERVICE_PORT: ['manager', 'service-addr', 'port'],
} as const;

/** The keys that change something; the rest is accepted so that upstream's files load. */
const EFFECTIVE = new Set([
  ...['addr', 'name', 'user', 'password', 'pool-size', 'max-overflow'].map((key) => `[db] ${key}`),
  ...['namespace', 'addr', 'user', 'password'].map((key) => `[etcd] ${key}`),
  ...[
    ...['id', 'service-addr', 'internal-addr', 'heartbeat-timeout', 'ssl-enabled', 'ssl-cert'],
    ...['ssl-privkey', 'pid-file', 'hide-agents', 'agent-selection-resource-priority'],
    ...['max-wsmsg-size', 'rpc-auth-manager-keypair', 'rbac', 'trusted-proxies'],
  ].map((key) => `[manager] ${key}`),
  ...['level', 'drivers', 'console', 'file', 'syslog'].map((key) => `[logging] ${key}`),
  ...EFFECTIVE_OTEL,
  '[auth] max-password-age',
  '[auth] login-session-max-age',
  '[debug] enabled',
]);

export interface ManagerConfig {
  /** The file that was read. */
  readonly path: string;
  /** `i-<hostname>` unless configured. */
  readonly id: string;
  /** Where clients reach the API. */
  readonly serviceAddr: HostPort;
  /** Where agents and other components reach the manager. */
  readonly internalAddr: HostPort;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  readonly pidFile: string | null;
  /** The manager's Ed25519 private key; null: the command chooses a place. */
  readonly rpcKeyFile: string | null;
  readonly db: {
    readonly host: string;
    readonly port: number;
    /** More servers of the same data; the one that takes writes is used. */
    readonly others: readonly HostPort[];
    readonly name: string;
    readonly user: string;
    readonly password: string | undefined;
    /** Largest number of connections: pool-size and max-overflow together. */
    readonly maxConnections: number;
  };
  readonly etcd: ManagerFile['etcd'];
  readonly logging: ManagerFile['logging'];
  readonly otel: OtelSettings;
  readonly settings: ManagerSettings;
  /** Keys and sections of the file that have no effect; worth a debug record. */
  readonly withoutEffect: readonly string[];
}

const isRealPidFile = (path: string | undefined): path is string =>
  path !== undefined && path !== '/dev/null';

/**
 * Loads manager.toml.
 * @throws UserError naming the file, line and key of every problem, or the places looked at.
 */
export function loadManagerConfig(options: {
  readonly explicitPath?: string;
  readonly places: SearchPlaces;
  readonly env: Readonly<Record<string, string | undefined>>;
}): ManagerConfig {
  const loaded = loadConfigFile({
    ...options,
    component: 'manager',
    schema: managerFile,
    overrides,
  });
  const { db, etcd, manager, logging, otel, debug, auth } = loaded.value;
  const { 'ssl-cert': certFile, 'ssl-privkey': keyFile } = manager;
  return {
    path: loaded.path,
    id: manager.id ?? `i-${hostname()}`,
    serviceAddr: manager['service-addr'],
    internalAddr: manager['internal-addr'],
    tls: manager['ssl-enabled'] && certFile && keyFile ? { certFile, keyFile } : null,
    rpcKeyFile: manager['rpc-auth-manager-keypair'] ?? null,
    pidFile: isRealPidFile(manager['pid-file']) ? manager['pid-file'] : null,
    db: {
      ...firstAndOthers(db.addr),
      name: db.name,
      user: db.user,
      password: db.password,
      maxConnections: db['pool-size'] + Math.max(0, db['max-overflow']),
    },
    etcd,
    logging,
    otel,
    settings: v.parse(managerSettings, {
      heartbeatTimeoutSec: manager['heartbeat-timeout'],
      hideAgents: manager['hide-agents'],
      agentSelectionResourcePriority: manager['agent-selection-resource-priority'],
      maxWebSocketMessageBytes: manager['max-wsmsg-size'],
      rbacEnforced: manager.rbac?.['enforcement-enabled'],
      trustedProxies: manager['trusted-proxies'],
      maxPasswordAgeMs: auth['max-password-age'],
      loginSessionMaxAgeSec: auth['login-session-max-age'],
      debug: debug.enabled,
    }),
    withoutEffect: [
      ...keysWithoutEffect(loaded.presentKeys, EFFECTIVE),
      ...loaded.unknownSections.map((name) => `[${name}]`),
    ],
  };
}
