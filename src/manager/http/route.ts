/**
 * How a feature declares its HTTP operations. Routes are data: the server mounts them, tests
 * enumerate them against the table of who may call what, and the OpenAPI document is made of them.
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

/** What a handler gets to know of a request besides the input that its operation declares. */
export interface RouteRequest {
  readonly request: Request;
  readonly requestId: string;
  /** Where the request comes from: the first hop of X-Forwarded-For, else the socket's peer. */
  readonly clientAddress: string | null;
  /** API version as [major, date], e.g. [9, "20250722"]. */
  readonly apiVersion: readonly [number, string];
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
}

/** A request on a route that demands a principal. */
export interface AuthenticatedRequest extends RouteRequest {
  readonly caller: Caller;
}

/** The input of a request as it came. */
export interface RawInput {
  /** Decoded path parameters by name. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /**
   * The JSON body; undefined when `optional` and there is none.
   * @throws BackendError MalformedRequestBody.
   */
  json(options?: { optional?: boolean }): Promise<unknown>;
}

/** Plain data is sent as JSON with `status` (default 200); undefined means 204. */
export type RouteResult =
  | Response
  | { readonly status?: number; readonly json: unknown }
  | undefined;

type AnySchema = v.GenericSchema<unknown, unknown>;

/** The input of an operation: a handler gets what is declared here, parsed, and nothing else. */
export interface Takes {
  readonly params?: AnySchema;
  /** Of values that are strings, or arrays of them for the keys that the operation `repeats`. */
  readonly query?: AnySchema;
  /** A JSON body, which must be there. */
  readonly body?: AnySchema;
  /** Fields that some clients send in a JSON body and others in the query. The body wins. */
  readonly fields?: AnySchema;
}

export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';
  /** Path with `:name` parameters, e.g. `/session/:session_name/logs`. */
  readonly path: string;
  /** Manager status gate: `all` needs running, `read` also accepts frozen, `any` is ungated. */
  readonly gate: 'any' | 'read' | 'all';
  /** One line on what it does, for the API's description. */
  readonly summary: string;
  readonly takes: Takes;
  /** Keys that may come several times in the query. */
  readonly repeats?: readonly string[];
  /** The type of a body that is not JSON, which the handler reads from the request. */
  readonly consumes?: 'multipart/form-data' | 'application/x-www-form-urlencoded';
  /** Between components: not part of the API that is described to clients. */
  readonly internal?: true;
}

/** An operation with its handler; `route()` and `publicRoute()` make these. */
export type Route =
  | (Operation & {
      readonly auth: 'none';
      readonly handler: (request: RouteRequest, input: RawInput) => Promise<RouteResult>;
    })
  | (Operation & {
      /** user: any principal. admin: admin or superadmin. */
      readonly auth: 'user' | 'admin' | 'superadmin';
      readonly handler: (request: AuthenticatedRequest, input: RawInput) => Promise<RouteResult>;
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

/**
 * A WebSocket operation, made by `socketRoute()`; authentication and input are those of the upgrade
 * request, and what is wrong with them is answered to it.
 */
export interface SocketRoute extends Pick<Operation, 'path' | 'gate' | 'summary' | 'takes'> {
  readonly auth: 'user' | 'admin' | 'superadmin';
  /** Parses the input; what it gives takes the socket over once that is open. */
  readonly accept: (
    input: RawInput,
  ) => Promise<(request: AuthenticatedRequest, peer: SocketPeer) => Promise<void>>;
  /** The sub-protocol that clients must offer; none by default. */
  readonly protocol?: string;
}
