/** The configuration files of the components of one machine. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import { type Layout, redisPlace, type Secrets, serverAddresses, writeOwnFile } from '../layout.ts';
import { type InstallRequest, listenAddress, otelEndpointOf } from '../request.ts';
import { mockFileOf, pluginsOf } from './accelerators.ts';
import { appProxyFiles, storageUrl } from './app-proxy.ts';
import { SFTP_GROUP, sftpAgentPart, sftpImage } from './sftp-agent.ts';

type Table = Record<string, unknown>;

const HEADER =
  '# Written by `backend.ai install`; it is written anew by `install --mode maintain`.\n';

function logging({ watch }: InstallRequest, layout: Layout, component: string): Table {
  return {
    level: 'INFO',
    drivers: ['console', 'file'],
    file: {
      ...{ path: layout.logs, filename: `${component}.log` },
      // As the collector reads them.
      ...(watch === 'nothing' ? {} : { format: 'json' }),
    },
  };
}

/** Traces go to a collector when there is one. */
function otel(request: InstallRequest): Table {
  const endpoint = otelEndpointOf(request);
  return endpoint === null ? {} : { otel: { enabled: true, endpoint } };
}

const etcdSection = (request: InstallRequest): Table => ({
  addr: serverAddresses(request).etcd,
  namespace: namespaceOf(request),
  ...(request.passwords.etcdUser === ''
    ? {}
    : { user: request.passwords.etcdUser, password: request.passwords.etcd }),
});

/** The name under which this installation keeps its settings in etcd. */
const namespaceOf = ({ envId }: InstallRequest): string => (envId === 'default' ? 'local' : envId);

function managerToml(request: InstallRequest, layout: Layout): Table {
  const { ports, database } = request;
  return {
    db: { addr: serverAddresses(request).postgres, ...database },
    etcd: etcdSection(request),
    manager: {
      id: `i-${hostname()}-${request.envId}`,
      'service-addr': `${listenAddress(request)}:${ports.manager}`,
      'internal-addr': `${listenAddress(request)}:${ports.managerInternal}`,
    },
    logging: logging(request, layout, 'manager'),
    ...otel(request),
  };
}

/** What tells the agents of one machine apart. */
export interface AgentPart {
  /** Of its configuration, its log and its folders; `agent` is the one for everything. */
  readonly name: string;
  /** After the name of the machine and the environment. */
  readonly idSuffix: string;
  readonly resourceGroup: string;
  readonly rpcPort: number;
  readonly servicePort: number;
  readonly scratches: string;
  /** Ports of this machine for services of sessions, both included; null: the agent's own choice. */
  readonly portRange: readonly [number, number] | null;
  /** Which devices it offers. */
  readonly plugins: Table;
}

const computeAgent = ({ ports, accelerator }: InstallRequest): AgentPart => ({
  name: 'agent',
  idSuffix: '',
  resourceGroup: 'default',
  rpcPort: ports.agentRpc,
  servicePort: ports.agentService,
  scratches: 'scratches',
  portRange: null,
  plugins: pluginsOf(accelerator),
});

function agentToml(request: InstallRequest, layout: Layout, part: AgentPart): Table {
  const listen = listenAddress(request);
  return {
    etcd: etcdSection(request),
    agent: {
      backend: request.agentBackend,
      id: `i-${hostname()}-${request.envId}${part.idSuffix}`,
      'scaling-group': part.resourceGroup,
      'rpc-listen-addr': `${listen}:${part.rpcPort}`,
      'service-addr': `${listen}:${part.servicePort}`,
      'var-base-path': `${layout.state}/${part.name}`,
      'ipc-base-path': `${layout.sockets}/${part.name}`,
      ...part.plugins,
    },
    container: {
      'bind-host': listen,
      'advertised-host': request.publicAddress,
      'scratch-root': join(layout.root, part.scratches),
      ...(part.portRange === null ? {} : { 'port-range': [...part.portRange] }),
    },
    resource: { 'reserved-cpu': 0, 'reserved-mem': '512M' },
    logging: logging(request, layout, part.name),
    ...otel(request),
  };
}

