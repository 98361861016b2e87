/**
 * How a new agent and a manager come to trust each other. An administrator makes a token on a
 * manager's machine and hands it to the agent's. It holds the manager's public key, by which the
 * agent knows the manager; and a secret, which never travels: the agent proves that it has it with an
 * HMAC over its own public key, so that whoever listens in cannot join with a key of their own.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';

export const JOIN_PATH = '/join/agent';

const PREFIX = 'bai-join';
const base64url = (bytes: number) =>
  v.pipe(v.string(), v.regex(new RegExp(`^[A-Za-z0-9_-]{${Math.ceil((bytes * 4) / 3)}}$`)));
const agentId = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/));

export const joinRequest = v.strictObject({
  tokenId: base64url(9),
  agentId,
  /** Ed25519, base64url. */
  publicKey: base64url(32),
  /** Made up by the agent, so that an old answer cannot be played back. */
  nonce: base64url(16),
  /** HMAC-SHA256 with the token's secret over `joinText`. */
  proof: base64url(32),
});
export type JoinRequest = v.InferOutput<typeof joinRequest>;

export const joinAnswer = v.object({
  managerId: v.string(),
  /** The resource group that the token assigns. */
  scalingGroup: v.string(),
  /** Of the manager, over `answerText`. */
  signature: v.string(),
});
export type JoinAnswer = v.InferOutput<typeof joinAnswer>;

export interface JoinToken {
  /** 9 random bytes, base64url: names the token without giving it away. */
  readonly id: string;
  /** 32 random bytes, base64url. */
  readonly secret: string;
  readonly managerPublicKey: string;
}

export interface ManagerAddress {
  readonly host: string;
  readonly port: number;
}

/** Of a manager's internal API. */
const DEFAULT_MANAGER_PORT = 18_080;

/** Reads `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`; null for anything else. */
export function parseManagerAddress(text: string): ManagerAddress | null {
  const [, v6, name, digits] =
    /^(?:http:\/\/)?(?:\[([0-9a-fA-F:]+)\]|([^:[\]/\s]+))(?::(\d{1,5}))?\/?$/.exec(text.trim()) ??
    [];
  const host = v6 ?? name;
  const port = digits === undefined ? DEFAULT_MANAGER_PORT : Number(digits);
  return host === undefined || port < 1 || port > 65_535 ? null : { host, port };
}

export const formatToken = ({ id, secret, managerPublicKey }: JoinToken): string =>
  [PREFIX, id, secret, managerPublicKey].join('.');

/** @returns null when the text is not a whole token. */
export function parseToken(text: string): JoinToken | null {
  const [prefix, id, secret, managerPublicKey, ...rest] = text.trim().split('.');
  const parsed = v.safeParse(v.tuple([base64url(9), base64url(32), base64url(32)]), [
    id,
    secret,
    managerPublicKey,
  ]);
  if (prefix !== PREFIX || rest.length > 0 || !parsed.success) return null;
  return { id: parsed.output[0], secret: parsed.output[1], managerPublicKey: parsed.output[2] };
}

type JoinClaim = Pick<JoinRequest, 'tokenId' | 'agentId' | 'publicKey' | 'nonce'>;

const joinText = ({ tokenId, agentId: id, publicKey, nonce }: JoinClaim): string =>
  ['join', tokenId, id, publicKey, nonce].join('\n');

/** What a manager signs: an answer to this very request. */
export const answerText = (
  claim: JoinClaim,
  { managerId, scalingGroup }: Pick<JoinAnswer, 'managerId' | 'scalingGroup'>,
): Uint8Array =>
  new TextEncoder().encode(['joined', joinText(claim), managerId, scalingGroup].join('\n'));

export const proofOf = (secret: string, claim: JoinClaim): string =>
  createHmac('sha256', Buffer.from(secret, 'base64url'))
    .update(joinText(claim))
    .digest('base64url');

/** Whether the request was made with the token's secret; takes the same time for every wrong proof. */
export function isProven(secret: string, request: JoinRequest): boolean {
  const expected = Buffer.from(proofOf(secret, request));
  const given = Buffer.from(request.proof);
  return expected.length === given.length && timingSafeEqual(expected, given);
}
