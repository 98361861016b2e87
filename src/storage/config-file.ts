/** storage-proxy.toml: upstream's sections and keys, read into what the proxy is started with. */
import { hostname } from 'node:os';
import * as v from 'valibot';
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
  type HostPort,
  hostPort,
  integer,
  size,
  textOrNothing,
} from '../common/config/values.ts';
import {
  type ListenSettings,
  MACHINE_PROJECTS,
  type ObjectStorageSettings,
  type StorageSettings,
} from './settings.ts';

const text = v.optional(textOrNothing);
/** A name or a number. */
const account = v.optional(v.union([v.pipe(integer, v.transform(String)), textOrNothing]));
const secret = v.pipe(v.string(), v.minLength(1, 'expected a secret that is not empty'));

const proxySection = v.strictObject({
  'node-id': text,
  'num-proc': v.optional(integer),
  'pid-file': text,
  'event-loop': v.optional(v.string()),
  'scandir-limit': v.optional(v.pipe(integer, v.minValue(0, 'expected at least 0')), 1000),
  'max-upload-size': v.optional(size, '100g'),
  secret,
  'session-expire': v.optional(durationMs, '1d'),
  user: account,
  group: account,
  'ipc-base-path': v.optional(v.string()),
  'aiomonitor-port': v.optional(integer),
  'aiomonitor-termui-port': v.optional(integer),
  'aiomonitor-webui-port': v.optional(integer),
  'use-watcher': v.optional(boolean),
  'watcher-insock-path-prefix': text,
  'watcher-outsock-path-prefix': text,
  'allow-auto-quota-scope-creation': v.optional(boolean, true),
  'volume-stats': v.optional(anyTable),
});

const tlsKeys = {
  'ssl-enabled': v.optional(boolean, false),
  'ssl-cert': text,
  'ssl-privkey': text,
};
interface TlsSection {
  'ssl-enabled': boolean;
  'ssl-cert'?: string;
  'ssl-privkey'?: string;
}
const hasFiles = (section: TlsSection): boolean =>
  !section['ssl-enabled'] || Boolean(section['ssl-cert'] && section['ssl-privkey']);
const TLS_MESSAGE = 'expected ssl-cert and ssl-privkey, since ssl-enabled is true';

const address = (port: number) =>
  v.optional(hostPort({ host: '127.0.0.1', port }), `127.0.0.1:${port}`);

const apiSection = v.strictObject({
  client: v.optional(
    v.pipe(
      v.strictObject({ 'service-addr': address(6021), ...tlsKeys }),
      v.check((section) => hasFiles(section), TLS_MESSAGE),
    ),
    {},
  ),
  manager: v.pipe(
    v.strictObject({
      'service-addr': address(6022),
      ...tlsKeys,
      secret,
      'announce-addr': v.optional(hostPort()),
      'internal-addr': v.optional(hostPort({ host: '127.0.0.1', port: 16023 }), '127.0.0.1:16023'),
      'announce-internal-addr': v.optional(hostPort()),
    }),
    v.check((section) => hasFiles(section), TLS_MESSAGE),
  ),
});

const volumeSection = v.strictObject({
  backend: v.picklist(['vfs', 'xfs', 'cephfs'], 'expected "vfs", "xfs" or "cephfs"'),
  path: v.pipe(v.string(), v.minLength(1)),
  fsprefix: v.optional(v.string(), '.'),
  options: v.optional(v.looseObject({ 'lock-file-path': text }), {}),
});

const MIN_PART_BYTES = 5 * 1024 * 1024;
const expiration = v.optional(v.pipe(integer, v.minValue(1), v.maxValue(7 * 24 * 3600)), 300);
const objectStorageSection = v.strictObject({
  endpoint: v.pipe(
    v.string(),
    v.regex(/^https?:\/\/[^/]+\/?$/, 'expected http://HOST[:PORT] or https'),
  ),
  'access-key': secret,
  'secret-key': secret,
  buckets: v.pipe(v.array(v.string()), v.minLength(1, 'expected at least one bucket')),
  region: v.optional(v.pipe(v.string(), v.minLength(1)), 'us-east-1'),
  'presigned-upload': v.optional(
    v.strictObject({ 'min-size': v.optional(size), 'max-size': v.optional(size), expiration }),
    {},
  ),
  'presigned-download': v.optional(v.strictObject({ expiration }), {}),
  'upload-chunk-size': v.optional(size, MIN_PART_BYTES),
  'download-chunk-size': v.optional(size),
});
/** Of the kinds that upstream knows; only object storages have an effect so far. */
const artifactStorageSection = v.looseObject({
  type: v.picklist(
    ['object_storage', 'vfs_storage', 'git_lfs'],
    'expected "object_storage", "vfs_storage" or "git_lfs"',
  ),
  'object-storage': v.optional(objectStorageSection),
});

const storageFile = v.looseObject({
  etcd: v.optional(etcdSection),
  'storage-proxy': proxySection,
  api: apiSection,
  volume: v.pipe(
    v.record(
      v.pipe(v.string(), v.regex(/^[\w.-]+$/, 'expected a name of letters, digits, - and _')),
      volumeSection,
    ),
    v.check((volumes) => Object.keys(volumes).length > 0, 'expected at least one [volume.NAME]'),
  ),
  'artifact-storages': v.optional(v.record(v.string(), artifactStorageSection), {}),
  logging: v.optional(loggingSection, {}),
  debug: v.optional(anyTable),
  otel: v.optional(otelSection, {}),
  pyroscope: v.optional(anyTable),
  'service-discovery': v.optional(anyTable),
});
type StorageFile = v.InferOutput<typeof storageFile>;

