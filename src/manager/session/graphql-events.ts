/** GraphQL subscription to what happens to one session. */
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { rawIdOf } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { statusEvents } from './events.ts';
import { loadSessionNode } from './node-graphql.ts';
import { getSessionForCaller } from './service.ts';

const SCHEDULING_STATUSES = [
  'PENDING',
  'SCHEDULED',
  'PREPARING',
  'PULLING',
  'PREPARED',
  'CREATING',
  'RUNNING',
  'TERMINATING',
  'TERMINATED',
  'CANCELLED',
  'ERROR',
] as const;

const typeDefs = /* GraphQL */ `
  enum SchedulingStatus {
    ${SCHEDULING_STATUSES.join('\n')}
  }

  type Subscription {
    schedulingEventsBySession(sessionId: ID!): SchedulingBroadcastEventPayload!
  }

  type SchedulingBroadcastEventPayload {
    session: ComputeSessionNode
    sessionId: ID!
    statusTransition: SchedulingStatus!
    reason: String!
  }
`;

async function* schedulingEvents(context: GraphqlContext, sessionId: string) {
  const { ctx, signal } = context;
  const wanted = { sessionId, sessions: true, kernels: false };
  for await (const { status, reason } of statusEvents(ctx, wanted, signal)) {
    const statusTransition = SCHEDULING_STATUSES.find((known) => known === status);
    // Clients' enum lacks the statuses of sessions that restart or have lost a kernel.
    if (statusTransition === undefined) continue;
    yield { schedulingEventsBySession: { sessionId, statusTransition, reason } };
  }
}

export const sessionEventsGraphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    SchedulingBroadcastEventPayload: {
      // Each event has a context of its own, so the session is read as it is then.
      session: ({ sessionId }, _args, context) => loadSessionNode(context, sessionId),
    },
    Subscription: {
      schedulingEventsBySession: {
        async subscribe(_root, args, context) {
          const id = rawIdOf(args.sessionId);
          if (!isUuid(id)) {
            throw new BackendError('InvalidAPIParameters', `'${id}' is no session id.`);
          }
          const { ctx, caller } = context;
          const session = await getSessionForCaller(ctx, caller, id, { includeDead: true });
          return schedulingEvents(context, session.id);
        },
      },
    },
  },
};
