/** A worker's settings, as app-proxy-worker.toml and the environment give them. */
import type { PermitSettings } from '../shared/permits.ts';
import type { AppMode, Protocol } from '../shared/protocol.ts';

interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** Each circuit has a port of its own, or a name of its own below a domain. */
export type FrontendSettings =
  | {
      readonly mode: 'port';
      readonly bindHost: string;
      /** What browsers are sent to. */
      readonly advertisedHost: string;
      /** First and last port. */
      readonly bindPorts: readonly [number, number];
      /** The same number of ports, as they are seen from outside. */
      readonly advertisedPorts: readonly [number, number];
    }
  | {
      readonly mode: 'wildcard';
      readonly bind: { readonly hostname: string; readonly port: number };
      /** Begins with a dot: `.apps.example.com`. */
      readonly domain: string;
      readonly advertisedPort: number;
    };

export interface WorkerSettings {
  /** Tells this worker apart from others. */
  readonly authority: string;
  /** URL of the coordinator. */
  readonly coordinator: string;
  readonly verifiesCoordinator: boolean;
  /** What a worker proves itself to the coordinator with. */
  readonly apiSecret: string;
  /** Seals what browsers are set up with. */
  readonly jwtSecret: string;
  readonly permits: PermitSettings;
  readonly frontend: FrontendSettings;
  readonly protocol: Protocol;
  readonly acceptedTraffics: readonly AppMode[];
  readonly appFilters: readonly { readonly key: string; readonly value: string }[];
  readonly filteredAppsOnly: boolean;
  readonly apiListen: { readonly hostname: string; readonly port: number };
  /** Where browsers reach this API. */
  readonly apiAdvertised: { readonly host: string; readonly port: number };
  /** Serves the API and applications with TLS. */
  readonly tls: TlsFiles | null;
  /** Whether browsers come through something that speaks TLS for this worker. */
  readonly tlsAdvertised: boolean;
  readonly heartbeatMs: number;
  /** Proxies, as addresses or CIDR blocks, whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  /** Who may read `/metrics`, as addresses or CIDR blocks. */
  readonly metricsFrom: readonly string[];
}
