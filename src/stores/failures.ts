/** How the adapters bound their calls in time and say which server failed and what to do about it. */
import type { Clock } from '../common/clock.ts';
import { BackendError, errorMessage } from '../common/errors.ts';

/** The server an adapter talks to, as messages name it. */
export interface ServerName {
  /** `etcd`, `Redis`, `PostgreSQL`. */
  readonly product: string;
  /** `host:port`, or several separated by commas. */
  readonly addr: string;
  /** What the reader should check: where the address is configured. */
  readonly advice: string;
}

/** A ServiceUnavailable error naming the server, the operation and the remedy. */
export function unavailable(server: ServerName, doing: string, cause: unknown): BackendError {
  return new BackendError(
    'ServiceUnavailable',
    `${doing}: ${server.product} at ${server.addr} is not available (${errorMessage(cause)}). ` +
      `Check that it is running and reachable, and ${server.advice}.`,
    { cause },
  );
}

/** Thrown by `within` when the time is up. */
export class DeadlineExceeded extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${timeoutMs / 1000} s`);
    this.name = 'DeadlineExceeded';
  }
}

/**
 * Waits for `work` for at most `timeoutMs`; a late result or failure of `work` is then ignored,
 * because its caller has already been told.
 * @throws DeadlineExceeded when the time is up.
 */
export function within<T>(clock: Clock, timeoutMs: number, work: PromiseLike<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.timer(timeoutMs, () => reject(new DeadlineExceeded(timeoutMs)));
    work.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error) => {
        timer.cancel();
        reject(error);
      },
    );
  });
}
