/** What sees into a cluster, beside the half stack: which programs, their ports, files and first answers. */
import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import alertmanagerFile from '../../../halfstack/observability/alertmanager.yaml' with {
  type: 'text',
};
import alertsFile from '../../../halfstack/observability/alerts.yaml' with { type: 'text' };
import clusterBoard from '../../../halfstack/observability/grafana/dashboards/cluster.json' with {
  type: 'json',
};
import logsBoard from '../../../halfstack/observability/grafana/dashboards/logs-and-traces.json' with {
  type: 'json',
};
import nodesBoard from '../../../halfstack/observability/grafana/dashboards/nodes.json' with {
  type: 'json',
};
import serversBoard from '../../../halfstack/observability/grafana/dashboards/servers.json' with {
  type: 'json',
};
import appsBoard from '../../../halfstack/observability/grafana/dashboards/storage-and-apps.json' with {
  type: 'json',
};
import boardsFile from '../../../halfstack/observability/grafana/provisioning/dashboards/dashboards.yaml' with {
  type: 'text',
};
import sourcesFile from '../../../halfstack/observability/grafana/provisioning/datasources/datasources.yaml' with {
  type: 'text',
};
import lokiFile from '../../../halfstack/observability/loki.yaml' with { type: 'text' };
import collectorFile from '../../../halfstack/observability/otel-collector.yaml' with {
  type: 'text',
};
import prometheusFile from '../../../halfstack/observability/prometheus.yaml' with { type: 'text' };
import scraperFile from '../../../halfstack/observability/scraper.yaml' with { type: 'text' };
import tempoFile from '../../../halfstack/observability/tempo.yaml' with { type: 'text' };
import composeFile from '../../../halfstack/observability.yaml' with { type: 'text' };
import { findInfo, type Layout, type Secrets, writeOwnFile } from '../layout.ts';
import { type InstallRequest, otelEndpointOf, type Ports, type Watch } from '../request.ts';
import type { Check } from '../step.ts';
import { portCheck, warning } from './checks.ts';

export const watchFilePath = (layout: Layout): string =>
  join(layout.halfstack, 'observability.yaml');
/** The operator's: written once. */
export const alertmanagerPath = (layout: Layout): string =>
  join(layout.config, 'alertmanager.yaml');
const scraperPath = (layout: Layout): string => join(layout.halfstack, 'scraper.yaml');
/** Prometheus reads all files in it: nodes that join may be added in others. */
const targetsFolder = (layout: Layout): string => join(layout.config, 'prometheus-targets');
export const targetsPath = (layout: Layout): string =>
  join(targetsFolder(layout), 'backendai.json');

const service = v.object({ image: v.string(), profiles: v.array(v.string()) });
const { services: SERVICES } = v.parse(
  v.object({ services: v.record(v.string(), service) }),
  Bun.YAML.parse(composeFile),
);

export const wantedServices = (watch: Watch): string[] =>
  Object.entries(SERVICES).flatMap(([name, { profiles }]) =>
    profiles.includes(watch) ? [name] : [],
  );

export const allServices = (): string[] => Object.keys(SERVICES);

/** Services that are not wanted, and may run from before. */
export const unwantedServices = (watch: Watch): string[] => {
  const wanted = wantedServices(watch);
  return allServices().filter((name) => !wanted.includes(name));
};

interface Watcher {
  readonly title: string;
  readonly port: keyof Ports;
  readonly flag: string;
  readonly isTelemetry: boolean;
  /** What answers to HTTP there. */
  readonly speaksHttp: boolean;
}

const WATCHERS: readonly Watcher[] = [
  ['collector (gRPC)', 'otlpGrpc', '--otlp-grpc-port', true, false] as const,
  ['collector', 'otlpHttp', '--otlp-http-port', true, true] as const,
  ['Loki', 'loki', '--loki-port', true, true] as const,
  ['Tempo', 'tempo', '--tempo-port', true, true] as const,
  ['Prometheus', 'prometheus', '--prometheus-port', false, true] as const,
  ['scraper', 'scraper', '--scraper-port', false, true] as const,
  ['Alertmanager', 'alertmanager', '--alertmanager-port', false, true] as const,
  ['Grafana', 'grafana', '--grafana-port', false, true] as const,
].map(([title, port, flag, isTelemetry, speaksHttp]) => ({
  ...{ title, port, flag, isTelemetry, speaksHttp },
}));

