/** GraphQL subscription to how far a background task is. */
import type { GraphqlContext } from '../graphql/context.ts';
import { rawIdOf } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { TaskState } from './service.ts';

const EVENT_TYPES = {
  updated: 'UPDATED',
  done: 'DONE',
  cancelled: 'CANCELLED',
  failed: 'FAILED',
} as const satisfies Record<TaskState, string>;

async function* taskEvents({ ctx, signal }: GraphqlContext, taskId: string) {
  for await (const { state, message, current, total } of ctx.tasks.watch(taskId, null, signal)) {
    const backgroundTaskEvents = {
      taskId,
      eventType: EVENT_TYPES[state],
      message,
      currentProgress: current,
      totalProgress: total,
    };
    yield { backgroundTaskEvents };
  }
}

export const backgroundTaskGraphql: GraphqlModule = {
  typeDefs: /* GraphQL */ `
    type Subscription {
      backgroundTaskEvents(taskId: ID!): BackgroundTaskEventPayload!
    }

    type BackgroundTaskEventPayload {
      taskId: ID!
      eventType: BgtaskEventType!
      message: String!
      currentProgress: Float
      totalProgress: Float
    }

    enum BgtaskEventType {
      UPDATED
      DONE
      CANCELLED
      FAILED
    }
  `,
  resolvers: {
    Subscription: {
      backgroundTaskEvents: {
        async subscribe(_root, args, context) {
          const taskId = rawIdOf(args.taskId);
          await context.ctx.tasks.authorize(context.caller, taskId);
          return taskEvents(context, taskId);
        },
      },
    },
  },
};
