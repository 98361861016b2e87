/** What the coordinator does: takes up workers, opens circuits for tokens, and closes them. */
import type { Sql } from 'postgres';
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import type { Random } from '../../common/random.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import {
  type CircuitInfo,
  type CircuitUse,
  type Protocol,
  type RouteInfo,
  transportOf,
  type WorkerRegistration,
} from '../shared/protocol.ts';
import type { ProxyTokens } from '../shared/tokens.ts';
import type { Changes } from './changes.ts';
import {
  type Address,
  circuitsOf,
  deleteCircuits,
  findReusable,
  insertCircuit,
  listCircuits,
  moveCircuits,
  type NewCircuit,
  setRoutes,
  takenPorts,
  versionOf,
} from './circuit-store.ts';
import { candidatesFor, choosePort, type Placement } from './place.ts';
import type { CoordinatorSettings } from './settings.ts';
import {
  deleteTokens,
  findToken,
  findWorker,
  insertToken,
  leaveWorker,
  listWorkers,
  saveWorker,
  type TokenRow,
  touchWorker,
  type WorkerRow,
} from './store.ts';

export interface CoordinatorContext {
  readonly settings: CoordinatorSettings;
  readonly sql: Sql;
  readonly live: LiveStore;
  readonly changes: Changes;
  readonly tokens: ProxyTokens;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** A token that a start of a service gave is good for so long. Milliseconds. */
export const TOKEN_LIFETIME_MS = 24 * 3_600_000;
/** How long a worker may take to serve a new circuit. Milliseconds. */
const APPLY_TIMEOUT_MS = 15_000;
const MAX_ATTEMPTS = 10;
/** Figures about use are forgotten after this time without any. Milliseconds. */
const USE_KEPT_MS = 7 * 24 * 3_600_000;

/** What a client asks for with a token. */
export interface CircuitRequest {
  readonly token: string;
  readonly sessionId: string;
  readonly app: string;
  readonly protocol: Protocol;
  readonly port: number | null;
  readonly subdomain: string | null;
  readonly envs: Readonly<Record<string, unknown>>;
  readonly args: string | null;
  readonly openToPublic: boolean;
  readonly allowedClientIps: string | null;
  readonly redirect: string;
  readonly isNew: boolean;
}

/** URL of a worker's own API, for browsers. */
function workerUrl(worker: WorkerRow): string {
  const scheme = worker.tls_listen || worker.tls_advertised ? 'https' : 'http';
  const host = worker.hostname.includes(':') ? `[${worker.hostname}]` : worker.hostname;
  return `${scheme}://${host}:${worker.api_port}`;
}

export class CoordinatorService {
  readonly ctx: CoordinatorContext;

  constructor(ctx: CoordinatorContext) {
    this.ctx = ctx;
  }

  /** @returns the id of the token with which a client opens the application. */
  async configure(given: Omit<TokenRow, 'id'>): Promise<string> {
    const id = this.ctx.random.uuid();
    await insertToken(this.ctx.sql, { id, ...given }, this.ctx.clock.now());
    return id;
  }

  /**
   * Finds or makes the circuit that a token asks for.
   * @returns where the browser goes to be let in, and whether the circuit was there already.
   * @throws BackendError InvalidCredentials, WorkerNotAvailable, PortNotAvailable, ServiceUnavailable.
   */
  async open(request: CircuitRequest): Promise<{ redirectUrl: string; isReused: boolean }> {
    const { sql, clock, tokens } = this.ctx;
    const since = new Date(clock.now().getTime() - TOKEN_LIFETIME_MS);
    const token = await findToken(sql, request.token, since);
    if (token === null || token.session_id !== request.sessionId) {
      throw new BackendError(
        'InvalidCredentials',
        'E20007: Session ID mismatch. Start the app from its session again.',
      );
    }
    const route: RouteInfo = {
      route_id: null,
      session_id: token.session_id,
      session_name: null,
      kernel_host: token.kernel_host,
      kernel_port: token.kernel_port,
      protocol: transportOf(request.protocol),
      traffic_ratio: 1,
    };
    const existing = request.isNew ? null : await this.#reuse(request, token, route);
    const circuit = existing ?? (await this.#create(request, token, route));
    const worker = await findWorker(sql, circuit.worker);
    if (worker === null) throw new Error(`worker ${circuit.worker} has vanished`);
    const setup = await tokens.signSetup({
      ...{ id: token.id, version: 'v2', circuit: circuit.id, redirect: request.redirect },
    });
    return {
      redirectUrl: `${workerUrl(worker)}/setup?token=${setup}`,
      isReused: existing !== null && circuit.protocol !== 'tcp',
    };
  }

  async #reuse(
    request: CircuitRequest,
    token: TokenRow,
    route: RouteInfo,
  ): Promise<CircuitInfo | null> {
    const found = await findReusable(this.ctx.sql, {
      sessionId: token.session_id,
      userId: token.user_uuid,
      app: request.app,
      openToPublic: request.openToPublic,
      allowedClientIps: request.allowedClientIps,
    });
    if (found === null || found.protocol !== route.protocol) return null;
    if (request.port !== null && found.port !== request.port) return null;
    if (request.subdomain !== null && found.subdomain !== request.subdomain) return null;
    const [old] = found.route_info;
    if (old?.kernel_host === route.kernel_host && old.kernel_port === route.kernel_port) {
      return found;
    }
    // The service has moved since.
    return await this.setRoutes(found.id, [route]);
  }

