/** Operations with which a client checks its credentials. */
import * as v from 'valibot';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';

const echoBody = v.object({ echo: v.string() });
const echoQuery = v.object({ echo: v.optional(v.string()) });
const common = { gate: 'any', auth: 'user', summary: 'Check credentials.' } as const;

/** `/auth` and `/auth/test`: answers only those whose signature is right. */
export function authRoutes(): Route[] {
  return ['/auth', '/auth/test'].flatMap((path): Route[] => [
    route(
      { ...common, method: 'GET', path, takes: { query: echoQuery } },
      async (_, { query }) => ({ json: { authorized: 'yes', ...query } }),
    ),
    route({ ...common, method: 'POST', path, takes: { body: echoBody } }, async (_, { body }) => ({
      json: { authorized: 'yes', ...body },
    })),
  ]);
}
