/** Sections that the configuration files of several components share. */
import * as v from 'valibot';
import {
  anyTable,
  boolean,
  formatHostPort,
  hostPort,
  hostPorts,
  integer,
  parseHostPort,
  readBy,
  size,
  textOrNothing,
} from './values.ts';

/** `[etcd]`: where the configuration store is. */
export const etcdSection = v.pipe(
  v.strictObject({
    namespace: v.optional(v.string(), 'local'),
    addr: v.optional(hostPorts, [{ host: '127.0.0.1', port: 2379 }]),
    user: v.optional(textOrNothing),
    password: v.optional(textOrNothing),
  }),
  v.transform(({ addr, ...rest }) => ({ ...rest, addrs: addr.map(formatHostPort) })),
);
export type EtcdSettings = v.InferOutput<typeof etcdSection>;

const level = v.pipe(
  v.string(),
  v.toUpperCase(),
  v.picklist(
    ['NOTSET', 'TRACE', 'DEBUG', 'INFO', 'WARNING', 'WARN', 'ERROR', 'CRITICAL'],
    'expected a level such as "INFO"',
  ),
);

/** `/dev/log`, or another server as `udp://HOST:PORT` or `tcp://HOST:PORT`. */
const syslogAddress = readBy<
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'udp' | 'tcp'; readonly host: string; readonly port: number }
>('"/dev/log", "udp://HOST:PORT" or "tcp://HOST:PORT"', (value) => {
  if (typeof value !== 'string') return null;
  if (value.startsWith('/')) return { kind: 'unix', path: value };
  const [, kind, address = ''] = /^(udp|tcp):\/\/(.+)$/.exec(value) ?? [];
  const parsed = parseHostPort(address);
  if (parsed === null || (kind !== 'udp' && kind !== 'tcp')) return null;
  return { kind, ...parsed };
});

const syslogSection = v.strictObject({
  address: v.optional(syslogAddress, '/dev/log'),
  facility: v.optional(
    v.picklist([
      ...(['user', 'daemon', 'local0', 'local1', 'local2', 'local3'] as const),
      ...(['local4', 'local5', 'local6', 'local7'] as const),
    ]),
    'daemon',
  ),
  format: v.optional(v.picklist(['simple', 'verbose', 'json']), 'verbose'),
});
export type SyslogSettings = v.InferOutput<typeof syslogSection>;

/** `[logging]`. The drivers `console`, `file` and `syslog` are ours; others are accepted and have no effect. */
export const loggingSection = v.pipe(
  v.strictObject({
    version: v.optional(integer),
    level: v.optional(level, 'INFO'),
    'pkg-ns': v.optional(anyTable, {}),
    drivers: v.optional(v.array(v.picklist(['console', 'file', 'syslog', 'logstash', 'graylog'])), [
      'console',
    ]),
    console: v.optional(
      v.strictObject({
        colored: v.optional(boolean),
        format: v.optional(v.picklist(['simple', 'verbose', 'json']), 'verbose'),
      }),
      {},
    ),
    file: v.optional(
      v.strictObject({
        path: v.optional(v.string(), './logs'),
        filename: v.string(),
        'backup-count': v.optional(integer, 5),
        'rotation-size': v.optional(size, '10M'),
        format: v.optional(v.picklist(['simple', 'verbose', 'json']), 'verbose'),
      }),
    ),
    syslog: v.optional(syslogSection, {}),
    logstash: v.optional(anyTable),
    graylog: v.optional(anyTable),
  }),
  v.transform((section) => ({
    level: section.level,
    console: section.drivers.includes('console') ? section.console : null,
    file: section.drivers.includes('file') ? (section.file ?? null) : null,
    syslog: section.drivers.includes('syslog') ? section.syslog : null,
  })),
);
export type LoggingSettings = v.InferOutput<typeof loggingSection>;

/** `[otel]`: where spans of traces are sent. Nothing is, unless `enabled`. */
export const otelSection = v.strictObject({
  enabled: v.optional(boolean, false),
  // The level of log records that upstream sends there; ours go to the logging drivers.
  'log-level': v.optional(v.string(), 'INFO'),
  endpoint: v.optional(v.pipe(v.string(), v.url('expected a URL')), 'http://localhost:4317'),
  'max-queue-size': v.optional(v.pipe(integer, v.minValue(1, 'expected at least 1')), 65_536),
  'max-export-batch-size': v.optional(v.pipe(integer, v.minValue(1, 'expected at least 1')), 4096),
});
export type OtelSettings = v.InferOutput<typeof otelSection>;
export const EFFECTIVE_OTEL = [
  ...['enabled', 'endpoint', 'max-queue-size', 'max-export-batch-size'].map(
    (key) => `[otel] ${key}`,
  ),
];

/** Where Redis is: `addr`, or `sentinel` (one address or several) with `service-name`. */
export const redisKeys = {
  addr: v.optional(hostPort({ host: '127.0.0.1', port: 6379 })),
  sentinel: v.optional(hostPorts),
  'service-name': v.optional(textOrNothing),
  password: v.optional(textOrNothing),
  'sentinel-password': v.optional(textOrNothing),
};
const redisSection = v.object(redisKeys);

/** For `v.check`. */
export const namesRedisService = (section: v.InferOutput<typeof redisSection>): boolean =>
  section.sentinel === undefined || section['service-name'] !== undefined;
export const REDIS_SERVICE_MESSAGE = 'expected service-name, since sentinel is set';

/** The servers that a section names; null without any. */
export function redisPlaceOf(section: v.InferOutput<typeof redisSection> | undefined) {
  const { addr, sentinel, password } = section ?? {};
  const serviceName = section?.['service-name'];
  if (sentinel !== undefined && serviceName !== undefined) {
    const sentinels = sentinel.map(formatHostPort);
    return {
      ...{ sentinels, serviceName, password },
      sentinelPassword: section?.['sentinel-password'],
    };
  }
  return addr === undefined ? null : { addr: formatHostPort(addr), password };
}
export type RedisSettings = NonNullable<ReturnType<typeof redisPlaceOf>>;

/** Environment variables that every component with an `[etcd]` section understands. */
export const etcdEnvironment = {
  BACKEND_NAMESPACE: ['etcd', 'namespace'],
  BACKEND_ETCD_ADDR: ['etcd', 'addr'],
  BACKEND_ETCD_USER: ['etcd', 'user'],
  BACKEND_ETCD_PASSWORD: ['etcd', 'password'],
} as const;

/** The keys present in a file that the component accepts and that have no effect yet. */
export function keysWithoutEffect(
  presentKeys: readonly string[],
  effective: ReadonlySet<string>,
): string[] {
  return presentKeys.filter((key) => !effective.has(key));
}
