/** Turns results and failures into HTTP responses. */
import { errorMessage } from '../../common/errors.ts';
import { toKnownError } from './known-error.ts';
import type { RouteResult } from './route.ts';

/** The response of a handler's result. */
export function toResponse(result: RouteResult): Response {
  if (result === undefined) return new Response(null, { status: 204 });
  if (result instanceof Response) return result;
  return Response.json(result.json, { status: result.status ?? 200 });
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/**
 * The problem document of anything thrown. What is not a BackendError is nobody's expected answer:
 * clients learn only that it happened, unless `debug` adds the trace.
 */
export function errorResponse(
  error: unknown,
  options: { debug: boolean; headers?: Readonly<Record<string, string>> },
): Response {
  const failure = toKnownError(error);
  const document = failure.toDocument();
  const body = options.debug
    ? { ...document, msg: document.msg ?? errorMessage(error), traceback: stackOf(error) }
    : document;
  return new Response(JSON.stringify(body), {
    status: failure.status,
    headers: {
      ...options.headers,
      'Content-Type': options.debug ? 'application/json' : 'application/problem+json',
    },
  });
}