const watchersOf = (watch: Watch): readonly Watcher[] =>
  watch === 'nothing'
    ? []
    : WATCHERS.filter(({ isTelemetry }) => isTelemetry || watch === 'observability');

/** Where each of those that speak HTTP answers. */
export const watcherUrls = ({ watch, ports }: InstallRequest): { title: string; url: string }[] =>
  watchersOf(watch)
    .filter(({ speaksHttp }) => speaksHttp)
    .map(({ title, port }) => ({ title, url: `http://127.0.0.1:${ports[port]}/` }));

export const WATCH_TITLES: Readonly<Record<Watch, string>> = {
  nothing: 'nothing',
  telemetry: 'the collector, Loki and Tempo',
  observability: 'Prometheus, Alertmanager, Grafana, the collector, Loki, Tempo and exporters',
};

/** Which ports are needed; those that the installation has already are its own. */
export function watchChecks(request: InstallRequest, layout: Layout): Check[] {
  const before = findInfo(layout);
  const had = watchersOf(before?.watch?.profile ?? 'nothing').map(
    ({ port }) => before?.ports[port],
  );
  return watchersOf(request.watch).map(({ title, port: name, flag }) => {
    const port = request.ports[name];
    const check = portCheck(port, `${title} of compose`, flag, () => had.includes(port));
    return warning(check, request.isWatchOptional);
  });
}

/** What the plan says of it before anything is done. */
export function watchSummary({ watch, isWatchOptional }: InstallRequest): string[] {
  if (watch === 'nothing') return [];
  const also = `Compose pulls and starts ${WATCH_TITLES[watch]}, too`;
  return [isWatchOptional ? `${also}, or goes on without where that fails.` : `${also}.`];
}

/** What that is in full, for those who have room for it. */
export function watchDetails({ watch, ports }: InstallRequest): string[] {
  if (watch === 'nothing') return [];
  const images = [...new Set(wantedServices(watch).map((name) => SERVICES[name]?.image ?? ''))];
  const places = watchersOf(watch).map(({ title, port }) => `${title} ${ports[port]}`);
  return [
    `Ports of this machine: ${places.join(', ')}.`,
    `Images that are not here are pulled: ${images.join(', ')}.`,
  ];
}

/** Containers of whatever user read it, whatever the umask is. */
function writeShared(path: string, text: string): void {
  writeOwnFile(path, text, 0o644);
  chmodSync(path, 0o644);
  chmodSync(dirname(path), 0o755);
}

/** Paths and contents of what the services mount. */
function watchFiles({ ports }: InstallRequest, layout: Layout): [string, string][] {
  const boards = 'grafana/dashboards';
  const board = (content: object) => `${JSON.stringify(content, null, 2)}\n`;
  const files: Record<string, string> = {
    'alerts.yaml': alertsFile,
    'loki.yaml': lokiFile,
    'otel-collector.yaml': collectorFile,
    'prometheus.yaml': prometheusFile,
    'tempo.yaml': tempoFile,
    'grafana/provisioning/dashboards/dashboards.yaml': boardsFile,
    'grafana/provisioning/datasources/datasources.yaml': sourcesFile,
    [`${boards}/cluster.json`]: board(clusterBoard),
    [`${boards}/logs-and-traces.json`]: board(logsBoard),
    [`${boards}/nodes.json`]: board(nodesBoard),
    [`${boards}/servers.json`]: board(serversBoard),
    [`${boards}/storage-and-apps.json`]: board(appsBoard),
  };
  const usual = 'http://127.0.0.1:9090/';
  const scraper = scraperFile.replace(usual, `http://127.0.0.1:${ports.prometheus}/`);
  return [
    ...Object.entries(files).map(([name, text]): [string, string] => [
      join(layout.halfstack, 'observability', name),
      text,
    ]),
    [scraperPath(layout), scraper],
    [watchFilePath(layout), composeFile],
  ];
}

/** Whether all is there as it would be written. */
export const areWatchFilesWritten = (request: InstallRequest, layout: Layout): boolean =>
  watchFiles(request, layout).every(
    ([path, text]) => existsSync(path) && readFileSync(path, 'utf8') === text,
  );

