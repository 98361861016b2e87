/** An app proxy for tests: a coordinator on a database of its own, and workers on free ports. */

import type { TCPSocketListener } from 'bun';
import { type Coordinator, startCoordinator } from '../appproxy/coordinator/main.ts';
import { migrateCoordinator } from '../appproxy/coordinator/schema.ts';
import type { CoordinatorSettings } from '../appproxy/coordinator/settings.ts';
import { Permits } from '../appproxy/shared/permits.ts';
import { type CircuitInfo, TOKEN_HEADER } from '../appproxy/shared/protocol.ts';
import { ProxyTokens } from '../appproxy/shared/tokens.ts';
import { Access } from '../appproxy/worker/access.ts';
import { Counters } from '../appproxy/worker/counters.ts';
import { Frontend } from '../appproxy/worker/frontend.ts';
import { type ProxyWorker, startWorker } from '../appproxy/worker/main.ts';
import type { WorkerSettings } from '../appproxy/worker/settings.ts';
import { type Clock, systemClock } from '../common/clock.ts';
import type { Logger } from '../common/logger.ts';
import { systemRandom } from '../common/random.ts';
import { noTracer, type Tracer } from '../common/tracing.ts';
import { createMemoryLiveStore } from '../stores/live/memory.ts';
import { silentLogger, type TestDatabase, testDatabase } from './postgres.ts';
import { freePort } from './services.ts';

/** The tracer of a part. */
type TracerOf = (service: 'coordinator' | 'worker') => Tracer;

export const PROXY_SECRETS = { api: 'api-secret', jwt: 'jwt-secret', permit: 'permit-secret' };
const HOST = '127.0.0.1';

/** Consecutive free ports. */
export async function freePorts(count: number): Promise<[number, number]> {
  for (;;) {
    const first = await freePort();
    const probes = Array.from({ length: count }, (_none, index) => first + index);
    const servers: TCPSocketListener[] = [];
    try {
      for (const port of probes) {
        servers.push(Bun.listen({ hostname: HOST, port, exclusive: true, socket: { data() {} } }));
      }
      return [first, first + count - 1];
    } catch {
      // One of them is taken: look elsewhere.
    } finally {
      for (const server of servers) server.stop(true);
    }
  }
}

export const coordinatorSettings = (
  port: number,
  more: Partial<CoordinatorSettings> = {},
): CoordinatorSettings => ({
  apiSecret: PROXY_SECRETS.api,
  jwtSecret: PROXY_SECRETS.jwt,
  advertisedUrl: `http://${HOST}:${port}`,
  allowsUnauthorizedConfigure: false,
  workerTimeoutMs: 30_000,
  unusedCircuitMs: 3_600_000,
  metricsFrom: ['127.0.0.1/32'],
  ...more,
});

export const workerSettings = (
  coordinator: string,
  ports: readonly [number, number],
  more: Partial<WorkerSettings> = {},
): WorkerSettings => ({
  authority: 'worker-1',
  coordinator,
  verifiesCoordinator: true,
  apiSecret: PROXY_SECRETS.api,
  jwtSecret: PROXY_SECRETS.jwt,
  permits: { secret: PROXY_SECRETS.permit, digest: 'sha256' },
  frontend: {
    mode: 'port',
    bindHost: HOST,
    advertisedHost: HOST,
    bindPorts: ports,
    advertisedPorts: ports,
  },
  protocol: 'http',
  acceptedTraffics: ['interactive', 'inference'],
  appFilters: [],
  filteredAppsOnly: false,
  apiListen: { hostname: HOST, port: 0 },
  apiAdvertised: { host: HOST, port: 0 },
  tls: null,
  tlsAdvertised: false,
  heartbeatMs: 200,
  trustedProxies: [],
  metricsFrom: ['127.0.0.1/32'],
  ...more,
});

/** What a session looks like to the coordinator. */
export interface TestSession {
  readonly id: string;
  readonly user: string;
}

export const testSession = (): TestSession => ({
  id: systemRandom.uuid(),
  user: systemRandom.uuid(),
});

export interface OpenedApp {
  /** The worker's address that sets a browser up. */
  readonly redirectUrl: string;
  readonly isReused: boolean;
  /** Origin of the application, for HTTP. */
  readonly origin: string;
  /** `name=value`, for HTTP. */
  readonly cookie: string;
  /** `[host, port]`, for TCP. */
  readonly gateway: readonly [string, number] | null;
}

export class TestProxy {
  readonly db: TestDatabase;
  readonly port: number;
  readonly log: Logger;
  readonly #workers: ProxyWorker[] = [];
  #coordinator: Coordinator | null = null;
  readonly #settings: Partial<CoordinatorSettings>;
  readonly #clock: Clock;
  readonly #tracerOf: TracerOf;

  private constructor(
    db: TestDatabase,
    port: number,
    settings: Partial<CoordinatorSettings>,
    clock: Clock,
    tracerOf: TracerOf,
  ) {
    this.db = db;
    this.port = port;
    this.#settings = settings;
    this.#clock = clock;
    this.#tracerOf = tracerOf;
    this.log = silentLogger;
  }

  /** @param clock of the coordinator. */
  static async start(
    settings: Partial<CoordinatorSettings> = {},
    clock: Clock = systemClock,
    tracerOf: TracerOf = () => noTracer,
  ): Promise<TestProxy> {
    const db = await testDatabase({ migrated: false });
    await migrateCoordinator(db.sql);
    const proxy = new TestProxy(db, await freePort(), settings, clock, tracerOf);
    await proxy.startCoordinator();
    return proxy;
  }

