/**
 * The circuits of this worker and the listeners that make them reachable: a port for each, or one
 * port for all that are told apart by name. Taking up a new list touches only what differs.
 */
import type { TCPSocketListener } from 'bun';
import { AddressBlocks, plainAddress } from '../../common/address-blocks.ts';
import type { Clock, Timer } from '../../common/clock.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import type { Random } from '../../common/random.ts';
import type { Tracer } from '../../common/tracing.ts';
import { type CircuitInfo, isHttp2 } from '../shared/protocol.ts';
import type { Access } from './access.ts';
import { Circuit } from './circuit.ts';
import type { Counters } from './counters.ts';
import { H2Connection } from './h2/connection.ts';
import { HttpConnection } from './http/connection.ts';
import type { ClientConnection, HttpDoor } from './http/door.ts';
import type { AskedFor } from './http/head.ts';
import type { FrontendSettings, WorkerSettings } from './settings.ts';
import { serveTcp } from './tcp.ts';
import { listenForWires, type Wire } from './wire.ts';

/** Clients at once; more are turned away. */
const MAX_CONNECTIONS = 30_000;
/** How often it is looked for connections that take too long. Milliseconds. */
const SWEEP_MS = 2_000;

export interface FrontendOptions {
  readonly settings: WorkerSettings;
  readonly access: Access;
  readonly counters: Counters;
  readonly tracer: Tracer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** A circuit that could not be taken up, and why. */
export interface FailedCircuit {
  readonly circuit_id: string;
  readonly message: string;
}

interface Served {
  readonly circuit: Circuit;
  /** Of its own port; null where all share one. */
  readonly listener: TCPSocketListener<Wire> | null;
}

export class Frontend {
  readonly #options: FrontendOptions;
  readonly #trusted: AddressBlocks;
  readonly #served = new Map<string, Served>();
  readonly #bySubdomain = new Map<string, Circuit>();
  readonly #connections = new Set<ClientConnection>();
  #tcpConnections = 0;
  #shared: TCPSocketListener<Wire> | null = null;
  #sweep: Timer | null = null;
  #isStopped = false;

  private constructor(options: FrontendOptions) {
    this.#options = options;
    this.#trusted = new AddressBlocks(options.settings.trustedProxies);
  }

  /** @throws UserError when the shared address cannot be bound. */
  static start(options: FrontendOptions): Frontend {
    const frontend = new Frontend(options);
    const { frontend: address, tls, protocol } = options.settings;
    if (address.mode === 'wildcard') {
      const [byName, hasHttp2] = [frontend.#byName(address.domain), isHttp2(protocol)];
      try {
        frontend.#shared = listenForWires({ ...address.bind, tls, hasHttp2 }, (wire) =>
          frontend.#acceptHttp(wire, byName, hasHttp2),
        );
      } catch (error) {
        const { hostname, port } = address.bind;
        throw new UserError(`Cannot listen on ${hostname}:${port}: ${errorMessage(error)}`, {
          hint: 'Correct bind_addr in [proxy_worker.wildcard_domain] of app-proxy-worker.toml.',
          cause: error,
        });
      }
    }
    frontend.#scheduleSweep();
    return frontend;
  }

  /** The port that all circuits share; null where each has its own. */
  get sharedPort(): number | null {
    return this.#shared?.port ?? null;
  }

  circuit(id: string): Circuit | null {
    return this.#served.get(id)?.circuit ?? null;
  }

