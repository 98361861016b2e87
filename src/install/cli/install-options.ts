/** The options of `install`, and which texts they take. */
import { hostname } from 'node:os';
import { isAddressBlock } from '../../common/address-blocks.ts';
import {
  choice,
  flag,
  integer,
  option,
  optionWithDefault,
  UsageError,
} from '../../common/command.ts';
import { parseManagerAddress } from '../../common/protocol/join.ts';
import { ACCELERATORS, HALFSTACKS, MAINTENANCE, MODES } from '../request.ts';
import { harborOptions } from './harbor-options.ts';
import { upstreamOptions } from './upstream-options.ts';

const anyCase =
  <T extends string>(choices: readonly T[]) =>
  (text: string): T => {
    const found = choices.find((candidate) => candidate === text.toLowerCase());
    if (found !== undefined) return found;
    throw new UsageError(`'${text}' is not one of ${choices.map((c) => `'${c}'`).join(', ')}.`);
  };

const address = (text: string): string => {
  const port = Number(/^(?:\[[0-9a-f:]+\]|[^:[\]]+):(\d{1,5})$/i.exec(text)?.[1]);
  if (port > 0 && port < 65_536) return text;
  throw new UsageError(`'${text}' is not of the form HOST:PORT.`);
};

/** Several, separated by commas. */
const addresses = (text: string): string =>
  text
    .split(',')
    .map((part) => address(part.trim()))
    .join(',');

const port = integer({ min: 1, max: 65_535 });
const portOption = (name: string, what: string) => option([name], 'PORT', what, port);

const label = (text: string): string => {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(text)) return text;
  throw new UsageError(`'${text}' is not a part of a host name: use letters, digits and -.`);
};

const domain = (text: string): string => {
  if (/^[a-z0-9-]+(\.[a-z0-9-]+)*$/i.test(text)) return text;
  throw new UsageError(`'${text}' is not a domain such as example.com.`);
};