/** Writes what the services mount; nothing for a request that starts none. */
export function writeWatchFiles(request: InstallRequest, layout: Layout): void {
  if (request.watch === 'nothing') return;
  if (!existsSync(alertmanagerPath(layout))) {
    writeOwnFile(alertmanagerPath(layout), alertmanagerFile);
  }
  for (const [path, text] of watchFiles(request, layout)) writeShared(path, text);
  chmodSync(join(layout.halfstack, 'observability/grafana/provisioning'), 0o755);
}

/** Says where the figures of this machine's components are, to a Prometheus on this machine. */
export function writeTargets(request: InstallRequest, layout: Layout): void {
  const { ports, appProxy, sftpAgent, watch } = request;
  const jobs: [string, readonly number[]][] = [
    ['manager', [ports.managerInternal]],
    ['agent', [ports.agentService, ...(sftpAgent ? [ports.sftpAgentService] : [])]],
    ['storage-proxy', [ports.storageInternal]],
    ['webserver', watch === 'observability' ? [ports.webInternal] : []],
    ['appproxy-coordinator', appProxy === null ? [] : [ports.appProxy]],
    [
      'appproxy-worker',
      appProxy === null ? [] : [ports.appProxyHttp, ports.appProxyTcp, ports.appProxyH2],
    ],
  ];
  const groups = jobs
    .filter(([, of]) => of.length > 0)
    .map(([job, of]) => ({
      targets: of.map((port) => `127.0.0.1:${port}`),
      labels: { job: `backendai-${job}` },
    }));
  mkdirSync(targetsFolder(layout), { recursive: true });
  writeShared(targetsPath(layout), `${JSON.stringify(groups, null, 2)}\n`);
}

/** How this machine's root can be mounted for the exporter of its figures. */
function rootMount(): string {
  const table = existsSync('/proc/self/mountinfo')
    ? readFileSync('/proc/self/mountinfo', 'utf8')
    : '';
  const root = table.split('\n').find((line) => line.split(' ')[4] === '/') ?? '';
  // What is mounted later is seen only where systemd, or somebody, made the root shared.
  return root.includes(' shared:') ? '/:/host:ro,rslave' : '/:/host:ro';
}

/** What the compose file asks the environment for. */
export function watchEnvironment(
  { ports }: InstallRequest,
  layout: Layout,
  secrets: Secrets,
): Record<string, string | number> {
  return {
    BACKEND_GRAFANA_PASSWORD: secrets.grafana,
    BACKEND_LOGS: layout.logs,
    BACKEND_TARGETS: targetsFolder(layout),
    BACKEND_SCRAPER: scraperPath(layout),
    BACKEND_ALERTMANAGER: alertmanagerPath(layout),
    BACKEND_ROOT_MOUNT: rootMount(),
    BACKEND_OTLP_GRPC_PORT: ports.otlpGrpc,
    BACKEND_OTLP_HTTP_PORT: ports.otlpHttp,
    BACKEND_LOKI_PORT: ports.loki,
    BACKEND_TEMPO_PORT: ports.tempo,
    BACKEND_PROMETHEUS_PORT: ports.prometheus,
    BACKEND_SCRAPER_PORT: ports.scraper,
    BACKEND_ALERTMANAGER_PORT: ports.alertmanager,
    BACKEND_GRAFANA_PORT: ports.grafana,
  };
}

/** The report's lines; none where nothing was started. */
export function watchReport(
  request: InstallRequest,
  layout: Layout,
  secrets: () => Secrets,
): string[] {
  const { watch, ports } = request;
  if (watch === 'nothing') return [];
  const at = (title: string, port: number) => `${title.padEnd(14)}http://127.0.0.1:${port}`;
  return [
    ...(watch === 'observability'
      ? [
          `${at('Grafana', ports.grafana)}  user backend, password ${secrets().grafana}`,
          at('Prometheus', ports.prometheus),
          at('Alertmanager', ports.alertmanager),
        ]
      : []),
    at('Loki', ports.loki),
    at('Tempo', ports.tempo),
    `Traces go to  ${otelEndpointOf(request)}`,
    `Logs are read from ${layout.logs}.`,
    ...(watch === 'observability'
      ? [
          `Whom alerts are told: ${alertmanagerPath(layout)}, yours to edit.`,
          `Nodes that join are watched when a file in ${dirname(targetsPath(layout))} names them.`,
        ]
      : []),
  ];
}
