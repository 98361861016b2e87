/** What coordinator, workers and the manager tell each other: upstream's names and shapes. */
import * as v from 'valibot';

const uuid = v.pipe(v.string(), v.uuid(), v.toLowerCase());
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));

const PROTOCOLS = ['http', 'grpc', 'h2', 'tcp', 'preopen', 'vnc', 'rdp'] as const;
export const protocol = v.picklist(PROTOCOLS, `expected one of ${PROTOCOLS.join(', ')}`);
export type Protocol = v.InferOutput<typeof protocol>;

const appMode = v.picklist(['interactive', 'inference']);
export type AppMode = v.InferOutput<typeof appMode>;

const frontendMode = v.picklist(['wildcard', 'port']);
export type FrontendMode = v.InferOutput<typeof frontendMode>;

/** What a worker speaks for an application of this protocol. */
export function transportOf(named: Protocol): Protocol {
  if (named === 'preopen') return 'http';
  return named === 'vnc' || named === 'rdp' ? 'tcp' : named;
}

/** Whether it needs HTTP/2 from the client to the application; gRPC is nothing else on the way. */
export const isHttp2 = (named: Protocol): boolean => named === 'grpc' || named === 'h2';

/** Where one kernel serves an application, and its share of the traffic. */
const routeInfo = v.object({
  route_id: v.nullable(uuid),
  session_id: uuid,
  session_name: v.nullable(v.string()),
  kernel_host: v.pipe(v.string(), v.nonEmpty(), v.maxLength(255)),
  kernel_port: port,
  protocol,
  traffic_ratio: v.pipe(v.number(), v.minValue(0)),
});
export type RouteInfo = v.InferOutput<typeof routeInfo>;

/** One application made reachable at one address of a worker. */
export const circuitInfo = v.object({
  id: uuid,
  app: v.string(),
  protocol,
  worker: uuid,
  app_mode: appMode,
  frontend_mode: frontendMode,
  envs: v.record(v.string(), v.unknown()),
  arguments: v.nullable(v.string()),
  /** Whether anybody may use it, with no proof of who they are. */
  open_to_public: v.boolean(),
  /** Comma-separated addresses and CIDR blocks; null: from anywhere. */
  allowed_client_ips: v.nullable(v.string()),
  port: v.nullable(port),
  subdomain: v.nullable(v.string()),
  user_id: v.nullable(uuid),
  endpoint_id: v.nullable(uuid),
  runtime_variant: v.nullable(v.string()),
  route_info: v.array(routeInfo),
  session_ids: v.array(uuid),
  /** ISO 8601. */
  created_at: v.string(),
  updated_at: v.string(),
});
export type CircuitInfo = v.InferOutput<typeof circuitInfo>;

/** What a worker says of itself when it registers. */
export const workerRegistration = v.pipe(
  v.object({
    authority: v.pipe(v.string(), v.nonEmpty(), v.maxLength(255)),
    frontend_mode: frontendMode,
    protocol,
    hostname: v.pipe(v.string(), v.nonEmpty(), v.maxLength(1024)),
    tls_listen: v.boolean(),
    tls_advertised: v.boolean(),
    api_port: port,
    accepted_traffics: v.pipe(v.array(appMode), v.minLength(1)),
    filtered_apps_only: v.boolean(),
    app_filters: v.optional(
      v.pipe(
        v.array(
          v.object({
            key: v.pipe(v.string(), v.maxLength(96)),
            value: v.pipe(v.string(), v.maxLength(1024)),
          }),
        ),
        v.maxLength(100),
      ),
      [],
    ),
    port_range: v.optional(v.nullable(v.tuple([port, port])), null),
    wildcard_domain: v.optional(v.nullable(v.pipe(v.string(), v.maxLength(1024))), null),
    wildcard_traffic_port: v.optional(v.nullable(port), null),
    traefik_last_used_marker_path: v.optional(v.nullable(v.string()), null),
  }),
  v.check(
    ({ frontend_mode, port_range, wildcard_domain, wildcard_traffic_port }) =>
      frontend_mode === 'port'
        ? port_range !== null && port_range[0] <= port_range[1]
        : wildcard_domain !== null && wildcard_traffic_port !== null,
    'mode "port" needs port_range, mode "wildcard" needs wildcard_domain and wildcard_traffic_port',
  ),
);
export type WorkerRegistration = v.InferOutput<typeof workerRegistration>;

/** How much a circuit was used. */
const circuitUse = v.object({
  circuit_id: uuid,
  /** Milliseconds of the epoch. */
  last_access: v.number(),
  /** Since the worker took the circuit up. */
  requests: v.number(),
});
export type CircuitUse = v.InferOutput<typeof circuitUse>;

/** A heartbeat may tell what was used since the one before. */
export const heartbeatBody = v.object({
  uses: v.optional(v.pipe(v.array(circuitUse), v.maxLength(100_000)), []),
});

/** A worker asks for its circuits: it has taken up those of `version`, but not the `failed` ones. */
export const syncBody = v.object({
  /** 0: none yet, answer at once. */
  version: v.pipe(v.number(), v.integer(), v.minValue(0)),
  failed: v.pipe(
    v.array(v.object({ circuit_id: uuid, message: v.pipe(v.string(), v.maxLength(1000)) })),
    v.maxLength(10_000),
  ),
  /** How long to wait for another version. Seconds. */
  wait_sec: v.pipe(v.number(), v.minValue(0), v.maxValue(60)),
});

export const syncReply = v.object({ version: v.number(), circuits: v.array(circuitInfo) });
export type SyncReply = v.InferOutput<typeof syncReply>;

/** A registered worker as the coordinator tells of it. */
export const workerReply = v.object({ id: uuid, slots: v.array(v.unknown()) });

export const API_VERSION = 'v2';
/** What carries the control API's secret. */
export const TOKEN_HEADER = 'X-BackendAI-Token';
