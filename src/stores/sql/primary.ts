/**
 * Finds which of several PostgreSQL servers takes writes, and connects to that one: after a standby
 * was promoted, new connections of a pool go to it by themselves.
 *
 * The driver's own `target_session_attrs` repeats a refused connection for ever and without a pause
 * when several hosts are given, so that neither a query nor its caller ever hears of an outage.
 */
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import postgres from 'postgres';
import * as v from 'valibot';
import { errorMessage } from '../../common/errors.ts';

export interface ServerPlace {
  readonly host: string;
  readonly port: number;
}

export interface PrimaryFinderOptions {
  readonly servers: readonly ServerPlace[];
  readonly database: string;
  readonly user: string;
  readonly password: string | undefined;
}

/** How long a server may take to say whether it is the primary, and to take a connection. Seconds. */
const PROBE_TIMEOUT_SEC = 2;
/** For how long an answer holds; many connections are opened at the same time. Milliseconds. */
const FRESH_MS = 500;

const standing = v.tuple([v.object({ recovering: v.boolean() })]);

/** None of the servers takes writes at present. The code is one that the driver has as well. */
class NoPrimary extends Error {
  readonly code = 'ECONNREFUSED';
}

/** @throws what keeps this server from being written to. */
async function assertPrimary(
  place: ServerPlace,
  options: PrimaryFinderOptions,
): Promise<ServerPlace> {
  const sql = postgres({
    ...{ ...place, database: options.database, username: options.user },
    ...{ password: options.password, max: 1, fetch_types: false, onnotice: () => {} },
    connect_timeout: PROBE_TIMEOUT_SEC,
    connection: { application_name: 'backend.ai-primary', statement_timeout: 2_000 },
  });
  try {
    const [{ recovering }] = v.parse(standing, [
      ...(await sql`SELECT pg_is_in_recovery() AS recovering`),
    ]);
    if (recovering) throw new Error('a standby');
    return place;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function connectTo({ host, port }: ServerPlace): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    socket.setTimeout(PROBE_TIMEOUT_SEC * 1000, () =>
      socket.destroy(new Error(`no connection within ${PROBE_TIMEOUT_SEC} s`)),
    );
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.removeListener('error', reject);
      resolve(socket);
    });
  });
}

/** A stream that takes what is written and then breaks off. */
function failing(error: Error): Duplex {
  const stream = new Duplex({
    read() {},
    write: (_chunk, _encoding, done) => done(),
  });
  setImmediate(() => stream.destroy(error));
  return stream;
}

export class PrimaryFinder {
  readonly #options: PrimaryFinderOptions;
  #found: Promise<ServerPlace> | null = null;
  #foundAtMs = 0;

  constructor(options: PrimaryFinderOptions) {
    this.#options = options;
  }

  /**
   * A connection to the primary; one that fails at once, saying of each server why it is none, when
   * there is none. (The driver loses a connection of its pool for each that is refused otherwise.)
   */
  async socket(): Promise<Duplex> {
    try {
      return await connectTo(await this.#primary());
    } catch (error) {
      return failing(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #primary(): Promise<ServerPlace> {
    const nowMs = performance.now();
    if (this.#found !== null && nowMs - this.#foundAtMs < FRESH_MS) return this.#found;
    this.#foundAtMs = nowMs;
    const found = this.#ask();
    this.#found = found;
    // Whoever waits for it hears of it; the next one asks again.
    found.catch(() => {
      if (this.#found === found) this.#found = null;
    });
    return found;
  }

  async #ask(): Promise<ServerPlace> {
    const { servers } = this.#options;
    try {
      return await Promise.any(servers.map((place) => assertPrimary(place, this.#options)));
    } catch (error) {
      const reasons = error instanceof AggregateError ? error.errors : [error];
      const told = servers.map(
        ({ host, port }, index) => `${host}:${port}: ${errorMessage(reasons[index])}`,
      );
      throw new NoPrimary(`no server takes writes (${told.join('; ')})`);
    }
  }
}
