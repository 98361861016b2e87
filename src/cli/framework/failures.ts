/** How a failed command explains itself: on stderr in words, or on stdout as JSON. */
import { ApiError, ConnectionError } from '../../client/errors.ts';
import type { CommandIo, GlobalOptions } from '../../common/command.ts';
import { BackendError, errorMessage, UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';

/** The user gave up a question, or there was nobody to ask. */
export class Aborted extends Error {
  override readonly name = 'Aborted';
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function matchLines(data: unknown): string[] {
  const matches = isRecord(data) && Array.isArray(data.matches) ? data.matches : [];
  return matches
    .filter(isRecord)
    .map((match) => `- ${String(match.id)} (${String(match.name)}, ${String(match.status)})`);
}

function graphqlLines(data: unknown): string[] {
  const errors = Array.isArray(data) ? data : [];
  const lines: string[] = [];
  for (const error of errors.filter(isRecord)) {
    const path = Array.isArray(error.path)
      ? error.path.reduce<string>(
          (text, step) =>
            typeof step === 'number' ? `${text}[${step}]` : `${text}${text && '.'}${String(step)}`,
          '',
        )
      : '';
    lines.push(`${String(error.message)}${path === '' ? '' : ` (path: ${path})`}`);
  }
  return lines.length === 0 ? [] : ['➜ Message:', ...lines];
}

function genericLines(error: ApiError): string[] {
  const lines: string[] = [];
  if (error.msg !== undefined) lines.push(`➜ Message: ${error.msg}`);
  if (error.data !== undefined && error.data !== null) {
    lines.push(`➜ Data: ${JSON.stringify(error.data)}`);
  }
  return lines;
}

/** An API error in words, one line per fact. */
export function describeApiError(error: ApiError): string {
  const lines = [`BackendAPIError: ${error.status} ${error.reason}`, error.title];
  switch (error.slug) {
    case 'too-many-sessions-matched':
      lines.push(...matchLines(error.data));
      break;
    case 'session-already-exists':
      if (isRecord(error.data)) lines.push(`Existing session: ${error.data.existingSessionId}`);
      lines.push('Choose another name with -t, or end that session with `backend.ai rm`.');
      break;
    case 'invalid-api-params':
      if (error.msg !== undefined) lines.push(error.msg);
      if (error.data !== undefined) lines.push(JSON.stringify(error.data, null, 2));
      break;
    case 'graphql-error':
      lines.push(...graphqlLines(error.data));
      break;
    default:
      lines.push(...genericLines(error));
  }
  return lines.join('\n');
}

/** Any failure in words, with what to do about it when that is known. */
export function describeFailure(error: unknown): string {
  if (error instanceof ApiError) return describeApiError(error);
  if (error instanceof UserError && error.hint !== undefined) {
    return `${error.message}\n${error.hint}`;
  }
  if (error instanceof UserError || error instanceof ConnectionError) return error.message;
  if (error instanceof BackendError) return error.message;
  return `${error instanceof Error ? error.name : 'Error'}: ${errorMessage(error)}`;
}

/** The JSON document of a failure. */
export function failureDocument(error: unknown): Record<string, unknown> {
  if (!(error instanceof ApiError)) return { error: errorMessage(error) };
  const { status, reason, type, title, errorCode, msg, data } = error;
  return { error: title, api: { status, reason, type, title, error_code: errorCode, msg, data } };
}

/** @returns the exit code. */
export function reportFailure(error: unknown, globals: GlobalOptions, io: CommandIo): number {
  if (error instanceof Aborted) {
    io.stderr.write('Aborted!\n');
    return 1;
  }
  if (globals.output === 'json') {
    io.stdout.write(`${JSON.stringify(failureDocument(error), null, 2)}\n`);
  } else {
    printStatus(io.stderr, 'error', describeFailure(error));
  }
  if (io.env.BACKEND_DEBUG && error instanceof Error) {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
      io.stderr.write(`${cause.stack ?? cause.message}\n`);
    }
  }
  return error instanceof UserError ? error.exitCode : 1;
}
