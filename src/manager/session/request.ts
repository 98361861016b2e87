/** What the routes of one session share: the input that names it, and finding it. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { aliased } from '../http/parameters.ts';
import type { AuthenticatedRequest, Operation, Takes } from '../http/route.ts';
import { getSessionForCaller, type SessionRecord } from './service.ts';

const path = v.object({ session_name: v.string() });
const ownerQuery = aliased(
  { owner_access_key: ['ownerAccessKey'] },
  v.object({ owner_access_key: v.optional(v.string()) }),
);

/** The input that every operation on one session takes: its name or id, and whose it is. */
export const ofSession = { params: path, query: ownerQuery } satisfies Takes;

/** A query with more in it than whose the session is. */
export const withOwner = <S extends v.GenericSchema<unknown, unknown>>(schema: S) =>
  v.intersect([ownerQuery, schema]);

/** Open to any principal; whose sessions it reaches is the rule of findSession(). */
export const sessionOperation = <M extends Operation['method']>(
  method: M,
  path: string,
  summary: string,
) => ({ method, path, summary, gate: 'read', auth: 'user' }) as const;

/** The parsed `ofSession`. */
export interface SessionInput {
  readonly params: { readonly session_name: string };
  readonly query: { readonly owner_access_key?: string | undefined };
}

/**
 * The session named by the request's path.
 * @throws BackendError URLNotFound for `_`; SessionNotFound, TooManySessionsMatched, GenericForbidden.
 */
export function findSession(
  ctx: ManagerContext,
  request: AuthenticatedRequest,
  { params, query }: SessionInput,
  options: { includeDead?: boolean } = {},
): Promise<SessionRecord> {
  const name = params.session_name;
  // Operations on no session in particular have this in place of a name; this is none of them.
  if (name === '_') {
    throw new BackendError('URLNotFound', undefined, {
      data: new URL(request.request.url).pathname,
    });
  }
  return getSessionForCaller(ctx, request.caller, name, {
    ownerAccessKey: query.owner_access_key || null,
    includeDead: options.includeDead ?? false,
  });
}