export const options = {
  mode: option(
    ['--mode'],
    `[${MODES.join('|')}]`,
    'What to install: a cluster of this machine, one for development from this checkout, one of separate components, or a node of a cluster that runs elsewhere; other settings for one that is there; or its upkeep.',
    anyCase(MODES),
  ),
  nonInteractive: flag(['--non-interactive'], 'Ask nothing: do what the options say.'),
  headless: flag(['--headless'], 'Plain lines instead of a screen; also what a pipe gets.'),
  dryRun: flag(['--dry-run'], 'Show what would be done, and do nothing.'),
  verbose: flag(['--verbose'], 'Show what the steps write, too.'),
  targetPath: option(
    ['--target-path'],
    'DIR',
    'Folder of the installation. [default: ~/backendai; .dev/<env-id> of the checkout; for standalone ~/.local, or /usr/local for root]',
  ),
  envId: optionWithDefault(
    ['--env-id'],
    'ID',
    'Tells installations on one machine apart.',
    'default',
    (text) => {
      if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(text)) return text;
      throw new UsageError(`'${text}' is not an environment id: use letters, digits, - _ and .`);
    },
  ),
  publicAddress: option(
    ['--public-facing-address'],
    'HOST',
    'Address that clients use; unless it is a loopback one, servers listen on all addresses. [default: 127.0.0.1]',
  ),
  agentBackend: option(
    ['--agent-backend'],
    '[process|docker|dummy]',
    'How sessions run. [default: process]',
    choice(['process', 'docker', 'dummy']),
  ),
  accelerator: option(
    ['--accelerator'],
    `[${ACCELERATORS.join('|')}]`,
    'With --mode develop, package or configure: what the agent offers; _mock: devices that are only made up. [default: real GPUs that are found]',
    anyCase(ACCELERATORS),
  ),
  halfstack: optionWithDefault(
    ['--halfstack'],
    '[auto|compose|existing]',
    'Where PostgreSQL, Redis and etcd come from; auto: existing ones when addresses are given.',
    'auto',
    choice(HALFSTACKS),
  ),
  postgresAddr: option(
    ['--postgres-addr'],
    'HOST:PORT[,…]',
    'An existing PostgreSQL; with its standbys, in any order.',
    addresses,
  ),
  redisAddr: option(['--redis-addr'], 'HOST:PORT', 'An existing Redis.', address),
  redisSentinel: option(
    ['--redis-sentinel'],
    'HOST:PORT[,…]',
    'Sentinels that watch an existing Redis, instead of its address.',
    addresses,
  ),
  redisService: optionWithDefault(
    ['--redis-service-name'],
    'NAME',
    'What the Sentinels watch it as.',
    'mymaster',
    String,
  ),
  etcdAddr: option(
    ['--etcd-addr'],
    'HOST:PORT[,…]',
    'An existing etcd; several members of one cluster.',
    addresses,
  ),
  otelEndpoint: option(
    ['--otel-endpoint'],
    'URL',
    'Collector that gets traces (OTLP), such as http://127.0.0.1:4318. [default: the one of --enable-telemetry, if any]',
    (text) => {
      if (/^https?:$/.test(URL.parse(text)?.protocol ?? '')) return text;
      throw new UsageError(`'${text}' is not an address such as http://127.0.0.1:4318.`);
    },
  ),
  endpointProtocol: option(
    ['--endpoint-protocol'],
    '[http|https]',
    'How browsers reach the web server behind a proxy. [default: as their requests say]',
    choice(['http', 'https']),
  ),
  enableTelemetry: flag(
    ['--enable-telemetry'],
    'With --mode develop or package, and compose: start what takes logs and traces (OpenTelemetry collector, Loki, Tempo). develop does so by default, and goes on without where that fails.',
  ),
  disableTelemetry: flag(['--disable-telemetry'], 'Start none of them.'),
  enableObservability: flag(
    ['--enable-observability'],
    'Start Prometheus, Alertmanager, Grafana and exporters, too.',
  ),
  withAppProxy: flag(
    ['--with-app-proxy'],
    "With --mode develop, package or configure: have an app proxy, too; so does each option of it. Sessions' apps are opened there.",
  ),
  withoutAppProxy: flag(
    ['--without-app-proxy'],
    'With --mode configure: remove the app proxy. Its database stays.',
  ),
  undo: flag(
    ['--undo'],
    'With --mode configure: go back to the settings of before the last change.',
  ),
  frontendMode: option(
    // The second of each is upstream's, of install-dev.sh.
    ['--frontend-mode', '--app-proxy-impl'],
    '[port|wildcard]',
    'Of the app proxy: each app has a port, or a name below .P.app.<base domain>. [default: port]',
    choice(['port', 'wildcard']),
  ),
  fqdnPrefix: option(
    ['--fqdn-prefix'],
    'P',
    'The app proxy is reached as P.apphub.<base domain>, its apps below P.app.<base domain>, folders as P.public.<storage domain>.',
    label,
  ),
  appBaseDomain: option(
    ['--app-base-domain'],
    'DOMAIN',
    'What --fqdn-prefix goes before. [default: backend.ai]',
    domain,
  ),
  storageBaseDomain: option(
    ['--storage-base-domain'],
    'DOMAIN',
    'What --fqdn-prefix goes before, of folders. [default: isla-sorna.backend.ai]',
    domain,
  ),
  tlsAdvertised: flag(
    ['--tls-advertised'],
    'Browsers reach the app proxy through something that speaks TLS for it.',
  ),
  advertisedPort: option(
    ['--advertised-port'],
    'PORT',
    'At which port that is, and apps that have names. [default: 443]',
    port,
  ),
  metricAccess: option(
    ['--metric-access-cidr'],
    'CIDR[,…]',
    'Who may read the figures of the app proxy. [default: this machine]',
    (text) => {
      const blocks = text.split(',').map((block) => block.trim());
      if (blocks.every(isAddressBlock)) return blocks.join(',');
      throw new UsageError(`'${text}' is not an address or block such as 10.0.0.0/8.`);
    },
  ),
  withSftpAgent: flag(
    ['--with-sftp-agent'],
    'With --mode develop or package: a second agent for copying files over SFTP, in the resource group upload.',
  ),
  ...harborOptions,
  ...upstreamOptions,
  wildcardBinding: flag(
    ['--use-wildcard-binding'],
    'Servers listen on all addresses, also when the public address is a loopback one.',
  ),
  showGuide: flag(['--show-guide'], 'Only show the report of what is installed.'),
  etcdNamespace: option(
    ['--etcd-namespace'],
    'NAME',
    'With --action move: under which name etcd keeps the settings. [default: local, or the environment id]',
  ),
  dbName: optionWithDefault(['--db-name'], 'NAME', 'Database.', 'backend', String),
  dbUser: optionWithDefault(['--db-user'], 'NAME', 'Role of the database.', 'postgres', String),
  postgresPort: portOption('--postgres-port', 'Port of the PostgreSQL that compose starts.'),
  redisPort: portOption('--redis-port', 'Port of the Redis that compose starts.'),
  etcdPort: portOption('--etcd-port', 'Port of the etcd that compose starts.'),
  managerPort: portOption('--manager-port', 'Port of the API.'),
  managerInternalPort: portOption('--manager-internal-port', 'Port of the manager for agents.'),
  webPort: portOption('--webserver-port', 'Port of the web server.'),
  agentPort: portOption('--agent-rpc-port', 'Port of the agent for managers.'),
  agentServicePort: portOption('--agent-service-port', 'Port of the health of the agent.'),
  sftpAgentPort: portOption('--sftp-agent-rpc-port', 'Port of the SFTP agent for managers.'),
  sftpAgentServicePort: portOption(
    '--sftp-agent-service-port',
    'Port of the health of the SFTP agent.',
  ),
  storageClientPort: portOption('--storage-client-port', 'Port of the storage proxy for clients.'),
  storageManagerPort: portOption(
    '--storage-manager-port',
    'Port of the storage proxy for managers.',
  ),
  storageInternalPort: portOption(
    '--storage-internal-port',
    'Port of the figures of the storage proxy.',
  ),
  webInternalPort: portOption(
    '--webserver-internal-port',
    'With --enable-observability: port of the figures of the web server.',
  ),
  otlpGrpcPort: portOption('--otlp-grpc-port', 'Port of the collector for OTLP with gRPC.'),
  otlpHttpPort: portOption('--otlp-http-port', 'Port of the collector for OTLP with HTTP.'),
  lokiPort: portOption('--loki-port', 'Port of Loki.'),
  tempoPort: portOption('--tempo-port', 'Port of Tempo.'),
  prometheusPort: portOption('--prometheus-port', 'Port of Prometheus.'),
  scraperPort: portOption(
    '--scraper-port',
    "Port of the Prometheus that looks at this machine's components.",
  ),
  alertmanagerPort: portOption('--alertmanager-port', 'Port of Alertmanager.'),
  grafanaPort: portOption('--grafana-port', 'Port of Grafana.'),
  appProxyPort: option(
    ['--app-proxy-port', '--app-proxy-coordinator-port'],
    'PORT',
    'Port of the app proxy.',
    port,
  ),
  appProxyHttpPort: option(
    ['--app-proxy-http-port', '--app-proxy-worker-port'],
    'PORT',
    'Port of its worker for HTTP.',
    port,
  ),
  appProxyTcpPort: portOption('--app-proxy-tcp-port', 'Port of its worker for TCP.'),
  appProxyH2Port: portOption('--app-proxy-h2-port', 'Port of its worker for HTTP/2.'),
  appProxyWildcardPort: portOption(
    '--app-proxy-wildcard-port',
    'With --frontend-mode wildcard: where apps listen.',
  ),
  manager: option(
    ['--manager'],
    'HOST[:PORT]',
    "With --mode join: the manager's internal API.",
    (text) => {
      if (parseManagerAddress(text) !== null) return text;
      throw new UsageError(`'${text}' is not of the form HOST:PORT.`);
    },
  ),
  token: option(
    ['--token'],
    'TOKEN',
    'With --mode join: what `mgr token create` printed. BACKEND_JOIN_TOKEN hides it from other users.',
  ),
  agentId: optionWithDefault(
    ['--agent-id'],
    'ID',
    'With --mode join: name of the node.',
    `i-${hostname()}`,
    String,
  ),
  advertise: option(
    ['--advertise'],
    'HOST',
    'With --mode join: address by which this machine is reached. [default: found at every start]',
  ),
  noStart: flag(['--no-start'], 'Install only; start nothing.'),
  action: optionWithDefault(
    ['--action'],
    `[${MAINTENANCE.join('|')}]`,
    'With --mode maintain: what to do.',
    'repair',
    choice(MAINTENANCE),
  ),
  purge: flag(
    ['--purge'],
    'With --action uninstall: delete all data, too. With move: delete the data of before at the end.',
  ),
};
