/** The HTTP operations that carry GraphQL. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
import type { GraphqlEngine } from './engine.ts';

const body = v.object({
  query: v.string(),
  variables: v.optional(v.nullable(v.record(v.string(), v.unknown()))),
  operation_name: v.optional(v.nullable(v.string())),
  operationName: v.optional(v.nullable(v.string())),
});

const envelope = v.object({
  data: v.nullable(v.record(v.string(), v.unknown())),
  errors: v.nullable(v.array(v.unknown())),
});

/** `/admin/gql` always answers 200; `/admin/graphql` is the older form with an HTTP error status. */
export function graphqlRoutes(ctx: ManagerContext, engine: GraphqlEngine): Route[] {
  const run = async (request: AuthenticatedRequest): Promise<Response> => {
    const { query, variables, operation_name, operationName } = await request.body(body);
    const { caller, requestId, clientAddress, signal } = request;
    return engine.handle(
      { query, variables, operationName: operationName ?? operation_name },
      { ctx, caller, requestId, clientAddress, signal },
    );
  };
  return [
    {
      method: 'POST',
      path: '/admin/gql',
      gate: 'any',
      auth: 'user',
      handler: run,
    },
    {
      method: 'POST',
      path: '/admin/graphql',
      gate: 'any',
      auth: 'user',
      handler: async (request) => {
        const { data, errors } = v.parse(envelope, await (await run(request)).json());
        if (errors !== null) throw new BackendError('GraphQLError', undefined, { data: errors });
        // Older clients take the body for the data itself, newer ones read its `data`.
        return { json: { ...data, data, errors } };
      },
    },
  ];
}
