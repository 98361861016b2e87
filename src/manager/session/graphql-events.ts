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

/** The answer about a status; none for those that clients' enum lacks: restarts and lost kernels. */
function* told(sessionId: string, status: string, reason: string) {
  const statusTransition = SCHEDULING_STATUSES.find((known) => known === status);
  if (statusTransition === undefined) return;
  yield { schedulingEventsBySession: { sessionId, statusTransition, reason } };
}

/**
 * What happens to a session, beginning with how it is: whoever read it before subscribing may have
 * missed all the rest of a short life.
 */
async function* schedulingEvents(context: GraphqlContext, sessionId: string) {
  const { ctx, caller, signal } = context;
  const events = statusEvents(ctx, { sessionId, sessions: true, kernels: false }, signal);
  try {
    // It listens from here on; only then is it worth reading how the session is.
    const first = events.next();
    const session = await getSessionForCaller(ctx, caller, sessionId, { includeDead: true });
    yield* told(sessionId, session.status, session.statusInfo ?? '');
    const { value, done } = await first;
    if (done) return;
    yield* told(sessionId, value.status, value.reason);
    for await (const { status, reason } of events) yield* told(sessionId, status, reason);
  } finally {
    // Not waited for: while nothing happens to the session it ends with the request.
    void events.return(undefined);
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