const overrides = {
  ...etcdEnvironment,
  BACKEND_PID_FILE: ['storage-proxy', 'pid-file'],
} as const;

const EFFECTIVE = new Set([
  ...[
    ...['node-id', 'pid-file', 'scandir-limit', 'max-upload-size', 'secret', 'session-expire'],
    ...['user', 'group', 'allow-auto-quota-scope-creation'],
  ].map((key) => `[storage-proxy] ${key}`),
  ...['client', 'manager'].map((key) => `[api] ${key}`),
  ...['level', 'drivers', 'console', 'file', 'syslog'].map((key) => `[logging] ${key}`),
  ...EFFECTIVE_OTEL,
]);

export interface StorageConfig {
  readonly path: string;
  /** Owners are looked up by whoever starts the proxy. */
  readonly settings: Omit<StorageSettings, 'owner'>;
  readonly user: string | null;
  readonly group: string | null;
  readonly managerListen: ListenSettings;
  readonly clientListen: ListenSettings;
  /** Health and metrics. */
  readonly serviceAddr: HostPort;
  readonly logging: StorageFile['logging'];
  readonly otel: OtelSettings;
  readonly pidFile: string | null;
  /** Keys and sections of the file that have no effect; worth a debug record. */
  readonly withoutEffect: readonly string[];
}

function listenOf(
  section: TlsSection & { 'service-addr': { host: string; port: number } },
): ListenSettings {
  const { 'service-addr': addr, 'ssl-cert': certFile, 'ssl-privkey': keyFile } = section;
  const tls = section['ssl-enabled'] && certFile && keyFile ? { certFile, keyFile } : null;
  return { hostname: addr.host, port: addr.port, tls };
}

function objectStoragesOf(sections: StorageFile['artifact-storages']): ObjectStorageSettings[] {
  return Object.entries(sections).flatMap(([name, { type, 'object-storage': given }]) => {
    if (type !== 'object_storage' || !given) return [];
    const upload = given['presigned-upload'];
    const bytes = (value: bigint | number | undefined) =>
      value === undefined ? null : Number(value);
    return [
      {
        ...{ name, endpoint: given.endpoint, region: given.region, buckets: given.buckets },
        accessKey: given['access-key'],
        secretKey: given['secret-key'],
        presignedUpload: {
          minBytes: bytes(upload['min-size']),
          maxBytes: bytes(upload['max-size']),
          expirationSec: upload.expiration,
        },
        presignedDownload: { expirationSec: given['presigned-download'].expiration },
        uploadChunkBytes: Math.max(Number(given['upload-chunk-size']), MIN_PART_BYTES),
      },
    ];
  });
}

function toSettings({ volume, api, ...file }: StorageFile): StorageConfig['settings'] {
  const proxy = file['storage-proxy'];
  return {
    nodeId: proxy['node-id'] ?? hostname(),
    scandirLimit: proxy['scandir-limit'],
    maxUploadBytes: Number(proxy['max-upload-size']),
    tokenSecret: proxy.secret,
    tokenLifetimeMs: proxy['session-expire'],
    managerSecret: api.manager.secret,
    createsMissingScopes: proxy['allow-auto-quota-scope-creation'],
    objectStorages: objectStoragesOf(file['artifact-storages']),
    volumes: Object.entries(volume).map(([name, { options, ...rest }]) => ({
      ...{ name, ...rest },
      projects: {
        ...MACHINE_PROJECTS,
        lockFile: options['lock-file-path'] ?? MACHINE_PROJECTS.lockFile,
      },
    })),
  };
}

/**
 * Loads storage-proxy.toml.
 * @throws UserError naming the file, line and key of every problem, or the places looked at.
 */
export function loadStorageConfig(options: {
  readonly explicitPath?: string;
  readonly places: SearchPlaces;
  readonly env: Readonly<Record<string, string | undefined>>;
}): StorageConfig {
  const loaded = loadConfigFile({
    ...options,
    component: 'storage-proxy',
    schema: storageFile,
    overrides,
  });
  const { value } = loaded;
  const proxy = value['storage-proxy'];
  const pidFile = proxy['pid-file'];
  const present = loaded.presentKeys.filter((key) => !/^\[(volume|artifact-storages)\]/.test(key));
  return {
    path: loaded.path,
    settings: toSettings(value),
    user: proxy.user ?? null,
    group: proxy.group ?? null,
    managerListen: listenOf(value.api.manager),
    clientListen: listenOf(value.api.client),
    serviceAddr: value.api.manager['internal-addr'],
    logging: value.logging,
    otel: value.otel,
    pidFile: pidFile === undefined || pidFile === '/dev/null' ? null : pidFile,
    withoutEffect: [
      ...keysWithoutEffect(present, EFFECTIVE),
      ...Object.entries(value['artifact-storages']).flatMap(([name, { type }]) =>
        type === 'object_storage' ? [] : [`[artifact-storages.${name}]`],
      ),
      ...loaded.unknownSections.map((name) => `[${name}]`),
    ],
  };
}
