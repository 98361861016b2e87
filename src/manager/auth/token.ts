/** The `X-BackendAI-Token` header: a JWT that is signed with the secret of the keypair it names. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';

const header = v.object({ alg: v.literal('HS256') });
const claims = v.object({
  access_key: v.string(),
  role: v.picklist(['user', 'admin', 'superadmin']),
  /** Seconds since 1970. */
  exp: v.number(),
  iat: v.number(),
});

const refuse = (message: string): never => {
  throw new BackendError('AuthorizationFailed', message);
};

function decodePart<S extends v.GenericSchema<unknown, unknown>>(
  schema: S,
  part: string,
): v.InferOutput<S> {
  let decoded: unknown;
  try {
    decoded = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
  } catch {
    return refuse('The token is not a JSON Web Token.');
  }
  const parsed = v.safeParse(schema, decoded);
  if (!parsed.success) return refuse('The token is not an HS256 token with the expected claims.');
  return parsed.output;
}

/** A JWT whose signature has not been checked yet. */
export interface UnverifiedJwt<C> {
  readonly claims: C;
  /** Whether HMAC-SHA256 with this secret, and no other algorithm, gives the signature. */
  isSigned(secret: string): boolean;
}

/** @throws BackendError AuthorizationFailed when the text is no HS256 token with such claims. */
export function readJwt<S extends v.GenericSchema<unknown, unknown>>(
  text: string,
  schema: S,
): UnverifiedJwt<v.InferOutput<S>> {
  const [head = '', body = '', signature = '', ...rest] = text.trim().split('.');
  if (rest.length > 0 || signature === '') refuse('The token is not a JSON Web Token.');
  decodePart(header, head);
  return {
    claims: decodePart(schema, body),
    isSigned: (secret) => {
      const expected = createHmac('sha256', secret).update(`${head}.${body}`).digest();
      const given = Buffer.from(signature, 'base64url');
      return given.length === expected.length && timingSafeEqual(given, expected);
    },
  };
}

/** A token whose signature has not been checked yet. */
export interface UnverifiedToken {
  readonly accessKey: string;
  isSigned(secretKey: string): boolean;
  /** @throws BackendError AuthorizationFailed when the token has expired. */
  checkLifetime(now: Date): void;
}

/** @throws BackendError AuthorizationFailed when the text is not a token. */
export function readToken(text: string): UnverifiedToken {
  const token = readJwt(text, claims);
  const { access_key: accessKey, exp } = token.claims;
  return {
    accessKey,
    isSigned: token.isSigned,
    checkLifetime: (now) => {
      if (exp * 1000 <= now.getTime()) refuse('The token has expired. Log in again.');
    },
  };
}
