/** agent.toml: upstream's sections and keys, read into the agent's settings. */
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
  otelSection,
} from '../common/config/sections.ts';
import {
  anyTable,
  boolean,
  durationMs,
  hostPort,
  integer,
  number,
  readBy,
  size,
  textOrNothing,
} from '../common/config/values.ts';
import type {
  AgentDebugSettings,
  AgentSettings,
  ContainerSettings,
  ResourceSettings,
} from './settings.ts';

const text = v.optional(textOrNothing);
const names = v.optional(v.array(v.string()));
const flag = v.optional(boolean, false);

/** `[30000, 31000]`, or `30000-31000` in the environment. */
const portRange = readBy<readonly [number, number]>(
  'a range of ports such as [30000, 31000]',
  (value) => {
    const ends = typeof value === 'string' ? value.split('-').map(Number) : value;
    const pair = v.safeParse(v.tuple([v.number(), v.number()]), ends);
    if (!pair.success) return null;
    const [first, last] = pair.output;
    const isRange = Number.isInteger(first) && Number.isInteger(last) && first <= last;
    return isRange && first > 0 && last < 65536 ? [first, last] : null;
  },
);

const agentSection = v.strictObject({
  backend: v.picklist(['docker', 'process', 'dummy'], 'expected "docker", "process" or "dummy"'),
  id: text,
  'manager-addr': v.optional(hostPort()),
  'manager-public-key': text,
  'scaling-group': v.optional(v.string(), 'default'),
  'scaling-group-type': v.optional(v.string()),
  'rpc-listen-addr': v.optional(hostPort({ host: '0.0.0.0', port: 6001 }), '0.0.0.0:6001'),
  'advertised-rpc-addr': v.optional(hostPort()),
  'service-addr': v.optional(hostPort({ host: '0.0.0.0', port: 6003 }), '0.0.0.0:6003'),
  'announce-addr': v.optional(hostPort()),
  'announce-internal-addr': v.optional(hostPort()),
  'ssl-enabled': flag,
  'ssl-cert': text,
  'ssl-key': text,
  'rpc-auth-manager-public-key': text,
  'rpc-auth-agent-keypair': text,
  'agent-sock-port': v.optional(integer),
  'ipc-base-path': v.optional(v.string(), '/tmp/backend.ai/ipc'),
  'var-base-path': v.optional(v.string(), './var/lib/backend.ai'),
  'mount-path': text,
  'mount-path-uid-gid': text,
  'cohabiting-storage-proxy': v.optional(boolean),
  'public-host': text,
  region: text,
  'instance-type': text,
  'pid-file': text,
  'event-loop': v.optional(v.string()),
  'skip-manager-detection': v.optional(boolean),
  'aiomonitor-port': v.optional(integer),
  'aiomonitor-termui-port': v.optional(integer),
  'aiomonitor-webui-port': v.optional(integer),
  'metadata-server-bind-host': v.optional(v.string()),
  'metadata-server-port': v.optional(integer),
  'allow-compute-plugins': names,
  'block-compute-plugins': names,
  'allow-network-plugins': names,
  'block-network-plugins': names,
  'image-commit-path': v.optional(v.string()),
  'abuse-report-path': text,
  'use-experimental-redis-event-dispatcher': v.optional(boolean),
  'docker-mode': text,
  'force-terminate-abusing-containers': v.optional(boolean),
  'kernel-creation-concurrency': v.optional(
    v.pipe(integer, v.minValue(1, 'expected at least 1')),
    4,
  ),
  'sync-container-lifecycles': v.optional(
    v.strictObject({ enabled: v.optional(boolean), interval: v.optional(durationMs, 10) }),
    {},
  ),
  'utilization-metric': v.optional(anyTable),
});

const containerSection = v.strictObject({
  'bind-host': v.optional(v.string(), ''),
  'advertised-host': text,
  'krunner-volumes': v.optional(anyTable),
  'kernel-uid': v.optional(integer, -1),
  'kernel-gid': v.optional(integer, -1),
  'port-range': v.optional(portRange, [30000, 31000]),
  'port-reuse-cooldown-sec': v.optional(durationMs, 60),
  'stats-type': text,
  'sandbox-type': text,
  'jail-args': names,
  'scratch-type': text,
  'scratch-root': v.optional(v.string(), './scratches'),
  'scratch-size': v.optional(size),
  'scratch-nfs-address': text,
  'scratch-nfs-options': text,
  'alternative-bridge': text,
  'swarm-enabled': v.optional(boolean),
});

