/** The serving end of a method table: one POST per call at `/rpc/<method>`, JSON both ways. */
import * as v from 'valibot';
import { BackendError, errorMessage } from '../errors.ts';
import { parseOutside } from '../parse.ts';
import { noTracer, parseTraceparent, type Tracer } from '../tracing.ts';
import type { Api, ApiOf } from './api.ts';
import { MAX_RPC_BODY_BYTES, readBody } from './body.ts';
import {
  type NodeKeys,
  type RpcCaller,
  rpcHeaders,
  signResponse,
  type Verifier,
} from './signature.ts';

export const RPC_PREFIX = '/rpc/';

export interface RpcHandlerOptions {
  /** Checks who calls; `requestVerifier` makes one. */
  verify: Verifier;
  /** Own keys, to sign answers with. Without them clients that pin the peer refuse the answers. */
  keys?: NodeKeys;
  maxBodyBytes?: number;
  /** Told of every answer to a method that exists. @param problem null when it succeeded. */
  onAnswer?: (method: string, elapsedMs: number, problem: string | null) => void;
  /** Makes each call a span of the trace that the caller names. */
  tracer?: Tracer;
  /** Told of failures that are nobody's expected answer; the caller sees InternalServerError. */
  onError?: (error: unknown, method: string) => void;
}

type Implementation<A extends Api> = ApiOf<A> | ((caller: RpcCaller) => ApiOf<A>);

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch (error) {
    throw new BackendError('MalformedRequestBody', `The body is not JSON: ${errorMessage(error)}`);
  }
}

/** One line naming the first things that are wrong, with their paths. */
export function issueSummary(issues: readonly v.BaseIssue<unknown>[]): string {
  return issues
    .slice(0, 3)
    .map((issue) => `${v.getDotPath(issue) ?? '(root)'}: ${issue.message}`)
    .join('; ');
}

async function runMethod<A extends Api, K extends keyof A>(
  api: A,
  implementation: ApiOf<A>,
  name: K,
  body: Uint8Array,
): Promise<unknown> {
  const method = api[name];
  if (!method) throw new BackendError('URLNotFound');
  const parsed = parseOutside(method.params, parseJson(body));
  if (!parsed.success) {
    throw new BackendError('InvalidAPIParameters', issueSummary(parsed.issues));
  }
  return await implementation[name](parsed.output);
}

/**
 * Makes the request handler of an API. Answers `{"result": …}`, or a problem document that also names
 * the problem so that the client can raise the same error.
 * @param implementation the methods, or a function giving them for a verified caller.
 */
export function rpcHandler<A extends Api>(
  api: A,
  implementation: Implementation<A>,
  options: RpcHandlerOptions,
): (request: Request) => Promise<Response> {
  const maxBodyBytes = options.maxBodyBytes ?? MAX_RPC_BODY_BYTES;
  const tracer = options.tracer ?? noTracer;

  const answer = (nonce: string | null, status: number, document: unknown): Response => {
    const body = Buffer.from(JSON.stringify(document));
    const headers = new Headers({ 'content-type': 'application/json' });
    if (options.keys && nonce !== null) {
      headers.set(rpcHeaders.signature, signResponse(options.keys, nonce, status, body));
    }
    return new Response(body, { status, headers });
  };

  return async (request) => {
    const { pathname } = new URL(request.url);
    const name = pathname.startsWith(RPC_PREFIX) ? pathname.slice(RPC_PREFIX.length) : '';
    const nonce = request.headers.get(rpcHeaders.nonce);
    const startedMs = performance.now();
    const note = (problem: string | null) => {
      if (Object.hasOwn(api, name))
        options.onAnswer?.(name, performance.now() - startedMs, problem);
    };
    try {
      if (!Object.hasOwn(api, name)) throw new BackendError('URLNotFound');
      if (request.method !== 'POST') throw new BackendError('MethodNotAllowed');
      const body = await readBody(request, maxBodyBytes);
      const caller = await options.verify({
        method: request.method,
        path: pathname,
        headers: request.headers,
        body,
      });
      const methods =
        typeof implementation === 'function' ? implementation(caller) : implementation;
      const result = await tracer.run(
        {
          name: `rpc ${name}`,
          kind: 'server',
          onlyWithin: true,
          parent: parseTraceparent(request.headers.get('traceparent')),
        },
        () => runMethod(api, methods, name, body),
      );
      note(null);
      return answer(nonce, 200, { result });
    } catch (error) {
      const known = error instanceof BackendError ? error : null;
      if (!known) options.onError?.(error, name);
      const failure = known ?? new BackendError('InternalServerError');
      note(failure.problem);
      return answer(nonce, failure.status, { ...failure.toDocument(), problem: failure.problem });
    }
  };
}
