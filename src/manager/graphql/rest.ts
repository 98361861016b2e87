/** The HTTP operations that carry GraphQL. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
import { eventStream, type ServerEvent } from '../http/sse.ts';
import type { GraphqlCaller } from './context.ts';
import type { GraphqlAnswer, GraphqlEngine, GraphqlRequest } from './engine.ts';

/** A request as clients write it, in bodies and in WebSocket messages. */
export const graphqlBody = v.object({
  query: v.string(),
  variables: v.optional(v.nullable(v.record(v.string(), v.unknown()))),
  operation_name: v.optional(v.nullable(v.string())),
  operationName: v.optional(v.nullable(v.string())),
});

export const toRequest = ({
  query,
  variables,
  operation_name,
  operationName,
}: v.InferOutput<typeof graphqlBody>): GraphqlRequest => ({
  query,
  variables,
  operationName: operationName ?? operation_name,
});

const envelope = v.object({
  data: v.nullable(v.record(v.string(), v.unknown())),
  errors: v.nullable(v.array(v.unknown())),
});

/** What the engine is told of who asks. */
export const callerOf = (
  ctx: ManagerContext,
  { caller, requestId, clientAddress, signal }: AuthenticatedRequest,
): GraphqlCaller => ({ ctx, caller, requestId, clientAddress, signal });

const wantsStream = ({ request }: AuthenticatedRequest): boolean =>
  request.headers.get('accept')?.includes('text/event-stream') ?? false;

/** The "distinct connections" mode of graphql-sse: `next` for each answer, then `complete`. */
async function* frames(answers: AsyncIterable<GraphqlAnswer>): AsyncGenerator<ServerEvent> {
  for await (const answer of answers) yield { event: 'next', data: answer };
  yield { event: 'complete' };
}

async function streamed(
  engine: GraphqlEngine,
  request: GraphqlRequest,
  by: GraphqlCaller,
): Promise<Response> {
  const ended = new AbortController();
  const signal = AbortSignal.any([by.signal, ended.signal]);
  const answers = await engine.stream(request, { ...by, signal });
  return eventStream(by.ctx.clock, frames(answers), {
    signal: by.signal,
    onEnd: () => ended.abort(),
  });
}

/** `/admin/gql` always answers 200; `/admin/graphql` is the older form with an HTTP error status. */
export function graphqlRoutes(ctx: ManagerContext, engine: GraphqlEngine): Route[] {
  const common = {
    method: 'POST',
    gate: 'any',
    auth: 'user',
    takes: { body: graphqlBody },
  } as const;
  const current = (path: string): Route =>
    route(
      { ...common, path, summary: 'Run a GraphQL document; its answers may come as a stream.' },
      async (request, input) => {
        const asked = toRequest(input.body);
        const by = callerOf(ctx, request);
        return wantsStream(request) ? streamed(engine, asked, by) : engine.handle(asked, by);
      },
    );
  return [
    current('/admin/gql'),
    current('/admin/gql/strawberry'),
    route(
      {
        ...common,
        path: '/admin/graphql',
        summary: 'Run a GraphQL document; its failure becomes an HTTP error.',
      },
      async (request, input) => {
        const response = await engine.handle(toRequest(input.body), callerOf(ctx, request));
        const { data, errors } = v.parse(envelope, await response.json());
        if (errors !== null) throw new BackendError('GraphQLError', undefined, { data: errors });
        // Older clients take the body for the data itself, newer ones read its `data`.
        return { json: { ...data, data, errors } };
      },
    ),
  ];
}
