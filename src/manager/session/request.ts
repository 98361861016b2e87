/** What the routes of one session share: finding it, and optional bodies. */
import type * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { AuthenticatedRequest, Route, RouteResult } from '../http/route.ts';
import { getSessionForCaller, type SessionRecord } from './service.ts';

/** The owner key a request acts for; every session operation takes it in the query. */
const ownerKeyOf = (request: AuthenticatedRequest): string | null =>
  request.query.get('owner_access_key') || request.query.get('ownerAccessKey') || null;

/**
 * The session named by the request's path.
 * @throws BackendError URLNotFound for `_`; SessionNotFound, TooManySessionsMatched, GenericForbidden.
 */
export function findSession(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  options: { includeDead?: boolean } = {},
): Promise<SessionRecord> {
  const name = request.params.session_name ?? '';
  // Operations on no session in particular have this in place of a name; this is none of them.
  if (name === '_') {
    throw new BackendError('URLNotFound', undefined, {
      data: new URL(request.request.url).pathname,
    });
  }
  return getSessionForCaller(ctx, request.caller, name, {
    ownerAccessKey: ownerKeyOf(request),
    includeDead: options.includeDead ?? false,
  });
}

/** The parsed body, or null when there is none: some clients put the same fields in the query. */
export async function optionalBody<S extends v.GenericSchema<unknown, unknown>>(
  request: AuthenticatedRequest,
  schema: S,
): Promise<v.InferOutput<S> | null> {
  if (request.request.body === null) return null;
  try {
    return await request.body(schema);
  } catch (error) {
    // An empty body can't be told apart from a missing one before it is read.
    if (
      error instanceof BackendError &&
      error.problem === 'MalformedRequestBody' &&
      error.message === new BackendError('MalformedRequestBody').message
    ) {
      return null;
    }
    throw error;
  }
}

/** A route on one session, open to any principal; whose sessions it reaches is findSession's rule. */
export const sessionRoute = (
  method: Route['method'],
  path: string,
  gate: 'read' | 'all',
  handler: (request: AuthenticatedRequest) => Promise<RouteResult>,
): Route => ({ method, path, gate, auth: 'user', handler });