  get url(): string {
    return `http://${HOST}:${this.port}`;
  }

  async startCoordinator(): Promise<void> {
    this.#coordinator = await startCoordinator({
      settings: coordinatorSettings(this.port, this.#settings),
      sql: this.db.sql,
      live: createMemoryLiveStore({ clock: this.#clock }),
      listen: { hostname: HOST, port: this.port, tls: null },
      clock: this.#clock,
      random: systemRandom,
      log: this.log,
      tracer: this.#tracerOf('coordinator'),
    });
  }

  async stopCoordinator(): Promise<void> {
    await this.#coordinator?.stop();
    this.#coordinator = null;
  }

  async addWorker(more: Partial<WorkerSettings> = {}, ports = 10): Promise<ProxyWorker> {
    const settings = workerSettings(this.url, await freePorts(ports), more);
    const worker = await startWorker({
      settings,
      clock: systemClock,
      random: systemRandom,
      log: this.log,
      tracer: this.#tracerOf('worker'),
    });
    this.#workers.push(worker);
    await worker.ready();
    return worker;
  }

  /** A call of the control API. */
  async call(method: string, path: string, body?: unknown): Promise<Response> {
    return await fetch(new URL(path, this.url), {
      method,
      headers: { [TOKEN_HEADER]: PROXY_SECRETS.api },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** What the manager does when a service starts. @returns the token. */
  async configure(session: TestSession, place: { host: string; port: number }): Promise<string> {
    const response = await this.call('POST', '/v2/conf', {
      login_session_token: null,
      kernel_host: place.host,
      kernel_port: place.port,
      session: {
        id: session.id,
        user_uuid: session.user,
        project_id: systemRandom.uuid(),
        access_key: 'AKIATEST',
        domain_name: 'default',
      },
    });
    return String(Object(await response.json()).token);
  }

  /** What a WebUI does with a token: add, then auth. */
  async ask(
    token: string,
    session: TestSession,
    query: Readonly<Record<string, string>>,
  ): Promise<{ status: number; document: Record<string, unknown> }> {
    const search = new URLSearchParams({ app: 'app', protocol: 'http', ...query });
    const added = await fetch(`${this.url}/v2/proxy/${token}/${session.id}/add?${search}`);
    const first: Record<string, unknown> = Object(await added.json());
    if (!added.ok) return { status: added.status, document: first };
    const response = await fetch(String(first.url), { headers: { Accept: 'application/json' } });
    return { status: response.status, document: Object(await response.json()) };
  }

  /** The whole way from a session's service to an opened application. */
  async open(
    session: TestSession,
    port: number,
    query: Readonly<Record<string, string>> = {},
  ): Promise<OpenedApp> {
    const token = await this.configure(session, { host: HOST, port });
    const { status, document } = await this.ask(token, session, query);
    if (status !== 200) throw new Error(`the app was not opened: ${JSON.stringify(document)}`);
    const redirectUrl = String(document.redirect_url);
    const setup = await fetch(redirectUrl, { redirect: 'manual' });
    const isReused = document.reuse === true;
    if (setup.status === 302) {
      const { origin } = new URL(setup.headers.get('Location') ?? '');
      const [cookie = ''] = (setup.headers.get('Set-Cookie') ?? '').split(';');
      return { redirectUrl, isReused, origin, cookie, gateway: null };
    }
    const { redirectURI } = Object(await setup.json());
    const gateway = new URL(new URL(redirectURI).searchParams.get('gateway') ?? '');
    const place = [gateway.hostname, Number(gateway.port)] as const;
    return { redirectUrl, isReused, origin: '', cookie: '', gateway: place };
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) await worker.stop();
    await this.stopCoordinator();
    await this.db.drop();
  }
}

/** A worker's front without coordinator: one circuit that leads to `appPort`. */
export function testFrontend(options: {
  readonly appPort: number;
  readonly ports: readonly [number, number];
  readonly clock?: Clock;
  readonly circuit?: Partial<CircuitInfo>;
  readonly settings?: Partial<WorkerSettings>;
}): { frontend: Frontend; counters: Counters; info: CircuitInfo; permits: Permits } {
  const { appPort, ports, clock = systemClock } = options;
  const settings = workerSettings('http://127.0.0.1:1', ports, options.settings);
  const permits = new Permits(settings.permits, clock);
  const access = new Access(permits, new ProxyTokens(settings.jwtSecret, clock), clock);
  const counters = new Counters();
  const frontend = Frontend.start({
    ...{ settings, access, counters, clock, random: systemRandom, log: silentLogger },
    tracer: noTracer,
  });
  const [id, session] = [systemRandom.uuid(), systemRandom.uuid()];
  const info: CircuitInfo = {
    ...{ id, app: 'app', protocol: 'http', worker: systemRandom.uuid(), app_mode: 'interactive' },
    ...{ frontend_mode: 'port', envs: {}, arguments: null, open_to_public: true },
    ...{ allowed_client_ips: null, port: ports[0], subdomain: null, user_id: systemRandom.uuid() },
    ...{ endpoint_id: null, runtime_variant: null, session_ids: [session] },
    route_info: [
      {
        ...{ route_id: null, session_id: session, session_name: null, kernel_host: HOST },
        ...{ kernel_port: appPort, protocol: 'http', traffic_ratio: 1 },
      },
    ],
    ...{ created_at: '2026-01-01T00:00:00Z', updated_at: '2026-01-01T00:00:00Z' },
    ...options.circuit,
  };
  const failed = frontend.apply([info]);
  if (failed.length > 0) throw new Error(JSON.stringify(failed));
  return { frontend, counters, info, permits };
}