function storageToml(request: InstallRequest, layout: Layout, secrets: Secrets): Table {
  const listen = listenAddress(request);
  return {
    'storage-proxy': {
      'node-id': `i-${hostname()}-${request.envId}`,
      secret: secrets.storageToken,
    },
    api: {
      client: { 'service-addr': `${listen}:${request.ports.storageClient}` },
      manager: {
        'service-addr': `127.0.0.1:${request.ports.storageManager}`,
        secret: secrets.storageManager,
        'internal-addr': `127.0.0.1:${request.ports.storageInternal}`,
      },
    },
    volume: { volume1: { backend: 'vfs', path: layout.volume } },
    logging: logging(request, layout, 'storage-proxy'),
    ...otel(request),
  };
}

function webToml(request: InstallRequest, layout: Layout): Table {
  const systemImage = sftpImage(request);
  const { ports, endpointProtocol, watch } = request;
  return {
    service: {
      ip: listenAddress(request),
      port: ports.web,
      ...(watch === 'observability' ? { 'internal-addr': `127.0.0.1:${ports.webInternal}` } : {}),
      ...(endpointProtocol === null ? {} : { 'force-endpoint-protocol': endpointProtocol }),
      ...(systemImage === null ? {} : { 'system-SSH-image': systemImage }),
    },
    security: { 'cookie-secure': false },
    api: { endpoint: `http://127.0.0.1:${ports.manager}` },
    session: { redis: redisPlace(request) },
    logging: logging(request, layout, 'webserver'),
    ...otel(request),
  };
}

const agentsOf = (request: InstallRequest): AgentPart[] => [
  computeAgent(request),
  ...(request.sftpAgent ? [sftpAgentPart(request)] : []),
];

/**
 * Name and content of each file.
 * @param request with the password of the database that is really used.
 */
export function configFiles(
  request: InstallRequest,
  layout: Layout,
  secrets: Secrets,
): [string, string][] {
  const files: [string, Table][] = [
    ['manager.toml', managerToml(request, layout)],
    ...agentsOf(request).map((part): [string, Table] => [
      `${part.name}.toml`,
      agentToml(request, layout, part),
    ]),
    ['storage-proxy.toml', storageToml(request, layout, secrets)],
    ['webserver.conf', webToml(request, layout)],
    ...appProxyFiles(request, secrets, namespaceOf(request)).map(
      ([name, table]): [string, Table] => [
        name,
        {
          ...table,
          logging: logging(request, layout, name.replace(/\.toml$/, '')),
          ...otel(request),
        },
      ],
    ),
  ];
  const mocked = mockFileOf(request.accelerator);
  return [
    ...files.map(([name, table]): [string, string] => [name, `${HEADER}${stringify(table)}`]),
    ...(mocked === null ? [] : [['mock-accelerator.toml', mocked] satisfies [string, string]]),
  ];
}

/** @param request as above. */
export function writeConfigFiles(request: InstallRequest, layout: Layout, secrets: Secrets): void {
  for (const [name, text] of configFiles(request, layout, secrets)) {
    writeOwnFile(`${layout.config}/${name}`, text);
  }
}

/** What the configuration store has to say, below `config` and `volumes`. */
export function storedSettings(request: InstallRequest, secrets: Secrets) {
  const { ports } = request;
  return {
    config: {
      redis: redisPlace(request),
      docker: { image: { auto_pull: 'tag' } },
    },
    volumes: {
      _types: { user: '', group: '' },
      default_host: 'local:volume1',
      proxies: {
        local: {
          client_api: storageUrl(request),
          manager_api: `http://127.0.0.1:${ports.storageManager}`,
          secret: secrets.storageManager,
          ssl_verify: 'false',
          ...(request.sftpAgent ? { sftp_scaling_groups: SFTP_GROUP } : {}),
        },
      },
      exposed_volume_info: 'percentage',
    },
  };
}