  circuits(): Circuit[] {
    return [...this.#served.values()].map(({ circuit }) => circuit);
  }

  get openConnections(): number {
    return this.#connections.size + this.#tcpConnections;
  }

  /** Makes exactly these circuits reachable. @returns those that could not be. */
  apply(circuits: readonly CircuitInfo[]): FailedCircuit[] {
    const wanted = new Map(circuits.map((circuit) => [circuit.id, circuit]));
    for (const [id, served] of this.#served) {
      const info = wanted.get(id);
      if (info === undefined || info.port !== served.circuit.info.port) this.#remove(id, served);
      else if (info.updated_at !== served.circuit.info.updated_at) served.circuit.update(info);
    }
    const failed: FailedCircuit[] = [];
    for (const info of circuits) {
      if (this.#served.has(info.id)) continue;
      try {
        this.#add(info);
      } catch (error) {
        const message = errorMessage(error);
        this.#options.log.warn('a circuit cannot be served', { circuit: info.id, error: message });
        failed.push({ circuit_id: info.id, message });
      }
    }
    return failed;
  }

  #add(info: CircuitInfo): void {
    const { clock, random, counters } = this.#options;
    const circuit = new Circuit(info, clock, random);
    const listener = this.#listenFor(circuit);
    if (info.subdomain !== null) this.#bySubdomain.set(info.subdomain.toLowerCase(), circuit);
    this.#served.set(info.id, { circuit, listener });
    counters.circuitsCreated += 1;
  }

  #listenFor(circuit: Circuit): TCPSocketListener<Wire> | null {
    const { frontend, tls } = this.#options.settings;
    if (frontend.mode === 'wildcard') return null;
    const port = bindPort(frontend, circuit.info.port);
    const { protocol } = circuit.info;
    const address = { hostname: frontend.bindHost, port };
    if (protocol === 'tcp') {
      return listenForWires({ ...address, tls: null }, (wire) => this.#acceptTcp(wire, circuit));
    }
    const hasHttp2 = isHttp2(protocol);
    return listenForWires({ ...address, tls, hasHttp2 }, (wire) =>
      this.#acceptHttp(wire, () => circuit, hasHttp2),
    );
  }

  #remove(id: string, { circuit, listener }: Served): void {
    listener?.stop();
    circuit.close();
    this.#served.delete(id);
    const name = circuit.info.subdomain?.toLowerCase();
    if (name !== undefined && this.#bySubdomain.get(name) === circuit) {
      this.#bySubdomain.delete(name);
    }
  }

  #byName(domain: string): HttpDoor['circuitFor'] {
    return (head) => {
      const host = head.host.replace(/:\d+$/, '').toLowerCase();
      if (!host.endsWith(domain.toLowerCase())) return null;
      return this.#bySubdomain.get(host.slice(0, host.length - domain.length)) ?? null;
    };
  }

  #isFull(wire: Wire): boolean {
    if (this.openConnections < MAX_CONNECTIONS) return false;
    wire.destroy();
    return true;
  }

  #acceptHttp(wire: Wire, circuitFor: HttpDoor['circuitFor'], hasHttp2: boolean): void {
    if (this.#isFull(wire)) return;
    const { settings, access, clock, counters, tracer } = this.#options;
    const peer = plainAddress(wire.remoteAddress);
    const door: HttpDoor = {
      scheme: settings.tls !== null || settings.tlsAdvertised ? 'https' : 'http',
      ...{ access, clock, counters, tracer, circuitFor },
      clientAddress: (head) => this.#clientAddress(head, peer),
      closed: (closed) => void this.#connections.delete(closed),
    };
    const connection = hasHttp2 ? new H2Connection(wire, door) : new HttpConnection(wire, door);
    wire.owner = connection;
    this.#connections.add(connection);
  }

  /** The last hop that is no known proxy; what others claim in headers is not believed. */
  #clientAddress(head: AskedFor, peer: string): string {
    if (!this.#trusted.has(peer)) return peer;
    const hops = head.fields
      .filter(({ key }) => key === 'x-forwarded-for')
      .flatMap(({ value }) => value.split(','))
      .map((hop) => plainAddress(hop.trim()));
    return hops.findLast((hop) => !this.#trusted.has(hop)) ?? peer;
  }

  #acceptTcp(wire: Wire, circuit: Circuit): void {
    if (this.#isFull(wire)) return;
    const { clock, counters, tracer } = this.#options;
    this.#tcpConnections += 1;
    void serveTcp(wire, circuit, {
      clientAddress: plainAddress(wire.remoteAddress),
      ...{ clock, counters, tracer },
      onClosed: () => {
        this.#tcpConnections -= 1;
      },
    });
  }

  #scheduleSweep(): void {
    const { clock } = this.#options;
    this.#sweep = clock.timer(SWEEP_MS, () => {
      const nowMs = clock.monotonicMs();
      for (const connection of this.#connections) connection.checkTime(nowMs);
      if (!this.#isStopped) this.#scheduleSweep();
    });
  }

  /** Closes every listener and breaks off every connection. */
  stop(): void {
    this.#isStopped = true;
    this.#sweep?.cancel();
    this.#shared?.stop(true);
    for (const [id, served] of this.#served) this.#remove(id, served);
  }
}

/** The port of this machine for a circuit's port as it is seen from outside. */
function bindPort(
  { bindPorts, advertisedPorts }: Extract<FrontendSettings, { mode: 'port' }>,
  port: number | null,
): number {
  if (port === null || port < advertisedPorts[0] || port > advertisedPorts[1]) {
    throw new Error(`Port ${port} is not among those that this worker serves.`);
  }
  return bindPorts[0] + (port - advertisedPorts[0]);
}
