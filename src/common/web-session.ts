/**
 * Sign-ins of browsers as they lie in the live store. The manager writes and revokes them, the web
 * server reads and extends them; keys and JSON are upstream's, so either side may be upstream's.
 */
import * as v from 'valibot';

const token = v.object({
  type: v.literal('keypair'),
  access_key: v.string(),
  secret_key: v.string(),
  role: v.nullish(v.string()),
  status: v.nullish(v.string()),
});
export type WebSessionToken = v.InferOutput<typeof token>;

const stored = v.object({
  /** Seconds since 1970. */
  created: v.number(),
  session: v.object({ authenticated: v.optional(v.boolean(), false), token: v.optional(token) }),
  /** Seconds since 1970; absent until it was extended or written by a web server. */
  expiration_dt: v.optional(v.number()),
});

export interface WebSession {
  readonly createdSec: number;
  /** Null for a session that nobody has signed in to. */
  readonly token: WebSessionToken | null;
  readonly expiresSec: number | null;
}

/** A session id that can be part of a key: the manager's hexadecimal ids, a client's UUIDs. */
const SESSION_ID = /^[\w-]{8,128}$/;

export const isWebSessionId = (text: string): boolean => SESSION_ID.test(text);

/** The cookie in which browsers keep a sign-in. */
export const SESSION_COOKIE = 'AIOHTTP_SESSION';

export const webSessionKey = (id: string): string => `${SESSION_COOKIE}_${id}`;

export function encodeWebSession(session: WebSession): string {
  return JSON.stringify({
    created: session.createdSec,
    session: session.token === null ? {} : { authenticated: true, token: session.token },
    ...(session.expiresSec === null ? {} : { expiration_dt: session.expiresSec }),
  });
}

/** The session of a stored text; null for an emptied one (`{}`) and for what is no session. */
export function decodeWebSession(text: string): WebSession | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const parsed = v.safeParse(stored, value);
  if (!parsed.success) return null;
  const { created, session, expiration_dt: expiresSec = null } = parsed.output;
  const signedIn = session.authenticated && session.token !== undefined;
  return { createdSec: created, token: signedIn ? (session.token ?? null) : null, expiresSec };
}
