/**
 * What clients are let in with: tokens that a manager asks for, each good for one operation on one
 * path of one folder, until it expires.
 */
import { errors, jwtVerify, SignJWT } from 'jose';
import * as v from 'valibot';
import type { Clock } from '../common/clock.ts';
import { StorageError } from './problems.ts';

const common = {
  volume: v.string(),
  exp: v.number(),
  /** When it was issued. Seconds of the epoch; upstream's tokens do not tell. */
  iat: v.optional(v.number()),
};

const downloadClaims = v.object({
  ...common,
  op: v.literal('download'),
  vfid: v.string(),
  relpath: v.string(),
  archive: v.optional(v.boolean(), false),
});

const archiveClaims = v.object({
  ...common,
  operation: v.literal('download'),
  virtual_folder_id: v.string(),
  files: v.array(v.string()),
  /** The name of a list that is too long for a token; `files` is empty then. */
  list: v.optional(v.pipe(v.string(), v.uuid())),
  filename: v.nullish(v.string()),
});

const uploadClaims = v.object({
  ...common,
  op: v.literal('upload'),
  vfid: v.string(),
  relpath: v.string(),
  /** Bytes of the whole file. */
  size: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** 32 hexadecimal digits: the name of the staging file. */
  session: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  /** The file is a tar, and what is in it takes its place below `relpath`. */
  unpack: v.optional(v.boolean(), false),
});

type Claims<S extends v.GenericSchema> = Omit<v.InferInput<S>, 'exp' | 'iat'>;
type DownloadClaims = Claims<typeof downloadClaims>;
type ArchiveClaims = Claims<typeof archiveClaims>;
type UploadClaims = Claims<typeof uploadClaims>;

export class Tokens {
  readonly #secret: Uint8Array;
  readonly #lifetimeMs: number;
  readonly #clock: Clock;

  constructor(secret: string, lifetimeMs: number, clock: Clock) {
    this.#secret = new TextEncoder().encode(secret);
    this.#lifetimeMs = lifetimeMs;
    this.#clock = clock;
  }

  issue(claims: DownloadClaims | ArchiveClaims | UploadClaims): Promise<string> {
    const now = this.#clock.now();
    const expires = new Date(now.getTime() + this.#lifetimeMs);
    return new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setIssuedAt(now)
      .setExpirationTime(expires)
      .sign(this.#secret);
  }

  /** @throws StorageError InvalidParameters when it is not ours, expired, or for something else. */
  async #read<S extends v.GenericSchema>(
    token: string | null,
    schema: S,
  ): Promise<v.InferOutput<S>> {
    if (!token) throw refuse('There is no token in the query of this address.');
    try {
      const { payload } = await jwtVerify(token, this.#secret, {
        algorithms: ['HS256'],
        currentDate: this.#clock.now(),
      });
      const claims = v.safeParse(schema, payload);
      if (claims.success) return claims.output;
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        throw refuse('The token has expired. Ask the manager for another one.');
      }
      if (error instanceof errors.JOSEError) throw refuse('The token is not valid.');
      throw error;
    }
    throw refuse('The token is for another operation.');
  }

  download(token: string | null) {
    return this.#read(token, downloadClaims);
  }

  archive(token: string | null) {
    return this.#read(token, archiveClaims);
  }

  upload(token: string | null) {
    return this.#read(token, uploadClaims);
  }
}

const refuse = (message: string): StorageError => new StorageError('InvalidParameters', message);
