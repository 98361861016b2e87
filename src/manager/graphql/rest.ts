/** The HTTP operations that carry GraphQL. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
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
  const run = (
    request: AuthenticatedRequest,
    { query, variables, operation_name, operationName }: v.InferOutput<typeof body>,
  ): Promise<Response> => {
    const { caller, requestId, clientAddress, signal } = request;
    return engine.handle(
      { query, variables, operationName: operationName ?? operation_name },
      { ctx, caller, requestId, clientAddress, signal },
    );
  };
  const common = { method: 'POST', gate: 'any', auth: 'user', takes: { body } } as const;
  return [
    route({ ...common, path: '/admin/gql', summary: 'Run a GraphQL document.' }, (request, input) =>
      run(request, input.body),
    ),
    route(
      {
        ...common,
        path: '/admin/graphql',
        summary: 'Run a GraphQL document; its failure becomes an HTTP error.',
      },
      async (request, input) => {
        const response = await run(request, input.body);
        const { data, errors } = v.parse(envelope, await response.json());
        if (errors !== null) throw new BackendError('GraphQLError', undefined, { data: errors });
        // Older clients take the body for the data itself, newer ones read its `data`.
        return { json: { ...data, data, errors } };
      },
    ),
  ];
}
