/** What can go wrong between a client and a server. */

/** A server's refusal: its problem document with the HTTP status. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** HTTP status code. */
  readonly status: number;
  /** HTTP reason phrase. */
  readonly reason: string;
  /** Problem type URI; match on its last segment. */
  readonly type: string;
  readonly title: string;
  readonly errorCode: string | undefined;
  readonly msg: string | undefined;
  readonly data: unknown;

  constructor(
    status: number,
    reason: string,
    problem: { type: string; title: string; errorCode?: string; msg?: string; data?: unknown },
  ) {
    super(problem.msg ?? problem.title);
    this.status = status;
    this.reason = reason;
    this.type = problem.type;
    this.title = problem.title;
    this.errorCode = problem.errorCode;
    this.msg = problem.msg;
    this.data = problem.data;
  }

  /** The same refusal, with what to do about it in place of a message. */
  withAdvice(msg: string): ApiError {
    const { status, reason, type, title, errorCode, data } = this;
    return new ApiError(status, reason, { type, title, errorCode, msg, data });
  }

  /** Last segment of the problem type, e.g. `too-many-sessions-matched`. */
  get slug(): string {
    return this.type.slice(this.type.lastIndexOf('/') + 1);
  }
}

/** No endpoint answered, or one answered with something that is not this API. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly endpoint: string;

  constructor(endpoint: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.endpoint = endpoint;
  }
}

/** What was to be sent is not there as it was announced: it is shorter by now, or gone. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
}
