/** A worker's own API: it sets browsers up for a circuit, and tells how it is. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { VERSION } from '../../common/version.ts';
import {
  type ApiReply,
  type ApiRoute,
  metricsRoute,
  openRoute,
  secretRoute,
} from '../shared/api-server.ts';
import { type Metric, metricsText } from '../shared/metrics.ts';
import { PERMIT_LIFETIME_SEC, type Permits, permitCookie } from '../shared/permits.ts';
import { API_VERSION, type CircuitInfo } from '../shared/protocol.ts';
import { type ProxyTokens, type SetupClaims, TokenError } from '../shared/tokens.ts';
import type { Counters } from './counters.ts';
import type { Frontend } from './frontend.ts';
import type { WorkerSettings } from './settings.ts';

export interface WorkerApiOptions {
  readonly settings: WorkerSettings;
  readonly frontend: Frontend;
  /** Whether the coordinator was there when it was last asked. */
  readonly isConnected: () => boolean;
  readonly counters: Counters;
  readonly tokens: ProxyTokens;
  readonly permits: Permits;
}

const anything = v.unknown();

/** What is to be taken for granted: the desktop program that WebUIs hand TCP applications to. */
const DESKTOP_GATEWAY = 'http://localhost:45678/start';

/** `host:port` of a circuit, as clients see it. */
function placeOf({ frontend, tls, tlsAdvertised }: WorkerSettings, circuit: CircuitInfo): string {
  if (frontend.mode === 'port') {
    const host = frontend.advertisedHost;
    return `${host.includes(':') ? `[${host}]` : host}:${circuit.port}`;
  }
  const usual = tls !== null || tlsAdvertised ? 443 : 80;
  const port = frontend.advertisedPort === usual ? '' : `:${frontend.advertisedPort}`;
  return `${circuit.subdomain}${frontend.domain}${port}`;
}

const isHttps = ({ tls, tlsAdvertised }: WorkerSettings): boolean => tls !== null || tlsAdvertised;

/** Where a browser goes: an address of the circuit, whatever the token's path says. */
function targetOf(settings: WorkerSettings, circuit: CircuitInfo, redirect: string): string {
  const path = redirect === '' || redirect.startsWith('/') ? redirect : `/${redirect}`;
  const origin = `${isHttps(settings) ? 'https' : 'http'}://${placeOf(settings, circuit)}`;
  const url = URL.parse(`${origin}${path}`);
  if (url !== null && url.origin === new URL(origin).origin) return url.href;
  throw new BackendError('InvalidAPIParameters', 'The path to go to is not valid.');
}

function letIn(options: WorkerApiOptions, circuit: CircuitInfo, redirect: string): Response {
  const { settings, permits } = options;
  const domain = settings.frontend.mode === 'wildcard' ? settings.frontend.domain : null;
  const cookie = [
    `${permitCookie(circuit)}=${permits.issue(circuit)}`,
    ...['Path=/', 'HttpOnly', 'SameSite=Lax', `Max-Age=${PERMIT_LIFETIME_SEC}`],
    ...(domain === null ? [] : [`Domain=${domain}`]),
    ...(isHttps(settings) ? ['Secure'] : []),
  ].join('; ');
  return new Response(null, {
    status: 302,
    headers: {
      Location: targetOf(settings, circuit, redirect),
      'Set-Cookie': cookie,
      'Cache-Control': 'no-store',
    },
  });
}

function tellGateway(
  settings: WorkerSettings,
  circuit: CircuitInfo,
  claims: SetupClaims,
  token: string,
): ApiReply {
  const query = new URLSearchParams({
    ...{ directTCP: 'true', auth: token, proto: 'tcp' },
    gateway: `tcp://${placeOf(settings, circuit)}`,
  });
  const uri = `${DESKTOP_GATEWAY}?${query}`;
  if (claims.redirect) return new Response(null, { status: 302, headers: { Location: uri } });
  return { json: { redirect: uri, redirectURI: uri } };
}