  async #create(request: CircuitRequest, token: TokenRow, route: RouteInfo): Promise<CircuitInfo> {
    return await this.place(
      {
        protocol: route.protocol,
        mode: 'interactive',
        tags: {
          'session.id': token.session_id,
          'session.user_uuid': token.user_uuid,
          'session.project_id': token.group_id,
          'session.group_id': token.group_id,
          'session.access_key': token.access_key,
          'session.domain_name': token.domain_name,
        },
        port: request.port,
        subdomain: request.subdomain,
      },
      (worker) => ({
        id: this.ctx.random.uuid(),
        app: request.app,
        protocol: route.protocol,
        worker: worker.id,
        app_mode: 'interactive',
        frontend_mode: worker.frontend_mode,
        envs: request.envs,
        arguments: request.args,
        open_to_public: request.openToPublic,
        allowed_client_ips: request.allowedClientIps,
        user_id: token.user_uuid,
        endpoint_id: null,
        runtime_variant: null,
        route_info: [route],
        session_ids: [token.session_id],
      }),
    );
  }

  /**
   * Puts a new circuit on the best worker, and waits until that one serves it. An address that the
   * worker cannot use is replaced by another one.
   */
  async place(wanted: Placement, make: (worker: WorkerRow) => NewCircuit): Promise<CircuitInfo> {
    const avoided = new Set<number>();
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const [worker] = candidatesFor(await listWorkers(this.ctx.sql), wanted);
      if (worker === undefined) {
        throw new BackendError(
          'WorkerNotAvailable',
          `No worker of the app proxy that is alive and has room takes ${wanted.mode} ` +
            `applications of protocol ${wanted.protocol}.`,
        );
      }
      const address = await this.#addressOn(worker, wanted, avoided);
      const outcome = await this.#serve(make(worker), address);
      if (outcome === 'taken') continue;
      if (!('failure' in outcome)) return outcome;
      if (wanted.port !== null || !('port' in address)) {
        throw new BackendError('PortNotAvailable', outcome.failure);
      }
      avoided.add(address.port);
    }
    throw new BackendError('PortNotAvailable', 'No port of the worker can be used.');
  }

  async #addressOn(
    worker: WorkerRow,
    wanted: Placement,
    avoided: ReadonlySet<number>,
  ): Promise<Address> {
    const { sql, random } = this.ctx;
    if (worker.port_range === null || worker.frontend_mode === 'wildcard') {
      const suffix = Buffer.from(random.bytes(4)).toString('hex');
      if (wanted.subdomain === null) return { subdomain: `app-${suffix}` };
      const circuits = (await circuitsOf(sql, worker.id))?.circuits ?? [];
      const name = wanted.subdomain.toLowerCase();
      const isTaken = circuits.some(({ subdomain }) => subdomain?.toLowerCase() === name);
      return { subdomain: isTaken ? `${name}-${suffix}` : name };
    }
    const [high = 0, low = 0] = random.bytes(2);
    const taken = await takenPorts(sql, worker.id);
    const point = (high * 256 + low) / 65_536;
    const port = choosePort(worker.port_range, taken, wanted.port, point, avoided);
    if (port !== null) return { port };
    throw new BackendError(
      'PortNotAvailable',
      wanted.port === null
        ? `All ports of the worker ${worker.authority} are occupied.`
        : `Port ${wanted.port} is occupied, or the worker ${worker.authority} does not have it ` +
            `(it has ${worker.port_range.join(' to ')}).`,
    );
  }

  async #serve(
    circuit: NewCircuit,
    address: Address,
  ): Promise<CircuitInfo | 'taken' | { failure: string }> {
    const { sql, changes, clock } = this.ctx;
    let inserted: { circuit: CircuitInfo; version: number } | null = null;
    const outcome = await changes.wait<CircuitInfo | 'taken' | { failure: string }>({
      listen(notice) {
        if (notice.kind === 'failed' && notice.circuit === circuit.id) {
          return { failure: notice.message };
        }
        const isApplied =
          notice.kind === 'applied' &&
          notice.worker === circuit.worker &&
          inserted !== null &&
          notice.version >= inserted.version;
        return isApplied ? (inserted?.circuit ?? null) : null;
      },
      async act() {
        inserted = await insertCircuit(sql, circuit, address, clock.now());
        if (inserted === null) return 'taken';
        await changes.changed(circuit.worker);
        return null;
      },
      timeoutMs: APPLY_TIMEOUT_MS,
    });
    if (outcome !== null && outcome !== 'taken' && !('failure' in outcome)) return outcome;
    if (outcome === 'taken') return outcome;
    await this.close({ ids: [circuit.id] });
    if (outcome !== null) return outcome;
    throw new BackendError('ServiceUnavailable', 'E10001: Proxy worker not responding');
  }

  /** Gives a circuit other routes; open connections to hosts that stay go on. @returns null when there is none. */
  async setRoutes(id: string, routes: readonly RouteInfo[]): Promise<CircuitInfo | null> {
    const { sql, changes, clock } = this.ctx;
    const changed = await setRoutes(sql, id, routes, clock.now());
    if (changed === null) return null;
    await changes.changed(changed.circuit.worker);
    return changed.circuit;
  }

  /** Removes circuits. @returns the ids of those that were there. */
  async close(which: Parameters<typeof deleteCircuits>[1]): Promise<readonly string[]> {
    const { sql, changes, live } = this.ctx;
    const { ids, workerIds } = await deleteCircuits(sql, which);
    for (const workerId of workerIds) await changes.changed(workerId);
    const keys = ids.flatMap((id) => [`circuit.${id}.last_access`, `circuit.${id}.requests`]);
    if (keys.length > 0) await live.delete(...keys);
    return ids;
  }

  /** Sessions are over: nothing leads to them any more. */
  async closeSessions(sessionIds: readonly string[]): Promise<readonly string[]> {
    // The tokens first, so that none of them makes another circuit.
    await deleteTokens(this.ctx.sql, { sessionIds });
    return await this.close({ sessionIds });
  }

  /**
   * What leads to these sessions leads to another host from now on; what is connected ends.
   * @returns ids of the circuits that led elsewhere before.
   */
  async moveSessions(moved: Parameters<typeof moveCircuits>[1]): Promise<readonly string[]> {
    const { sql, changes, clock } = this.ctx;
    const { ids, workerIds } = await moveCircuits(sql, moved, clock.now());
    for (const workerId of workerIds) await changes.changed(workerId);
    return ids;
  }

  /** @returns the worker as it is now. */
  async register(registration: WorkerRegistration): Promise<WorkerRow> {
    const { sql, clock, log } = this.ctx;
    const { port_range: range, frontend_mode: mode } = registration;
    const slots = mode === 'port' && range !== null ? range[1] - range[0] + 1 : -1;
    const id = await saveWorker(sql, registration, slots, clock.now());
    log.info('a worker has registered', { authority: registration.authority, id });
    // Its settings may have changed: applications get another address when they are asked for again.
    await this.close({ unservedBy: id });
    return await this.worker(id);
  }

  /** @throws BackendError ObjectNotFound */
  async worker(id: string): Promise<WorkerRow> {
    const worker = await findWorker(this.ctx.sql, id);
    if (worker !== null) return worker;
    throw new BackendError('ObjectNotFound', `E00002: No such worker ${id}.`);
  }

  /** A worker lives, and tells how its circuits were used. */
  async heartbeat(id: string, uses: readonly CircuitUse[]): Promise<WorkerRow> {
    const { sql, clock, live } = this.ctx;
    if (!(await touchWorker(sql, id, clock.now()))) return await this.worker(id);
    const used = new Map(uses.map((use) => [use.circuit_id, use]));
    const circuits = used.size === 0 ? [] : await listCircuits(sql, [...used.keys()]);
    for (const circuit of circuits) {
      const use = used.get(circuit.id);
      if (use === undefined || circuit.worker !== id) continue;
      const options = { ttlMs: USE_KEPT_MS };
      const seconds = String(use.last_access / 1000);
      await live.set(`circuit.${circuit.id}.last_access`, seconds, options);
      await live.set(`circuit.${circuit.id}.requests`, String(use.requests), options);
      for (const sessionId of circuit.session_ids) {
        await live.set(`session.${sessionId}.last_access`, seconds, options);
      }
    }
    return await this.worker(id);
  }

  async leave(id: string): Promise<void> {
    const { sql, clock } = this.ctx;
    if (!(await leaveWorker(sql, id, clock.now()))) await this.worker(id);
  }

  /** The circuits of a worker as soon as they are of another version than the one it has. */
  async sync(
    id: string,
    options: {
      readonly version: number;
      readonly failed: readonly { readonly circuit_id: string; readonly message: string }[];
      readonly waitMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<{ version: number; circuits: CircuitInfo[] }> {
    const { sql, changes } = this.ctx;
    for (const { circuit_id, message } of options.failed) await changes.failed(circuit_id, message);
    const isOutdated = async () => {
      const version = await versionOf(sql, id);
      return version === null || version !== options.version ? true : null;
    };
    await changes.wait<true>({
      listen: (notice) =>
        notice.kind === 'anything' || (notice.kind === 'changed' && notice.worker === id)
          ? true
          : null,
      async act() {
        if (options.version > 0) await changes.applied(id, options.version);
        return await isOutdated();
      },
      timeoutMs: options.waitMs,
      signal: options.signal,
    });
    const found = await circuitsOf(sql, id);
    if (found !== null) return found;
    throw new BackendError('ObjectNotFound', `E00002: No such worker ${id}.`);
  }
}
