/**
 * How a feature declares its HTTP operations. Routes are data: the server mounts them, and tests
 * enumerate them against the table of who may call what.
 */
import type * as v from 'valibot';

export type Role = 'superadmin' | 'admin' | 'user' | 'monitor';

/** The authenticated principal of a request: a keypair and the user who owns it. */
export interface Caller {
  readonly accessKey: string;
  readonly userId: string;
  readonly email: string;
  readonly username: string;
  readonly role: Role;
  /** The keypair's own admin flag. */
  readonly isAdmin: boolean;
  readonly isSuperadmin: boolean;
  readonly domainName: string;
  readonly resourcePolicy: string;
}

export interface RouteRequest {
  readonly request: Request;
  readonly requestId: string;
  /** Where the request comes from: the first hop of X-Forwarded-For, else the socket's peer. */
  readonly clientAddress: string | null;
  /** Decoded path parameters by name. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** API version as [major, date], e.g. [9, "20250722"]. */
  readonly apiVersion: readonly [number, string];
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
  /** Parses the JSON body. @throws BackendError InvalidAPIParameters or MalformedRequestBody. */
  body<S extends v.GenericSchema<unknown, unknown>>(schema: S): Promise<v.InferOutput<S>>;
}

/** A request on a route that demands a principal. */
export interface AuthenticatedRequest extends RouteRequest {
  readonly caller: Caller;
}

/** Plain data is sent as JSON with `status` (default 200); undefined means 204. */
export type RouteResult =
  | Response
  | { readonly status?: number; readonly json: unknown }
  | undefined;

interface RouteBase {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';
  /** Path with `:name` parameters, e.g. `/session/:session_name/logs`. */
  readonly path: string;
  /** Manager status gate: `all` needs running, `read` also accepts frozen, `any` is ungated. */
  readonly gate: 'any' | 'read' | 'all';
}

export type Route =
  | (RouteBase & {
      readonly auth: 'none';
      readonly handler: (request: RouteRequest) => Promise<RouteResult>;
    })
  | (RouteBase & {
      /** user: any principal. admin: admin or superadmin. */
      readonly auth: 'user' | 'admin' | 'superadmin';
      readonly handler: (request: AuthenticatedRequest) => Promise<RouteResult>;
    });

/** A connected WebSocket. `send` reports backpressure so that writers can wait. */
export interface SocketPeer {
  /** Sends a frame; resolves when the socket's buffer has room again, rejects once it is closed. */
  send(data: string | Uint8Array): Promise<void>;
  close(code?: number, reason?: string): void;
  /** Messages in order; ends when the peer closes. At most 16 MiB each. */
  readonly messages: AsyncIterable<string | Uint8Array>;
  readonly signal: AbortSignal;
}

/** A WebSocket operation; authentication happens on the upgrade request, with the same headers. */
export interface SocketRoute {
  readonly path: string;
  readonly gate: 'any' | 'read' | 'all';
  readonly auth: 'user' | 'admin' | 'superadmin';
  readonly handler: (request: AuthenticatedRequest, peer: SocketPeer) => Promise<void>;
}
