/** The tokens of the app proxy: JWTs (HS256) of which each kind is good for one thing. */
import { errors, jwtVerify, SignJWT } from 'jose';
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';

const uuid = v.pipe(v.string(), v.uuid(), v.toLowerCase());

/** Sets a browser up for a circuit. Upstream's have no end; ours are used within seconds. */
const setupClaims = v.object({
  id: uuid,
  version: v.literal('v2'),
  /** Where the browser goes then: a path of the application. */
  redirect: v.nullish(v.string()),
  circuit: uuid,
  exp: v.number(),
});
export type SetupClaims = Omit<v.InferOutput<typeof setupClaims>, 'exp'>;

/** Lets an API client use a served model; also carries the circuit, as upstream's do. */
const inferenceClaims = v.looseObject({ id: uuid, exp: v.optional(v.number()) });

const SETUP_LIFETIME_SEC = 3600;

/** A token that is forged, over, or of another kind; the message says which. */
export class TokenError extends Error {}

export class ProxyTokens {
  readonly #secret: Uint8Array;
  readonly #clock: Clock;

  constructor(secret: string, clock: Clock) {
    this.#secret = new TextEncoder().encode(secret);
    this.#clock = clock;
  }

  async signSetup(claims: SetupClaims): Promise<string> {
    const nowSec = Math.floor(this.#clock.now().getTime() / 1000);
    return await new SignJWT({ ...claims, exp: nowSec + SETUP_LIFETIME_SEC })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(this.#secret);
  }

  /** @throws TokenError */
  async verifySetup(token: string): Promise<SetupClaims> {
    return await this.#verify(token, setupClaims);
  }

  /** @returns the circuit's id. @throws TokenError */
  async verifyInference(token: string): Promise<{ circuitId: string; endsSec: number | null }> {
    const { id, exp } = await this.#verify(token, inferenceClaims);
    return { circuitId: id, endsSec: exp ?? null };
  }

  async #verify<S extends v.GenericSchema>(token: string, schema: S): Promise<v.InferOutput<S>> {
    try {
      const { payload } = await jwtVerify(token, this.#secret, {
        algorithms: ['HS256'],
        currentDate: this.#clock.now(),
      });
      const parsed = v.safeParse(schema, payload);
      if (parsed.success) return parsed.output;
      throw new TokenError('this token is for something else');
    } catch (error) {
      if (error instanceof TokenError) throw error;
      if (error instanceof errors.JWTExpired) throw new TokenError('this token has expired');
      if (error instanceof errors.JOSEError) throw new TokenError('this token is not genuine');
      throw error;
    }
  }
}
