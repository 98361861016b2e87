/**
 * The error that crosses component boundaries: it carries one of upstream's problem types, so that
 * the HTTP layer can answer with an RFC 7807 document and clients can tell cases apart.
 */
import { type ProblemName, problems } from './problems.ts';

export interface ProblemDocument {
  type: string;
  title: string;
  error_code: string;
  msg?: string;
  data?: unknown;
}

/** A failure with a known meaning. `message` says what was attempted and what to do. */
export class BackendError extends Error {
  readonly problem: ProblemName;
  readonly data: unknown;

  constructor(
    problem: ProblemName,
    message?: string,
    options: { data?: unknown; cause?: unknown } = {},
  ) {
    super(message ?? problems[problem].title, { cause: options.cause });
    this.name = problem;
    this.problem = problem;
    this.data = options.data;
  }

  get status(): number {
    return problems[this.problem].status;
  }

  /** The body clients parse; `msg` is present only when it adds to the title. */
  toDocument(): ProblemDocument {
    const { slug, title, code } = problems[this.problem];
    return {
      type: `https://api.backend.ai/probs/${slug}`,
      title,
      error_code: code,
      ...(this.message === title ? {} : { msg: this.message }),
      ...(this.data === undefined ? {} : { data: this.data }),
    };
  }
}

/**
 * A failure that ends a command: bad configuration, a server that cannot be reached, a port in use.
 * The command line prints `message` and `hint` without a stack trace and exits with `exitCode`.
 */
export class UserError extends Error {
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(
    message: string,
    options: { hint?: string; exitCode?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'UserError';
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 1;
  }
}

/** The `code` of a system's, driver's or database's error, such as ENOENT or 23505; empty without. */
export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return String(error.code);
}

/** The message of anything thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
