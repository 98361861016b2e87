/** The coordinator's settings, as app-proxy-coordinator.toml and the environment give them. */
export interface CoordinatorSettings {
  /** What managers and workers prove themselves with. */
  readonly apiSecret: string;
  /** Seals what browsers are set up with; workers have the same. */
  readonly jwtSecret: string;
  /** Where browsers and managers reach it: `http://host:port`. */
  readonly advertisedUrl: string;
  /** Whether `/v2/conf` takes requests without the secret. */
  readonly allowsUnauthorizedConfigure: boolean;
  /** A worker that was silent for so long is lost. Milliseconds. */
  readonly workerTimeoutMs: number;
  /** An HTTP circuit that nobody used for so long is removed. Milliseconds. */
  readonly unusedCircuitMs: number;
  /** Who may read `/metrics`, as addresses or CIDR blocks. */
  readonly metricsFrom: readonly string[];
}

export interface ListenSettings {
  readonly hostname: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
}
