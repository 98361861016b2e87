/** The configuration files of the components of one machine. */
import { hostname } from 'node:os';
import { stringify } from 'smol-toml';
import { type Layout, redisPlace, type Secrets, serverAddresses, writeOwnFile } from '../layout.ts';
import { type InstallRequest, listenAddress } from '../request.ts';
import { mockFileOf, pluginsOf } from './accelerators.ts';
import { appProxyFiles, storageUrl } from './app-proxy.ts';

type Table = Record<string, unknown>;

const HEADER =
  '# Written by `backend.ai install`; it is written anew by `install --mode maintain`.\n';

function logging(layout: Layout, component: string): Table {
  return {
    level: 'INFO',
    drivers: ['console', 'file'],
    file: { path: layout.logs, filename: `${component}.log` },
  };
}

/** Traces go to a collector when one is named. */
const otel = ({ otelEndpoint }: InstallRequest): Table =>
  otelEndpoint === null ? {} : { otel: { enabled: true, endpoint: otelEndpoint } };

const etcdSection = (request: InstallRequest): Table => ({
  addr: serverAddresses(request).etcd,
  namespace: namespaceOf(request),
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
    logging: logging(layout, 'manager'),
    ...otel(request),
  };
}

function agentToml(request: InstallRequest, layout: Layout): Table {
  const { ports, agentBackend } = request;
  const listen = listenAddress(request);
  return {
    etcd: etcdSection(request),
    agent: {
      backend: agentBackend,
      id: `i-${hostname()}-${request.envId}`,
      'scaling-group': 'default',
      'rpc-listen-addr': `${listen}:${ports.agentRpc}`,
      'service-addr': `${listen}:${ports.agentService}`,
      'var-base-path': `${layout.state}/agent`,
      'ipc-base-path': `${layout.sockets}/agent`,
      ...pluginsOf(request.accelerator),
    },
    container: {
      'bind-host': listen,
      'advertised-host': request.publicAddress,
      'scratch-root': `${layout.root}/scratches`,
    },
    resource: { 'reserved-cpu': 0, 'reserved-mem': '512M' },
    logging: logging(layout, 'agent'),
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
      },
    },
    volume: { volume1: { backend: 'vfs', path: layout.volume } },
    logging: logging(layout, 'storage-proxy'),
    ...otel(request),
  };
}

function webToml(request: InstallRequest, layout: Layout): Table {
  const { ports, endpointProtocol } = request;
  return {
    service: {
      ip: listenAddress(request),
      port: ports.web,
      ...(endpointProtocol === null ? {} : { 'force-endpoint-protocol': endpointProtocol }),
    },
    security: { 'cookie-secure': false },
    api: { endpoint: `http://127.0.0.1:${ports.manager}` },
    session: { redis: redisPlace(request) },
    logging: logging(layout, 'webserver'),
    ...otel(request),
  };
}

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
    ['agent.toml', agentToml(request, layout)],
    ['storage-proxy.toml', storageToml(request, layout, secrets)],
    ['webserver.conf', webToml(request, layout)],
    ...appProxyFiles(request, secrets, namespaceOf(request)).map(
      ([name, table]): [string, Table] => [
        name,
        { ...table, logging: logging(layout, name.replace(/\.toml$/, '')) },
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
        },
      },
      exposed_volume_info: 'percentage',
    },
  };
}
