/**
 * Tokens with which new agents join. They lie in the configuration store, so that one made by a
 * command counts at every manager at once, and are used up by comparing and writing: a token for one
 * agent lets one in, however many ask at the same time.
 */
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import {
  answerText,
  isProven,
  JOIN_PATH,
  type JoinAnswer,
  type JoinRequest,
  type JoinToken,
  joinRequest,
} from '../../common/protocol/join.ts';
import type { Random } from '../../common/random.ts';
import type { NodeKeys } from '../../common/rpc/keys.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { publicRoute } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { agentKey, trustNewAgent } from './trust.ts';

const PREFIX = 'nodes/join-tokens';
/** More agents that join with one token at the same moment have to ask again. */
const MAX_ATTEMPTS = 20;
const ID_BYTES = 9;
const SECRET_BYTES = 32;

const storedToken = v.object({
  secret: v.string(),
  scalingGroup: v.string(),
  usesLeft: v.number(),
  /** Milliseconds since 1970. */
  expiresAtMs: v.number(),
});
type StoredToken = v.InferOutput<typeof storedToken>;

export interface ListedToken extends Omit<StoredToken, 'secret'> {
  readonly id: string;
  readonly isExpired: boolean;
}

const readToken = (text: string | null): StoredToken | null => {
  if (text === null) return null;
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), storedToken), text);
  return parsed.success ? parsed.output : null;
};

const random64 = (random: Random, bytes: number): string =>
  Buffer.from(random.bytes(bytes)).toString('base64url');

/** @param uses how many agents may join with it. */
export async function createJoinToken(
  config: ConfigStore,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  wanted: { readonly scalingGroup: string; readonly uses: number; readonly ttlMs: number },
): Promise<Pick<JoinToken, 'id' | 'secret'>> {
  const id = random64(random, ID_BYTES);
  const secret = random64(random, SECRET_BYTES);
  const { scalingGroup, uses: usesLeft, ttlMs } = wanted;
  const token: StoredToken = {
    secret,
    scalingGroup,
    usesLeft,
    expiresAtMs: clock.now().getTime() + ttlMs,
  };
  await config.put(`${PREFIX}/${id}`, JSON.stringify(token));
  return { id, secret };
}

/** All tokens that were not revoked or used up, without their secrets. */
export async function listJoinTokens(config: ConfigStore, clock: Clock): Promise<ListedToken[]> {
  const now = clock.now().getTime();
  return [...(await config.list(PREFIX))].flatMap(([key, text]) => {
    const token = readToken(text);
    if (token === null) return [];
    const { secret: _, ...shown } = token;
    return [{ ...shown, id: key.slice(PREFIX.length + 1), isExpired: token.expiresAtMs <= now }];
  });
}

/** @returns whether there was such a token. */
export const revokeJoinToken = (config: ConfigStore, id: string): Promise<boolean> =>
  config.delete(`${PREFIX}/${id}`);

/** One answer for whatever is wrong with a token: nothing is learned by trying. */
const refused = () =>
  new BackendError(
    'AuthorizationFailed',
    'The token is unknown, used up or too old. Make another one: backend.ai mgr token create',
  );

/**
 * Lets an agent in: from now on calls signed with its key are heard. The same agent with the same key
 * may ask again, because the answer may have been lost.
 * @throws BackendError when the token does not allow it, or the name is another agent's.
 */
export async function admitAgent(
  config: ConfigStore,
  clock: Clock,
  request: JoinRequest,
): Promise<{ readonly scalingGroup: string }> {
  const key = `${PREFIX}/${request.tokenId}`;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const text = await config.get(key);
    const token = readToken(text);
    if (token === null || !isProven(token.secret, request)) throw refused();
    const present = await agentKey(config, request.agentId);
    if (present === request.publicKey) return { scalingGroup: token.scalingGroup };
    if (token.usesLeft < 1 || token.expiresAtMs <= clock.now().getTime()) throw refused();
    if (present !== null) {
      throw new BackendError(
        'InvalidAPIParameters',
        `An agent ${request.agentId} is known already, with another key. Choose another --id, or make ` +
          `room for it: backend.ai mgr agent revoke ${request.agentId}`,
      );
    }
    const less = JSON.stringify({ ...token, usesLeft: token.usesLeft - 1 });
    if (!(await config.compareAndPut(key, text, less))) continue;
    // Somebody else may have taken the name since; then this use of the token is lost.
    if (await trustNewAgent(config, request.agentId, request.publicKey)) {
      return { scalingGroup: token.scalingGroup };
    }
  }
  throw new BackendError('RateLimitExceeded', 'Too many agents join at once. Try again.');
}

export interface JoinRouteParts {
  readonly config: ConfigStore;
  readonly clock: Clock;
  readonly keys: NodeKeys;
  readonly managerId: string;
}

/** The route on which agents ask to join. */
export function joinRoute({ config, clock, keys, managerId }: JoinRouteParts): Route {
  return publicRoute(
    {
      method: 'POST',
      path: JOIN_PATH,
      gate: 'any',
      summary: 'Let a new agent join with a token.',
      takes: { body: joinRequest },
      internal: true,
    },
    async (_request, { body }) => {
      const { scalingGroup } = await admitAgent(config, clock, body);
      const signature = keys.sign(answerText(body, { managerId, scalingGroup }));
      return { json: { managerId, scalingGroup, signature } satisfies JoinAnswer };
    },
  );
}
