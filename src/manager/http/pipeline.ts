/**
 * What happens to every request around its handler, in upstream's order: request id, error
 * documents, authentication, API version, rate limit, role, manager status.
 */
import { BackendError, errorMessage } from '../../common/errors.ts';
import { problems } from '../../common/problems.ts';
import { parseTraceparent, type Tracer } from '../../common/tracing.ts';
import type { AnsweredRequest } from '../../metrics/requests.ts';
import { ClientAddresses } from '../auth/client-ip.ts';
import { authenticate, type Principal } from '../auth/service.ts';
import type { ManagerContext } from '../context.ts';
import type { ActiveKeypair } from '../keypair/service.ts';
import { readJson } from './body.ts';
import { exposeToOrigin } from './cors.ts';
import { toKnownError } from './known-error.ts';
import { RateLimiter } from './rate-limit.ts';
import { errorResponse } from './respond.ts';
import type { AuthenticatedRequest, Caller, RawInput, Route, RouteRequest } from './route.ts';
import type { StatusGate } from './status-gate.ts';
import { rawTarget } from './target.ts';
import { requestedVersion } from './versions.ts';

/** What an operation demands before its handler runs. */
export type Demands = Pick<Route, 'auth' | 'gate'> & {
  /** Its path, with parameters as they are written in the route; absent: no operation has it. */
  readonly path?: string;
};

/** A request as it came off the socket. */
export interface Arrival {
  readonly request: Request;
  /** What was signed: differs from `request` when a header overrides the method. */
  readonly original: Request;
  /** What the body comes with: differs from `request` for a GET, which has none in Bun. */
  readonly carrier: Request;
  readonly peerAddress: string | null;
}

/** A request that passed all checks. */
export interface Admitted {
  readonly request: RouteRequest;
  /** Path parameters excepted, which only the route can name. */
  readonly input: Omit<RawInput, 'params'>;
  readonly caller: Caller | null;
}

export interface PipelineOptions {
  readonly ctx: ManagerContext;
  readonly statusGate: StatusGate;
  findKeypair(accessKey: string): Promise<ActiveKeypair | null>;
  /** Told of every authenticated request. */
  onAuthenticated(accessKey: string): void;
  /** Makes each request a span of the trace that its `traceparent` names. */
  readonly tracer: Tracer;
  /** Told of every answer. */
  onAnswered(answered: AnsweredRequest): void;
}

/** Heartbeats of agents and probes: parts of a trace, but none begins with them. */
const UNTRACED = /^\/(rpc|health|metrics)\b/;
const REQUEST_ID = /^[\w.:-]{1,128}$/;

function checkRole(demanded: Demands['auth'], principal: Principal | null): void {
  if (demanded === 'none') return;
  if (principal === null) {
    throw new BackendError(
      'AuthorizationFailed',
      'This operation needs a signed request: send the Authorization header of your keypair.',
    );
  }
  const { isAdmin, isSuperadmin } = principal.caller;
  const enough =
    demanded === 'user' ||
    (demanded === 'admin' && (isAdmin || isSuperadmin)) ||
    (demanded === 'superadmin' && isSuperadmin);
  if (!enough) {
    throw new BackendError(
      'GenericForbidden',
      `Forbidden operation. (${demanded} privilege required)`,
    );
  }
}

/** The request as a handler with a principal sees it. */
export function withCaller({ request, caller }: Admitted): AuthenticatedRequest {
  if (caller === null) throw new BackendError('AuthorizationFailed');
  return { ...request, caller };
}

export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #limiter: RateLimiter;
  readonly #addresses: ClientAddresses;

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#limiter = new RateLimiter(options.ctx);
    this.#addresses = new ClientAddresses(options.ctx.settings.trustedProxies ?? []);
  }

  /**
   * Runs `handle` for a request that fulfils `demands`, or answers with the problem document of
   * what is wrong. Never rejects.
   */
  async run(
    arrival: Arrival,
    demands: Demands,
    handle: (admitted: Admitted) => Promise<Response>,
  ): Promise<Response> {
    const { request } = arrival;
    const given = request.headers.get('x-backendai-requestid');
    const requestId =
      given !== null && REQUEST_ID.test(given) ? given : this.#options.ctx.random.uuid();
    const extra: Record<string, string> = {};
    const { clock } = this.#options.ctx;
    const startedMs = clock.monotonicMs();
    let errorCode: string | null = null;
    const response = await this.#options.tracer.run(
      {
        name: `${request.method} ${demands.path ?? 'unknown path'}`,
        kind: 'server',
        onlyWithin: UNTRACED.test(demands.path ?? ''),
        parent: parseTraceparent(request.headers.get('traceparent')),
        attributes: { 'backendai.request_id': requestId },
      },
      async (span) => {
        let answer: Response;
        try {
          const admitted = await this.#admit(arrival, demands, requestId, extra);
          answer = await handle(admitted);
        } catch (error) {
          errorCode = problems[toKnownError(error).problem].code;
          answer = this.#fail(arrival, error, requestId);
        }
        span?.set({ 'http.response.status_code': answer.status });
        return answer;
      },
    );
    this.#options.onAnswered({
      method: request.method,
      endpoint: demands.path ?? '',
      status: response.status,
      errorCode,
      elapsedMs: clock.monotonicMs() - startedMs,
    });
    return decorate(response, request, { ...extra, 'X-BackendAI-RequestID': requestId });
  }

  async #admit(
    { request, original, carrier, peerAddress }: Arrival,
    demands: Demands,
    requestId: string,
    extraHeaders: Record<string, string>,
  ): Promise<Admitted> {
    const { ctx, statusGate, findKeypair, onAuthenticated } = this.#options;
    const principal =
      demands.auth === 'none'
        ? null
        : await authenticate(
            { clock: ctx.clock, addresses: this.#addresses, findKeypair },
            original,
            peerAddress,
          );
    if (principal) onAuthenticated(principal.caller.accessKey);
    const apiVersion = requestedVersion(request.headers);
    const decision = await this.#limiter.record(principal);
    if (!decision.allowed) throw new BackendError('RateLimitExceeded');
    Object.assign(extraHeaders, decision.headers);
    checkRole(demands.auth, principal);
    statusGate.check(demands.gate);
    const target = rawTarget(request.url);
    const at = target.indexOf('?');
    return {
      caller: principal?.caller ?? null,
      request: {
        request,
        requestId,
        clientAddress: this.#addresses.of(request.headers, peerAddress),
        apiVersion,
        signal: request.signal,
      },
      input: {
        query: new URLSearchParams(at < 0 ? '' : target.slice(at + 1)),
        json: (options) => readJson(carrier, ctx.clock, options),
      },
    };
  }

  #fail({ request }: Arrival, error: unknown, requestId: string): Response {
    const { log, settings } = this.#options.ctx;
    const known = toKnownError(error);
    if (known !== error && known.status >= 500 && !request.signal.aborted) {
      log.error('a request failed unexpectedly', {
        requestId,
        method: request.method,
        path: rawTarget(request.url).split('?', 1)[0],
        error: errorMessage(error),
        stack: error instanceof Error ? error.stack : undefined,
      });
    }
    return errorResponse(error, { debug: settings.debug });
  }
}

function decorate(
  response: Response,
  request: Request,
  headers: Readonly<Record<string, string>>,
): Response {
  response.headers.set('Server', 'BackendAI');
  for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
  exposeToOrigin(request, response.headers);
  return response;
}
