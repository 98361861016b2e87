/** app-proxy-worker.toml: upstream's sections and keys, read into what a worker is started with. */
import * as v from 'valibot';
import type { SearchPlaces } from '../../common/config/find.ts';
import { loadConfigFile } from '../../common/config/load.ts';
import {
  EFFECTIVE_OTEL,
  keysWithoutEffect,
  loggingSection,
  type OtelSettings,
  otelSection,
} from '../../common/config/sections.ts';
import { anyTable, boolean, durationMs, hostPort, integer } from '../../common/config/values.ts';
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
import type { FrontendSettings, WorkerSettings } from './settings.ts';

const port = v.pipe(integer, v.minValue(1), v.maxValue(65_535));
const portRange = v.pipe(
  v.tuple([port, port], 'expected two ports, such as [10205, 10300]'),
  v.check(([first, last]) => first <= last, 'expected the lower port first'),
);

const portProxy = v.pipe(
  v.strictObject({
    'bind-host': v.optional(v.string(), '0.0.0.0'),
    'advertised-host': text,
    'bind-port-range': portRange,
    'advertised-port-range': v.optional(portRange),
  }),
  v.check(
    ({ 'bind-port-range': bound, 'advertised-port-range': seen }) =>
      seen === undefined || seen[1] - seen[0] === bound[1] - bound[0],
    'expected as many ports in advertised-port-range as in bind-port-range',
  ),
);

const wildcardDomain = v.strictObject({
  'bind-addr': hostPort(),
  domain: v.pipe(
    v.string(),
    v.regex(/^\.[\w-]+(?:\.[\w-]+)*$/, 'expected a domain that begins with a dot'),
  ),
  'advertised-port': v.optional(port),
});

const appFilter = v.object({ key: v.string(), value: v.string() });

const workerSection = v.pipe(
  v.looseObject({
    'coordinator-endpoint': v.pipe(v.string(), v.url('expected the URL of the coordinator')),
    'verify-coordinator-ssl-certificate': v.optional(boolean, true),
    authority: v.pipe(v.string(), v.nonEmpty(), v.maxLength(255)),
    'frontend-mode': v.picklist(['port', 'wildcard'], 'expected "port" or "wildcard"'),
    protocol: v.picklist(
      ['http', 'tcp', 'h2', 'grpc'],
      'expected "http", "tcp", "h2" or "grpc" (the last two are the same)',
    ),
    'accepted-traffics': v.pipe(
      v.array(v.picklist(['interactive', 'inference'])),
      v.minLength(1, 'expected "interactive", "inference" or both'),
    ),
    'api-bind-addr': v.optional(hostPort({ host: '0.0.0.0', port: 10_201 }), '0.0.0.0:10201'),
    'api-advertised-addr': v.optional(hostPort()),
    ...tlsKeys,
    'heartbeat-period': v.optional(durationMs, '10s'),
    'app-filters': v.optional(v.array(appFilter), []),
    'filtered-apps-only': v.optional(boolean, false),
    'trusted-proxies': v.optional(addressBlocks, []),
    'metric-access-allowed-hosts': v.optional(addressBlocks, '127.0.0.1/32'),
    'port-proxy': v.optional(portProxy),
    'wildcard-domain': v.optional(wildcardDomain),
    'pid-file': text,
  }),
  v.check((section) => hasFiles(section), TLS_MESSAGE),
  v.check(
    (section) => section['frontend-mode'] !== 'port' || section['port-proxy'] !== undefined,
    'expected a section [proxy_worker.port_proxy], since frontend_mode is "port"',
  ),
  v.check(
    (section) =>
      section['frontend-mode'] !== 'wildcard' || section['wildcard-domain'] !== undefined,
    'expected a section [proxy_worker.wildcard_domain], since frontend_mode is "wildcard"',
  ),
  v.check(
    (section) => section.protocol !== 'tcp' || section['frontend-mode'] === 'port',
    'expected frontend_mode = "port", since TCP knows no names',
  ),
);

const workerFile = v.looseObject({
  'proxy-worker': workerSection,
  secrets: v.object({ 'api-secret': secret, 'jwt-secret': secret }),
  'permit-hash': v.object({
    secret,
    'digest-mod': v.optional(v.picklist(['sha224', 'sha256', 'sha384', 'sha512']), 'sha256'),
  }),
  redis: v.optional(anyTable),
  logging: v.optional(loggingSection, {}),
  debug: v.optional(anyTable),
  otel: v.optional(otelSection, {}),
  pyroscope: v.optional(anyTable),
  'service-discovery': v.optional(anyTable),
});
type WorkerFile = v.InferOutput<typeof workerFile>;
type WorkerSection = WorkerFile['proxy-worker'];

