/** Keeps the embedded PostgreSQL running: a server that dies is started again on the same port. */
import type { Clock } from '../common/clock.ts';
import { errorMessage, UserError } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { type PostgresOptions, type PostgresServer, startPostgres } from './postgres/server.ts';

/** A server that dies this often within the window is not started again. */
const MAX_RESTARTS = 5;
const WINDOW_MS = 60_000;
/** The children of a killed server may hold the data this long: 20 × 250 ms. */
const MAX_START_ATTEMPTS = 20;
const START_PAUSE_MS = 250;

export interface SupervisedPostgres {
  readonly server: PostgresServer;
  /** Rejects when the server cannot be kept alive; otherwise stays pending until `stop`. */
  readonly lost: Promise<never>;
  stop(): Promise<void>;
}

export async function supervisePostgres(
  options: PostgresOptions,
  clock: Clock,
  log: Logger,
): Promise<SupervisedPostgres> {
  const first = await startPostgres(options);
  const stopping = new AbortController();
  let current = first;
  let starting: Promise<unknown> = Promise.resolve();
  const restarts: number[] = [];

  const watch = async (): Promise<never> => {
    for (;;) {
      await current.exited;
      if (stopping.signal.aborted) return new Promise<never>(() => {});
      const nowMs = clock.monotonicMs();
      restarts.push(nowMs);
      while (restarts.length > 0 && nowMs - (restarts[0] ?? 0) > WINDOW_MS) restarts.shift();
      if (restarts.length > MAX_RESTARTS) {
        throw new UserError(
          `PostgreSQL died ${restarts.length} times within a minute; giving up.`,
          {
            hint: `Its log is beside ${options.dataDir}.`,
          },
        );
      }
      log.warn('PostgreSQL is gone; starting it again', { restarts: restarts.length });
      const restart = startAgain(options, first.port, clock, log, stopping.signal);
      starting = restart;
      current = await restart;
    }
  };

  const lost = watch();
  // Observed by the owner; a rejection before it looks must not end the process.
  lost.catch(() => {});
  return {
    server: first,
    lost,
    async stop() {
      stopping.abort();
      // A server that is just coming up would outlive us.
      await starting.catch(() => {});
      await current.stop();
    },
  };
}

/** A killed server's children hold the data for a moment, so the first attempts may be refused. */
async function startAgain(
  options: PostgresOptions,
  port: number,
  clock: Clock,
  log: Logger,
  stopping: AbortSignal,
): Promise<PostgresServer> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const server = await startPostgres({ ...options, port });
      if (server.port === port) return server;
      await server.stop();
      throw new UserError(`Port ${port} of the embedded PostgreSQL was taken by another program.`);
    } catch (error) {
      if (attempt >= MAX_START_ATTEMPTS || stopping.aborted) throw error;
      log.debug('PostgreSQL does not start yet', { attempt, error: errorMessage(error) });
      await clock.sleep(START_PAUSE_MS, stopping);
    }
  }
}
