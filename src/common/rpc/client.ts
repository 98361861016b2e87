/** The calling end of a method table over HTTP. */
import * as v from 'valibot';
import { type Clock, systemClock } from '../clock.ts';
import { BackendError, errorMessage } from '../errors.ts';
import { parseOutside } from '../parse.ts';
import { isProblemName } from '../problems.ts';
import { type Random, systemRandom } from '../random.ts';
import { traceHeaders } from '../tracing.ts';
import type { Api, ApiOf, Method } from './api.ts';
import { MAX_RPC_BODY_BYTES, readBody } from './body.ts';
import { issueSummary, RPC_PREFIX } from './server.ts';
import { type NodeKeys, rpcHeaders, signRequest, verifyResponse } from './signature.ts';

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface RpcClientOptions {
  /** `http://host:port`. */
  baseUrl: string;
  keys: NodeKeys;
  /** The other node's public key; when given, answers not signed with it are refused. */
  peer?: string;
  fetch?: Fetch;
  clock?: Clock;
  random?: Random;
  maxBodyBytes?: number;
}

const success = v.object({ result: v.unknown() });
const failure = v.object({
  problem: v.pipe(v.string(), v.check(isProblemName)),
  title: v.string(),
  msg: v.optional(v.string()),
  data: v.optional(v.unknown()),
});

const unavailable = (message: string, cause?: unknown): BackendError =>
  new BackendError('AgentConnectionUnavailable', message, { cause });

function parseDocument(bytes: Uint8Array, where: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw unavailable(`${where}: the answer is not JSON. Is this the right address?`, error);
  }
}

/** The error that the other side raised, raised again here. */
function remoteError(document: unknown, status: number, where: string): BackendError {
  const parsed = v.safeParse(failure, document);
  if (parsed.success && isProblemName(parsed.output.problem)) {
    const { problem, title, msg, data } = parsed.output;
    return new BackendError(problem, msg ?? title, { data });
  }
  return unavailable(`${where}: unexpected answer with HTTP status ${status}.`);
}

/**
 * Calls a method table over HTTP with signed requests on kept-alive connections.
 *
 * Every call rejects with a BackendError: the one raised by the other side, or
 * AgentConnectionUnavailable when the other side cannot be reached in the method's time, is not who
 * it should be, or answers something else than the method's result.
 */
export function rpcClient<A extends Api>(api: A, options: RpcClientOptions): ApiOf<A> {
  const send = options.fetch ?? fetch;
  const clock = options.clock ?? systemClock;
  const random = options.random ?? systemRandom;
  const maxBodyBytes = options.maxBodyBytes ?? MAX_RPC_BODY_BYTES;
  const baseUrl = options.baseUrl.replace(/\/+$/, '');

  const exchange = async (name: string, method: Method, params: unknown) => {
    const url = new URL(`${baseUrl}${RPC_PREFIX}${name}`);
    const body = Buffer.from(JSON.stringify(params));
    const headers = signRequest(
      { method: 'POST', path: url.pathname, body },
      { keys: options.keys, clock, random, peer: options.peer },
    );
    const response = await send(url.href, {
      method: 'POST',
      body,
      headers: { ...headers, ...traceHeaders(), 'content-type': 'application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(method.timeoutMs),
    });
    const bytes = await readBody(response, maxBodyBytes);
    return { response, bytes, nonce: headers[rpcHeaders.nonce] ?? '' };
  };

  const call = async (name: string, method: Method, params: unknown): Promise<unknown> => {
    const where = `${name} at ${baseUrl}`;
    const { response, bytes, nonce } = await exchange(name, method, params).catch((error) => {
      throw unavailable(
        error instanceof DOMException && error.name === 'TimeoutError'
          ? `${where}: no answer within ${method.timeoutMs / 1000} seconds.`
          : `${where}: ${errorMessage(error)}`,
        error,
      );
    });
    if (options.peer !== undefined) {
      const signature = response.headers.get(rpcHeaders.signature) ?? '';
      const answer = { nonce, status: response.status, body: bytes, signature };
      if (!verifyResponse(options.peer, answer)) {
        throw unavailable(`${where}: the answer is not signed with the expected key.`);
      }
    }
    const document = parseDocument(bytes, where);
    if (!response.ok) throw remoteError(document, response.status, where);
    const parsed = parseOutside(v.object({ result: method.result }), document);
    if (!v.is(success, document) || !parsed.success) {
      const issues = parsed.issues ? issueSummary(parsed.issues) : 'no result';
      throw unavailable(`${where}: the answer has an unknown shape (${issues}).`);
    }
    return parsed.output.result;
  };

  const calls = Object.fromEntries(
    Object.entries(api).map(([name, method]) => [
      name,
      (params: unknown) => call(name, method, params),
    ]),
  );
  // Each entry parses with its own method's schemas; the compiler can't follow that through
  // Object.entries.
  return calls as unknown as ApiOf<A>;
}
