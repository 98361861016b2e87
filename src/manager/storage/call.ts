/**
 * One call to a storage proxy: JSON both ways, also in the body of a GET, which `fetch` refuses to
 * send. Bounded in time, size and attempts; what goes wrong becomes one of upstream's problems.
 */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorCode, errorMessage } from '../../common/errors.ts';
import type { ProblemName } from '../../common/problems.ts';
import { traceHeaders } from '../../common/tracing.ts';
import type { StorageProxy } from './settings.ts';

/** Largest answer. Bytes. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Attempts at a call whose connection fails before it can have had an effect. */
const MAX_ATTEMPTS = 3;
const RETRY_DELAY_MS = 100;

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

export interface ProxyAnswer {
  readonly status: number;
  /** Parsed JSON; null when there is none. */
  readonly json: unknown;
}

class LateAnswer extends Error {}
class TooLargeAnswer extends Error {}

function collect(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) {
        reject(new TooLargeAnswer());
        response.destroy();
      } else chunks.push(chunk);
    });
    response.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    response.on('error', reject);
    response.on('aborted', () => reject(new Error('the connection was closed within the answer')));
  });
}

/** Sends one request. Rejects with what the network says, or LateAnswer. */
function send(
  clock: Clock,
  proxy: StorageProxy,
  method: Method,
  path: string,
  body: string,
): Promise<{ status: number; text: string }> {
  const url = new URL(proxy.managerApi + path);
  const secure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request(url, {
      method,
      headers: {
        'X-BackendAI-Storage-Auth-Token': proxy.secret,
        'Content-Type': 'application/json',
        ...traceHeaders(),
        'Content-Length': Buffer.byteLength(body),
      },
      ...(secure && { rejectUnauthorized: proxy.sslVerify }),
    });
    const giveUp = () => {
      reject(new LateAnswer());
      request.destroy();
    };
    const total = clock.timer(proxy.totalTimeoutMs, giveUp);
    const connect = clock.timer(Math.min(proxy.connectTimeoutMs, proxy.totalTimeoutMs), giveUp);
    request.on('socket', (socket) => {
      if (!socket.connecting) connect.cancel();
      else socket.once('connect', () => connect.cancel());
    });
    request.on('response', (response) => {
      connect.cancel();
      collect(response)
        .then((text) => resolve({ status: response.statusCode ?? 0, text }), reject)
        .finally(() => total.cancel());
    });
    request.on('error', (error) => {
      total.cancel();
      connect.cancel();
      reject(error);
    });
    request.end(body);
  });
}

/** Whether the request cannot have reached the proxy, or may be repeated without harm. */
function repeatable(method: Method, error: unknown): boolean {
  if (error instanceof LateAnswer || error instanceof TooLargeAnswer) return false;
  return method === 'GET' || ['ECONNREFUSED', 'ConnectionRefused'].includes(errorCode(error));
}

async function sendRepeatedly(
  clock: Clock,
  proxy: StorageProxy,
  method: Method,
  path: string,
  body: string,
): Promise<{ status: number; text: string }> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send(clock, proxy, method, path, body);
    } catch (error) {
      if (attempt >= MAX_ATTEMPTS || !repeatable(method, error)) throw error;
      await clock.sleep(RETRY_DELAY_MS * attempt);
    }
  }
}

/** What a proxy says of a failure. */
const refusal = v.looseObject({
  title: v.optional(v.string()),
  msg: v.optional(v.nullable(v.string())),
  error_code: v.optional(v.string()),
});

function problemOf(status: number, code: string | undefined): ProblemName {
  if (code?.startsWith('quota-scope_') && status === 404) return 'QuotaScopeNotFound';
  if (code?.startsWith('bgtask_') && status === 404) return 'BgtaskNotFound';
  if (status === 404) return 'VFolderNotFound';
  if (status === 410) return 'VFolderGone';
  if ([400, 409, 413, 422].includes(status)) return 'VFolderBadRequest';
  return status >= 500 ? 'VFolderOperationFailed' : 'UnexpectedStorageProxyResponse';
}

function parseAnswer(proxy: StorageProxy, path: string, text: string): unknown {
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BackendError(
      'UnexpectedStorageProxyResponse',
      `Storage proxy '${proxy.name}' answered ${path} with something else than JSON.`,
      { cause: error },
    );
  }
}

/**
 * Calls a storage proxy and gives back an answer of success, or with one of the `accepted` statuses.
 * @throws BackendError StorageProxyConnectionError, StorageProxyTimeout,
 *   UnexpectedStorageProxyResponse, and for what the proxy refuses VFolderBadRequest,
 *   VFolderNotFound, VFolderGone, VFolderOperationFailed or QuotaScopeNotFound.
 */
export async function callProxy(
  clock: Clock,
  proxy: StorageProxy,
  method: Method,
  path: string,
  body: object,
  accepted: readonly number[] = [],
): Promise<ProxyAnswer> {
  let answer: { status: number; text: string };
  try {
    answer = await sendRepeatedly(clock, proxy, method, path, JSON.stringify(body));
  } catch (error) {
    if (error instanceof LateAnswer) {
      throw new BackendError(
        'StorageProxyTimeout',
        `Storage proxy '${proxy.name}' did not answer within ${proxy.totalTimeoutMs / 1000} seconds.`,
      );
    }
    if (error instanceof TooLargeAnswer) {
      throw new BackendError(
        'UnexpectedStorageProxyResponse',
        `Storage proxy '${proxy.name}' sent more than ${MAX_ANSWER_BYTES} bytes for ${path}.`,
      );
    }
    throw new BackendError(
      'StorageProxyConnectionError',
      `Storage proxy '${proxy.name}' cannot be reached: ${errorMessage(error)}. Try again; if it stays so, ask an administrator whether it runs.`,
      { cause: error },
    );
  }
  const { status } = answer;
  const json = parseAnswer(proxy, path, answer.text);
  if ((status >= 200 && status < 300) || accepted.includes(status)) return { status, json };
  if (status === 403) {
    throw new BackendError(
      'UnexpectedStorageProxyResponse',
      `Storage proxy '${proxy.name}' refuses this manager: the secret in volumes/proxies/${proxy.name}/secret is not its own.`,
    );
  }
  const said = v.safeParse(refusal, json);
  const { msg, title, error_code: code } = said.success ? said.output : {};
  throw new BackendError(
    problemOf(status, code),
    msg || title || `Storage proxy '${proxy.name}' answered ${path} with status ${status}.`,
    { data: { status } },
  );
}
