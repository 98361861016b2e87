/** The HTTP operations that carry GraphQL. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
import type { GraphqlEngine, GraphqlResult } from './engine.ts';

const body = v.object({
  query: v.string(),
  variables: v.optional(v.nullable(v.record(v.string(), v.unknown()))),
  operation_name: v.optional(v.nullable(v.string())),
  operationName: v.optional(v.nullable(v.string())),
});

/** `/admin/gql` always answers 200; `/admin/graphql` is the older form with an HTTP error status. */
export function graphqlRoutes(ctx: ManagerContext, engine: GraphqlEngine): Route[] {
  const run = async (request: AuthenticatedRequest): Promise<GraphqlResult> => {
    const { query, variables, operation_name, operationName } = await request.body(body);
    const { caller, requestId, signal } = request;
    return engine.run(
      { query, variables, operationName: operationName ?? operation_name },
      { ctx, caller, requestId, signal },
      request.request,
    );
  };
  return [
    {
      method: 'POST',
      path: '/admin/gql',
      gate: 'any',
      auth: 'user',
      handler: async (request) => ({ json: await run(request) }),
    },
    {
      method: 'POST',
      path: '/admin/graphql',
      gate: 'any',
      auth: 'user',
      handler: async (request) => {
        const { data, errors } = await run(request);
        if (errors !== null) throw new BackendError('GraphQLError', undefined, { data: errors });
        // Older clients take the body for the data itself, newer ones read its `data`.
        return { json: { ...data, data, errors } };
      },
    },
  ];
}