const resourceSection = v.strictObject({
  'reserved-cpu': v.optional(number, 1),
  'reserved-mem': v.optional(size, '1G'),
  'reserved-disk': v.optional(size, '8G'),
  'allocation-mode': v.optional(v.string()),
  allocations: v.optional(anyTable),
  'memory-align-size': v.optional(size, '16M'),
  'allocation-order': v.optional(v.array(v.string()), ['cuda', 'rocm', 'tpu', 'cpu', 'mem']),
  'affinity-policy': v.optional(v.picklist(['INTERLEAVED', 'PREFER_SINGLE_NODE']), 'INTERLEAVED'),
});

const debugSection = v.strictObject({
  enabled: flag,
  asyncio: v.optional(boolean),
  'kernel-runner': v.optional(boolean),
  'enhanced-aiomonitor-task-info': v.optional(boolean),
  'skip-container-deletion': flag,
  'log-stats': v.optional(boolean),
  'log-kernel-config': flag,
  'log-alloc-map': v.optional(boolean),
  'log-events': v.optional(boolean),
  'log-heartbeats': flag,
  'log-docker-events': v.optional(boolean),
  'heartbeat-interval': v.optional(durationMs, 20),
  coredump: v.optional(anyTable),
});

const agentFile = v.strictObject({
  etcd: v.optional(etcdSection),
  agent: agentSection,
  container: v.optional(containerSection, {}),
  resource: v.optional(resourceSection, {}),
  'container-logs': v.optional(
    v.strictObject({
      'max-length': v.optional(size, '10M'),
      'chunk-size': v.optional(size, '64K'),
    }),
    {},
  ),
  'kernel-lifecycles': v.optional(
    v.strictObject({
      'init-polling-attempt': v.optional(integer, 10),
      'init-polling-timeout-sec': v.optional(durationMs, 60),
      'init-timeout-sec': v.optional(durationMs, 60),
    }),
    {},
  ),
  logging: v.optional(loggingSection, {}),
  debug: v.optional(debugSection, {}),
  agents: v.optional(v.array(anyTable)),
  api: v.optional(anyTable),
  watcher: v.optional(anyTable),
  pyroscope: v.optional(anyTable),
  otel: v.optional(otelSection, {}),
  'service-discovery': v.optional(anyTable),
  plugins: v.optional(
    v.looseObject({ accelerator: v.optional(v.record(v.string(), anyTable), {}) }),
    {},
  ),
});
type AgentFile = v.InferOutput<typeof agentFile>;

const overrides = {
  ...etcdEnvironment,
  BACKEND_AGENT_HOST_OVERRIDE: ['agent', 'rpc-listen-addr', 'host'],
  BACKEND_AGENT_PORT: ['agent', 'rpc-listen-addr', 'port'],
  BACKEND_PID_FILE: ['agent', 'pid-file'],
  BACKEND_CONTAINER_PORT_RANGE: ['container', 'port-range'],
  BACKEND_BIND_HOST_OVERRIDE: ['container', 'bind-host'],
  BACKEND_SANDBOX_TYPE: ['container', 'sandbox-type'],
  BACKEND_SCRATCH_ROOT: ['container', 'scratch-root'],
} as const;

const aliases = {
  agent: { mode: 'backend', 'internal-addr': 'service-addr' },
  container: { 'kernel-host': 'bind-host' },
} as const;

const keysOf = (section: string, keys: readonly string[]) =>
  keys.map((key) => `[${section}] ${key}`);

/** The keys that change something; the rest is accepted so that upstream's files load. */
const EFFECTIVE = new Set([
  ...keysOf('etcd', ['namespace', 'addr', 'user', 'password']),
  ...keysOf('agent', [
    ...['backend', 'id', 'manager-addr', 'manager-public-key', 'scaling-group', 'region'],
    ...['rpc-listen-addr', 'advertised-rpc-addr', 'service-addr', 'public-host', 'pid-file'],
    ...['ipc-base-path', 'var-base-path', 'kernel-creation-concurrency'],
    ...['sync-container-lifecycles', 'allow-compute-plugins', 'block-compute-plugins'],
  ]),
  ...keysOf('plugins', ['accelerator']),
  ...keysOf('container', [
    ...['bind-host', 'advertised-host', 'kernel-uid', 'kernel-gid', 'port-range'],
    ...['port-reuse-cooldown-sec', 'scratch-root'],
  ]),
  ...keysOf('resource', [
    ...['reserved-cpu', 'reserved-mem', 'memory-align-size'],
    ...['allocation-order', 'affinity-policy'],
  ]),
  ...keysOf('container-logs', ['max-length', 'chunk-size']),
  ...keysOf('kernel-lifecycles', [
    ...['init-polling-attempt', 'init-polling-timeout-sec', 'init-timeout-sec'],
  ]),
  ...keysOf('debug', [
    ...['enabled', 'skip-container-deletion', 'log-kernel-config', 'log-heartbeats'],
    'heartbeat-interval',
  ]),
  ...EFFECTIVE_OTEL,
  ...keysOf('logging', ['level', 'drivers', 'console', 'file', 'syslog']),
]);

