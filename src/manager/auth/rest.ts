/** Operations with which a client checks its credentials. */
import * as v from 'valibot';
import type { Route } from '../http/route.ts';

const echoBody = v.object({ echo: v.string() });

/** `/auth` and `/auth/test`: answers only those whose signature is right. */
export function authRoutes(): Route[] {
  return ['/auth', '/auth/test'].flatMap((path): Route[] => [
    {
      method: 'GET',
      path,
      gate: 'any',
      auth: 'user',
      handler: async ({ query }) => ({
        json: { authorized: 'yes', ...(query.has('echo') ? { echo: query.get('echo') } : {}) },
      }),
    },
    {
      method: 'POST',
      path,
      gate: 'any',
      auth: 'user',
      handler: async ({ body }) => ({
        json: { authorized: 'yes', echo: (await body(echoBody)).echo },
      }),
    },
  ]);
}