const EFFECTIVE = new Set([
  ...[
    ...['coordinator-endpoint', 'verify-coordinator-ssl-certificate', 'authority'],
    ...['frontend-mode', 'protocol', 'accepted-traffics', 'api-bind-addr', 'api-advertised-addr'],
    ...['tls-listen', 'tls-cert', 'tls-privkey', 'tls-advertised', 'heartbeat-period'],
    ...['app-filters', 'filtered-apps-only', 'trusted-proxies', 'metric-access-allowed-hosts'],
    ...['port-proxy', 'wildcard-domain', 'pid-file'],
  ].map((key) => `[proxy-worker] ${key}`),
  ...['api-secret', 'jwt-secret'].map((key) => `[secrets] ${key}`),
  ...['secret', 'digest-mod'].map((key) => `[permit-hash] ${key}`),
  ...['level', 'drivers', 'console', 'file', 'syslog'].map((key) => `[logging] ${key}`),
  ...EFFECTIVE_OTEL,
]);

export interface WorkerConfig {
  readonly path: string;
  readonly settings: WorkerSettings;
  readonly logging: WorkerFile['logging'];
  readonly otel: OtelSettings;
  readonly pidFile: string | null;
  /** Keys and sections of the file that have no effect; worth a debug record. */
  readonly withoutEffect: readonly string[];
}

function frontendOf(section: WorkerSection): FrontendSettings {
  const { 'port-proxy': ports, 'wildcard-domain': wildcard } = section;
  if (section['frontend-mode'] === 'port' && ports !== undefined) {
    const bound = ports['bind-port-range'];
    const bindHost = ports['bind-host'];
    const advertised = ports['advertised-host'];
    return {
      mode: 'port',
      bindHost,
      advertisedHost: advertised ?? reachable({ host: bindHost, port: 0 }).host,
      bindPorts: bound,
      advertisedPorts: ports['advertised-port-range'] ?? bound,
    };
  }
  if (wildcard === undefined) throw new Error('the schema lets no such section pass');
  const { host: hostname, port: bindPort } = wildcard['bind-addr'];
  return {
    mode: 'wildcard',
    bind: { hostname, port: bindPort },
    domain: wildcard.domain,
    advertisedPort: wildcard['advertised-port'] ?? bindPort,
  };
}

function settingsOf({ 'proxy-worker': section, secrets, ...file }: WorkerFile): WorkerSettings {
  const { host: hostname, port: apiPort } = section['api-bind-addr'];
  return {
    authority: section.authority,
    coordinator: section['coordinator-endpoint'],
    verifiesCoordinator: section['verify-coordinator-ssl-certificate'],
    apiSecret: secrets['api-secret'],
    jwtSecret: secrets['jwt-secret'],
    permits: {
      secret: file['permit-hash'].secret,
      digest: file['permit-hash']['digest-mod'],
    },
    frontend: frontendOf(section),
    protocol: section.protocol,
    acceptedTraffics: section['accepted-traffics'],
    appFilters: section['app-filters'],
    filteredAppsOnly: section['filtered-apps-only'],
    apiListen: { hostname, port: apiPort },
    apiAdvertised: section['api-advertised-addr'] ?? reachable(section['api-bind-addr']),
    tls: tlsOf(section),
    tlsAdvertised: section['tls-advertised'],
    heartbeatMs: section['heartbeat-period'],
    trustedProxies: section['trusted-proxies'],
    metricsFrom: section['metric-access-allowed-hosts'],
  };
}

/**
 * Loads app-proxy-worker.toml.
 * @throws UserError naming the file, line and key of every problem, or the places looked at.
 */
export function loadWorkerConfig(options: {
  readonly explicitPath?: string;
  readonly places: SearchPlaces;
  readonly env: Readonly<Record<string, string | undefined>>;
}): WorkerConfig {
  const loaded = loadConfigFile({
    ...options,
    component: 'app-proxy-worker',
    schema: workerFile,
    overrides: {},
  });
  const { value } = loaded;
  return {
    path: loaded.path,
    settings: settingsOf(value),
    logging: value.logging,
    otel: value.otel,
    pidFile: value['proxy-worker']['pid-file'] ?? null,
    withoutEffect: [
      ...keysWithoutEffect(loaded.presentKeys, EFFECTIVE),
      ...loaded.unknownSections.map((name) => `[${name}]`),
    ],
  };
}
