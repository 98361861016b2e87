/** app-proxy-coordinator.toml: upstream's sections and keys, read into what the coordinator is started with. */
import * as v from 'valibot';
import type { SearchPlaces } from '../../common/config/find.ts';
import { loadConfigFile } from '../../common/config/load.ts';
import {
  EFFECTIVE_OTEL,
  keysWithoutEffect,
  loggingSection,
  namesRedisService,
  type OtelSettings,
  otelSection,
  REDIS_SERVICE_MESSAGE,
  type RedisSettings,
  redisKeys,
  redisPlaceOf,
} from '../../common/config/sections.ts';
import {
  anyTable,
  boolean,
  durationMs,
  firstAndOthers,
  formatHostPort,
  type HostPort,
  hostPort,
  hostPorts,
  integer,
  textOrNothing,
} from '../../common/config/values.ts';
import {
  addressBlocks,
  hasFiles,
  reachable,
  secret,
  TLS_MESSAGE,
  text,
  tlsKeys,
  tlsOf,
} from '../shared/config.ts';
import type { CoordinatorSettings, ListenSettings } from './settings.ts';

const dbSection = v.strictObject({
  type: v.optional(v.literal('postgresql'), 'postgresql'),
  addr: v.optional(hostPorts, '127.0.0.1:5432'),
  name: v.string(),
  user: v.string(),
  password: v.optional(textOrNothing),
  'pool-size': v.optional(v.pipe(integer, v.minValue(1, 'expected at least 1')), 8),
  'pool-recycle': v.optional(integer),
  'pool-pre-ping': v.optional(boolean),
  'max-overflow': v.optional(integer),
  'lock-conn-timeout': v.optional(integer),
});

const redisSection = v.looseObject({
  ...redisKeys,
  /** Ours: that of the managers' [etcd] section, whose keys in Redis these are. */
  namespace: v.optional(v.string(), 'local'),
});

const coordinatorSection = v.pipe(
  v.looseObject({
    'bind-addr': v.optional(hostPort({ host: '0.0.0.0', port: 10_200 }), '0.0.0.0:10200'),
    'advertised-addr': v.optional(hostPort()),
    ...tlsKeys,
    'allow-unauthorized-configure-request': v.optional(boolean, false),
    'enable-traefik': v.optional(
      v.pipe(
        boolean,
        v.check((value) => !value, 'Traefik is not driven here; leave it out'),
      ),
    ),
    'worker-heartbeat-timeout': v.optional(durationMs, '30s'),
    'unused-circuit-collection-timeout': v.optional(durationMs, '3600s'),
    'metric-access-allowed-hosts': v.optional(addressBlocks, '127.0.0.1/32'),
    'pid-file': text,
  }),
  v.check((section) => hasFiles(section), TLS_MESSAGE),
);

const coordinatorFile = v.looseObject({
  db: dbSection,
  redis: v.optional(
    v.pipe(
      redisSection,
      v.check((section) => namesRedisService(section), REDIS_SERVICE_MESSAGE),
    ),
  ),
  'proxy-coordinator': v.optional(coordinatorSection, {}),
  secrets: v.object({ 'api-secret': secret, 'jwt-secret': secret }),
  'permit-hash': v.optional(anyTable),
  logging: v.optional(loggingSection, {}),
  debug: v.optional(anyTable),
  otel: v.optional(otelSection, {}),
  pyroscope: v.optional(anyTable),
  'service-discovery': v.optional(anyTable),
  'core-redis': v.optional(anyTable),
});
type CoordinatorFile = v.InferOutput<typeof coordinatorFile>;

const EFFECTIVE = new Set([
  ...['type', 'addr', 'name', 'user', 'password', 'pool-size'].map((key) => `[db] ${key}`),
  ...[...Object.keys(redisKeys), 'namespace'].map((key) => `[redis] ${key}`),
  ...[
    ...['bind-addr', 'advertised-addr', 'tls-listen', 'tls-cert', 'tls-privkey', 'pid-file'],
    ...['tls-advertised', 'allow-unauthorized-configure-request', 'worker-heartbeat-timeout'],
    ...['unused-circuit-collection-timeout', 'metric-access-allowed-hosts'],
  ].map((key) => `[proxy-coordinator] ${key}`),
  ...['api-secret', 'jwt-secret'].map((key) => `[secrets] ${key}`),
  ...['level', 'drivers', 'console', 'file', 'syslog'].map((key) => `[logging] ${key}`),
  ...EFFECTIVE_OTEL,
]);

export interface CoordinatorConfig {
  readonly path: string;
  readonly settings: CoordinatorSettings;
  readonly listen: ListenSettings;
  readonly db: {
    readonly host: string;
    readonly port: number;
    /** More servers of the same data; the one that takes writes is used. */
    readonly others: readonly HostPort[];
    readonly database: string;
    readonly user: string;
    readonly password?: string;
    readonly maxConnections: number;
  };
  /** null: figures about use are kept in memory. */
  readonly redis:
    | (RedisSettings & {
        /** As managers have it, which read what is kept there. */
        readonly keyPrefix: string;
      })
    | null;
  readonly logging: CoordinatorFile['logging'];
  readonly otel: OtelSettings;
  readonly pidFile: string | null;
  /** Keys and sections of the file that have no effect; worth a debug record. */
  readonly withoutEffect: readonly string[];
}

function settingsOf({ secrets, 'proxy-coordinator': section }: CoordinatorFile) {
  const addr = section['advertised-addr'] ?? reachable(section['bind-addr']);
  const scheme = section['tls-listen'] || section['tls-advertised'] ? 'https' : 'http';
  return {
    apiSecret: secrets['api-secret'],
    jwtSecret: secrets['jwt-secret'],
    advertisedUrl: new URL(`${scheme}://${formatHostPort(addr)}`).origin,
    allowsUnauthorizedConfigure: section['allow-unauthorized-configure-request'],
    workerTimeoutMs: section['worker-heartbeat-timeout'],
    unusedCircuitMs: section['unused-circuit-collection-timeout'],
    metricsFrom: section['metric-access-allowed-hosts'],
  };
}

/**
 * Loads app-proxy-coordinator.toml.
 * @throws UserError naming the file, line and key of every problem, or the places looked at.
 */
export function loadCoordinatorConfig(options: {
  readonly explicitPath?: string;
  readonly places: SearchPlaces;
  readonly env: Readonly<Record<string, string | undefined>>;
}): CoordinatorConfig {
  const loaded = loadConfigFile({
    ...options,
    component: 'app-proxy-coordinator',
    schema: coordinatorFile,
    overrides: {},
  });
  const { value } = loaded;
  const { db, redis, 'proxy-coordinator': section } = value;
  const { host, port } = section['bind-addr'];
  const place = redisPlaceOf(redis);
  return {
    path: loaded.path,
    settings: settingsOf(value),
    listen: { hostname: host, port, tls: tlsOf(section) },
    db: {
      ...{ ...firstAndOthers(db.addr), database: db.name, user: db.user },
      ...(db.password === undefined ? {} : { password: db.password }),
      maxConnections: db['pool-size'],
    },
    redis: place && { ...place, keyPrefix: `backendai:${redis?.namespace}:` },
    logging: value.logging,
    otel: value.otel,
    pidFile: section['pid-file'] ?? null,
    withoutEffect: [
      ...keysWithoutEffect(loaded.presentKeys, EFFECTIVE),
      ...loaded.unknownSections.map((name) => `[${name}]`),
    ],
  };
}