const ownId = (id: number): number | null => (id < 0 ? null : id);

const toContainer = (section: AgentFile['container']): ContainerSettings => ({
  bindHost: section['bind-host'],
  advertisedHost: section['advertised-host'] ?? null,
  kernelUid: ownId(section['kernel-uid']),
  kernelGid: ownId(section['kernel-gid']),
  portRange: section['port-range'],
  portReuseCooldownMs: section['port-reuse-cooldown-sec'],
  scratchRoot: section['scratch-root'],
});

const toResource = (section: AgentFile['resource']): ResourceSettings => ({
  reservedCpu: section['reserved-cpu'],
  reservedMemBytes: section['reserved-mem'],
  memoryAlignBytes: section['memory-align-size'],
  allocationOrder: section['allocation-order'],
  affinityPolicy: section['affinity-policy'],
});

const toDebug = (section: AgentFile['debug']): AgentDebugSettings => ({
  enabled: section.enabled,
  skipContainerDeletion: section['skip-container-deletion'],
  logKernelConfig: section['log-kernel-config'],
  logHeartbeats: section['log-heartbeats'],
  heartbeatIntervalMs: section['heartbeat-interval'],
});

function toSettings(file: AgentFile): AgentSettings {
  const { agent } = file;
  const pidFile = agent['pid-file'];
  return {
    id: agent.id ?? `i-${hostname()}`,
    backend: agent.backend,
    scalingGroup: agent['scaling-group'],
    region: agent.region ?? null,
    rpcListenAddr: agent['rpc-listen-addr'],
    advertisedRpcAddr: agent['advertised-rpc-addr'] ?? null,
    serviceAddr: agent['service-addr'],
    publicHost: agent['public-host'] ?? null,
    varBasePath: agent['var-base-path'],
    ipcBasePath: agent['ipc-base-path'],
    abuseReportPath: agent['abuse-report-path'] ?? null,
    imageCommitPath: agent['image-commit-path'] ?? null,
    kernelCreationConcurrency: agent['kernel-creation-concurrency'],
    syncIntervalMs: agent['sync-container-lifecycles'].interval,
    container: toContainer(file.container),
    resource: toResource(file.resource),
    accelerators: {
      allow: agent['allow-compute-plugins'] ?? null,
      block: agent['block-compute-plugins'] ?? [],
      settings: file.plugins.accelerator,
    },
    containerLogs: {
      maxLengthBytes: file['container-logs']['max-length'],
      chunkSizeBytes: file['container-logs']['chunk-size'],
    },
    kernelLifecycles: {
      initPollingAttempts: file['kernel-lifecycles']['init-polling-attempt'],
      initPollingTimeoutMs: file['kernel-lifecycles']['init-polling-timeout-sec'],
      initTimeoutMs: file['kernel-lifecycles']['init-timeout-sec'],
    },
    debug: toDebug(file.debug),
    managerAddr: agent['manager-addr'] ?? null,
    managerPublicKey: agent['manager-public-key'] ?? null,
    etcd: file.etcd ?? null,
    logging: file.logging,
    otel: file.otel,
    pidFile: pidFile === undefined || pidFile === '/dev/null' ? null : pidFile,
  };
}

/** Settings as a file with this content would give them; for an agent that has no file. */
export const agentSettingsFrom = (file: v.InferInput<typeof agentFile>): AgentSettings =>
  toSettings(v.parse(agentFile, file));

export interface LoadedAgentConfig {
  /** The file that was read. */
  readonly path: string;
  readonly settings: AgentSettings;
  /** Keys and sections of the file that have no effect; worth a debug record. */
  readonly withoutEffect: readonly string[];
}

const fileWithManager = v.pipe(
  agentFile,
  v.check(
    (file) => file.etcd !== undefined || file.agent['manager-addr'] !== undefined,
    'expected [agent] manager-addr or an [etcd] section, to find the manager by',
  ),
);

/**
 * Loads agent.toml.
 * @throws UserError naming the file, line and key of every problem, or the places looked at.
 */
export function loadAgentConfig(options: {
  readonly explicitPath?: string;
  readonly places: SearchPlaces;
  readonly env: Readonly<Record<string, string | undefined>>;
}): LoadedAgentConfig {
  const loaded = loadConfigFile({
    ...options,
    component: 'agent',
    schema: fileWithManager,
    overrides,
    aliases,
  });
  return {
    path: loaded.path,
    settings: toSettings(loaded.value),
    withoutEffect: [
      ...keysWithoutEffect(loaded.presentKeys, EFFECTIVE),
      ...loaded.unknownSections.map((name) => `[${name}]`),
    ],
  };
}
