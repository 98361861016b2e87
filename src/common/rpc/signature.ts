/**
 * Signs and verifies node-to-node requests. A signature covers the method, path, date, a nonce, the
 * recipient and the digest of the body, so a request can't be altered, redirected to another node,
 * or sent twice. The recipient signs its answer together with the request's nonce.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { BackendError } from '../errors.ts';
import type { Random } from '../random.ts';
import { type NodeKeys, verifySignature } from './keys.ts';

export * from './keys.ts';

/** Largest accepted difference between the two clocks. Milliseconds. */
export const CLOCK_WINDOW_MS = 5 * 60_000;
const NONCE_BYTES = 16;
const DEFAULT_MAX_NONCES = 100_000;

export const rpcHeaders = {
  key: 'x-backendai-key',
  date: 'x-backendai-date',
  nonce: 'x-backendai-nonce',
  recipient: 'x-backendai-recipient',
  signature: 'x-backendai-signature',
} as const;

/** The parts of a request that matter to its signature. */
export interface RequestParts {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Who sent a verified request. */
export interface RpcCaller {
  readonly publicKey: string;
  readonly nonce: string;
}

/** Accepts a request or rejects with AuthorizationFailed. */
export type Verifier = (request: RequestParts) => Promise<RpcCaller>;

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

const requestText = (fields: readonly string[]): Uint8Array =>
  Buffer.from(['backendai-rpc-request-1', ...fields].join('\n'));
const responseText = (nonce: string, status: number, body: Uint8Array): Uint8Array =>
  Buffer.from(['backendai-rpc-response-1', nonce, String(status), sha256(body)].join('\n'));

/**
 * The headers that sign a request.
 * @param peer public key of the recipient; empty when it is not known yet.
 */
export function signRequest(
  request: { method: string; path: string; body: Uint8Array },
  options: { keys: NodeKeys; clock: Clock; random: Random; peer?: string },
): Record<string, string> {
  const date = options.clock.now().toISOString();
  const nonce = Buffer.from(options.random.bytes(NONCE_BYTES)).toString('base64url');
  const recipient = options.peer ?? '';
  const text = requestText([
    request.method,
    request.path,
    date,
    nonce,
    recipient,
    sha256(request.body),
  ]);
  return {
    [rpcHeaders.key]: options.keys.publicKey,
    [rpcHeaders.date]: date,
    [rpcHeaders.nonce]: nonce,
    ...(recipient ? { [rpcHeaders.recipient]: recipient } : {}),
    [rpcHeaders.signature]: options.keys.sign(text),
  };
}

/** The signature of an answer to the request with `nonce`. */
export const signResponse = (
  keys: NodeKeys,
  nonce: string,
  status: number,
  body: Uint8Array,
): string => keys.sign(responseText(nonce, status, body));

/** Whether the answer was made by `publicKey` for the request with `nonce`. */
export const verifyResponse = (
  publicKey: string,
  answer: { nonce: string; status: number; body: Uint8Array; signature: string },
): boolean =>
  verifySignature(
    publicKey,
    responseText(answer.nonce, answer.status, answer.body),
    answer.signature,
  );

const refuse = (message: string): never => {
  throw new BackendError('AuthorizationFailed', message);
};

function requireHeader(headers: Headers, name: string): string {
  return headers.get(name) ?? refuse(`The request is not signed: header ${name} is missing.`);
}

function checkClock(date: string, now: Date): number {
  const sentAt = Date.parse(date);
  if (Number.isNaN(sentAt)) refuse(`Header ${rpcHeaders.date} is not a date: '${date}'.`);
  const aheadMs = sentAt - now.getTime();
  if (Math.abs(aheadMs) > CLOCK_WINDOW_MS) {
    const seconds = Math.round(Math.abs(aheadMs) / 1000);
    refuse(
      `The clocks of the two nodes differ by ${seconds} seconds (the sender's is ` +
        `${aheadMs > 0 ? 'ahead' : 'behind'}); at most ${CLOCK_WINDOW_MS / 1000} are allowed. ` +
        'Synchronise them with NTP.',
    );
  }
  return sentAt;
}

/**
 * Remembers nonces for as long as their date could still be accepted. When more than `maxEntries`
 * arrive within that time the oldest are dropped and everything dated up to them is refused, so the
 * memory is bounded without opening a gap.
 */
export class ReplayGuard {
  readonly #sentAtByNonce = new Map<string, number>();
  readonly #maxEntries: number;
  #refuseUpToMs = Number.NEGATIVE_INFINITY;

  constructor(maxEntries = DEFAULT_MAX_NONCES) {
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#sentAtByNonce.size;
  }

  /** Whether the nonce is new; records it. */
  accept(nonce: string, sentAtMs: number, nowMs: number): boolean {
    this.#forgetExpired(nowMs);
    if (sentAtMs <= this.#refuseUpToMs || this.#sentAtByNonce.has(nonce)) return false;
    this.#sentAtByNonce.set(nonce, sentAtMs);
    while (this.#sentAtByNonce.size > this.#maxEntries) this.#dropOldest();
    return true;
  }

  #forgetExpired(nowMs: number): void {
    for (const [nonce, sentAtMs] of this.#sentAtByNonce) {
      if (sentAtMs >= nowMs - CLOCK_WINDOW_MS) return;
      this.#sentAtByNonce.delete(nonce);
    }
  }

  #dropOldest(): void {
    for (const [nonce, sentAtMs] of this.#sentAtByNonce) {
      this.#sentAtByNonce.delete(nonce);
      this.#refuseUpToMs = Math.max(this.#refuseUpToMs, sentAtMs);
      return;
    }
  }
}

/**
 * Makes the check that a server puts before its methods.
 * @param options.self own public key: requests addressed to another node are refused.
 * @param options.isTrusted decides by the sender's public key, after the signature was found good.
 */
export function requestVerifier(options: {
  clock: Clock;
  isTrusted: (publicKey: string) => boolean | Promise<boolean>;
  self?: string;
  maxNonces?: number;
}): Verifier {
  const replays = new ReplayGuard(options.maxNonces);
  return async ({ method, path, headers, body }) => {
    const publicKey = requireHeader(headers, rpcHeaders.key);
    const date = requireHeader(headers, rpcHeaders.date);
    const nonce = requireHeader(headers, rpcHeaders.nonce);
    const signature = requireHeader(headers, rpcHeaders.signature);
    const recipient = headers.get(rpcHeaders.recipient) ?? '';
    const now = options.clock.now();
    const sentAt = checkClock(date, now);
    const text = requestText([method, path, date, nonce, recipient, sha256(body)]);
    if (!verifySignature(publicKey, text, signature)) {
      refuse('The signature does not match the request.');
    }
    if (recipient && options.self && recipient !== options.self) {
      refuse(
        `The request is meant for the node with key ${recipient}, but this one has ` +
          `${options.self}. Its record of this node is out of date.`,
      );
    }
    if (!(await options.isTrusted(publicKey))) {
      refuse(`The key ${publicKey} is not known here.`);
    }
    if (!replays.accept(`${publicKey}:${nonce}`, sentAt, now.getTime())) {
      refuse('The request was received before; it is not repeated.');
    }
    return { publicKey, nonce };
  };
}