async function setUp(options: WorkerApiOptions, token: string): Promise<ApiReply> {
  let claims: SetupClaims;
  try {
    claims = await options.tokens.verifySetup(token);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    throw new BackendError(
      'InvalidCredentials',
      `E20008: ${error.message}. Open the app from its session again.`,
    );
  }
  const circuit = options.frontend.circuit(claims.circuit)?.info;
  if (circuit === undefined) {
    throw new BackendError(
      'ObjectNotFound',
      'E00002: No such circuit. Open the app from its session again.',
    );
  }
  if (circuit.app_mode === 'inference') {
    throw new BackendError('InvalidAPIParameters', 'E20011: Not supported for inference apps');
  }
  return circuit.protocol === 'tcp'
    ? tellGateway(options.settings, circuit, claims, token)
    : letIn(options, circuit, claims.redirect ?? '');
}

/** A metric of upstream's, with one value. */
const single = (name: string, type: Metric['type'], help: string, value: number): Metric => ({
  ...{ name: `appproxy_${name}`, type, help },
  values: [{ value }],
});

function metrics({ frontend, counters, settings }: WorkerApiOptions): string {
  const byProtocol = Map.groupBy(frontend.circuits(), ({ info }) => info.protocol);
  // No circuit is told of as 0, which is more than nothing.
  if (byProtocol.size === 0) byProtocol.set(settings.protocol, []);
  return metricsText([
    single('requests_received_http', 'counter', 'Requests let in', counters.requests),
    single('responses_sent_http', 'counter', 'Answers passed on', counters.answers),
    single('requests_refused_http', 'counter', 'Requests refused or failed', counters.refusals),
    single('pending_requests_http', 'gauge', 'Requests without an answer', counters.pending),
    single('connections_established_ws', 'counter', 'WebSockets opened', counters.webSocketsOpened),
    single('connections_closed_ws', 'counter', 'WebSockets ended', counters.webSocketsClosed),
    single('connection_total_traffics_ws', 'counter', 'Bytes, WebSockets', counters.webSocketBytes),
    single('connections_established_tcp', 'counter', 'TCP connections opened', counters.tcpOpened),
    single('connections_closed_tcp', 'counter', 'TCP connections ended', counters.tcpClosed),
    single('connection_total_traffics_tcp', 'counter', 'Bytes, TCP', counters.tcpBytes),
    single('open_connections', 'gauge', 'Connections of clients', frontend.openConnections),
    single('circuits_created', 'counter', 'Circuits taken up', counters.circuitsCreated),
    {
      name: 'appproxy_alive_circuits',
      type: 'gauge',
      help: 'Circuits served',
      values: [...byProtocol].map(([protocol, list]) => ({
        labels: { protocol },
        value: list.length,
      })),
    },
  ]);
}

export function workerRoutes(options: WorkerApiOptions): ApiRoute[] {
  const { settings, frontend, isConnected } = options;
  const version = async () => ({ json: { api_version: API_VERSION } });
  const health = () => ({
    status: isConnected() ? 'ok' : 'degraded',
    version: VERSION,
    component: 'appproxy-worker',
    connectivity: { coordinator: isConnected() ? 'ok' : 'unreachable' },
  });
  const ready = async () => ({ status: isConnected() ? 200 : 503, json: health() });
  const alive = async () => ({ json: { status: 'ok' } });
  return [
    openRoute('GET', '/', anything, version),
    openRoute('GET', '/status', anything, version),
    openRoute('GET', '/livez', anything, alive),
    openRoute('GET', '/readyz', anything, ready),
    openRoute('GET', '/health', anything, async () => ({ json: health() })),
    openRoute('GET', '/health/livez', anything, alive),
    openRoute('GET', '/health/readyz', anything, ready),
    secretRoute('GET', '/health/status', anything, async () => ({
      json: {
        worker_version: VERSION,
        appproxy_api_version: API_VERSION,
        authority: settings.authority,
        occupied_slots: frontend.circuits().length,
      },
    })),
    openRoute('GET', '/setup', v.object({ token: v.string() }), ({ token }) =>
      setUp(options, token),
    ),
    metricsRoute(settings.metricsFrom, async () => metrics(options)),
  ];
}
