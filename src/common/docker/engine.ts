/**
 * The connection to a Docker daemon, or to Podman's compatible socket. Every call is bounded in time,
 * and a daemon that is away gives an error that says where it was looked for.
 */
import type { Readable } from 'node:stream';
import Docker from 'dockerode';
import * as v from 'valibot';
import { type Clock, systemClock } from '../clock.ts';
import { BackendError, errorMessage } from '../errors.ts';

const DOCKER_CALL_TIMEOUT_MS = 30_000;

/** An answer of the daemon that is not a success. */
export class DockerError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'DockerError';
    this.status = status;
  }
}

export const isMissing = (error: unknown): boolean =>
  error instanceof DockerError && error.status === 404;

/** A streaming answer; the library's own type says less than what it returns. */
export const answerStream = v.custom<Readable>(
  (value) => typeof value === 'object' && value !== null && 'pipe' in value && 'destroy' in value,
  'expected a stream',
);

const httpFailure = v.object({
  statusCode: v.number(),
  json: v.optional(v.unknown()),
  message: v.string(),
});
const failureBody = v.object({ message: v.string() });
const systemFailure = v.object({ code: v.string() });

export class DockerEngine {
  readonly socketPath: string;
  readonly #docker: Docker;
  readonly #clock: Clock;

  constructor(socketPath: string, clock: Clock = systemClock) {
    this.socketPath = socketPath;
    this.#clock = clock;
    this.#docker = new Docker({ socketPath });
  }

  /**
   * Makes one call and waits `timeoutMs` at most for its answer.
   * @param body gets a signal that it must pass on, so that nothing goes on after the time is up.
   * @throws DockerError when the daemon refuses; BackendError ServiceUnavailable when it is away or
   *   too slow; the reason of `signal`.
   */
  async call<T>(
    body: (docker: Docker, abortSignal: AbortSignal) => Promise<T>,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<T> {
    const { timeoutMs = DOCKER_CALL_TIMEOUT_MS, signal } = options;
    signal?.throwIfAborted();
    const ended = new AbortController();
    const { promise: given, reject: giveUp } = Promise.withResolvers<never>();
    const end = (reason: unknown) => {
      giveUp(reason);
      ended.abort(reason);
    };
    const timer = this.#clock.timer(timeoutMs, () =>
      end(this.#away(`it did not answer within ${timeoutMs / 1000} seconds`)),
    );
    const onAbort = () => end(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([given, body(this.#docker, ended.signal)]);
    } catch (error) {
      throw this.#translate(error);
    } finally {
      timer.cancel();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** A failure of a call as the two kinds of errors this module throws. */
  #translate(error: unknown): unknown {
    const http = v.safeParse(httpFailure, error);
    if (http.success) {
      const body = v.safeParse(failureBody, http.output.json);
      const message = body.success ? body.output.message : http.output.message;
      return new DockerError(http.output.statusCode, message.trim());
    }
    const system = v.safeParse(systemFailure, error);
    if (!system.success || error instanceof BackendError) return error;
    return this.#away(errorMessage(error));
  }

  #away(detail: string): BackendError {
    return new BackendError(
      'ServiceUnavailable',
      `Docker can't be reached at ${this.socketPath} (${detail.replace(/\.$/, '')}). ` +
        'Is the daemon running, and may this account use it? DOCKER_HOST=unix://… names another one.',
    );
  }
}
