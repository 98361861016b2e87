/** GraphQL fields of the newer schema about what was tried with sessions, and ending several. */
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { refusedTargets } from '../authz/service.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { v2Mutation } from '../graphql/mutation.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import {
  type SessionHistoryRow,
  schedulingResults,
  selectSessionHistory,
} from './history-store.ts';
import { loadSessionNode } from './node-graphql.ts';
import { terminateSessions } from './service.ts';

const TYPE = 'SessionSchedulingHistory';
const MAX_TERMINATED_AT_ONCE = 100;
/** Ids that one message names. */
const MAX_NAMED = 10;

const LIST = `filter: SessionSchedulingHistoryFilter = null
      orderBy: [SessionSchedulingHistoryOrderBy!] = null
      before: String = null
      after: String = null
      first: Int = null
      last: Int = null
      limit: Int = null
      offset: Int = null`;

const typeDefs = /* GraphQL */ `
  enum SchedulingResult {
    ${schedulingResults.join('\n')}
  }

  type Query {
    sessionScopedSchedulingHistories(
      scope: SessionScope!
      ${LIST}
    ): SessionSchedulingHistoryConnection
    adminSessionSchedulingHistories(
      ${LIST}
    ): SessionSchedulingHistoryConnection
  }

  type Mutation {
    terminateSessionsV2(sessionIds: [ID!]!, forced: Boolean! = false): TerminateSessionsPayload
  }

  type TerminateSessionsPayload {
    cancelled: [ID!]!
    terminating: [ID!]!
    forceTerminated: [ID!]!
    skipped: [ID!]!
  }

  input SessionScope {
    sessionId: UUID!
  }

  input SchedulingResultFilter {
    equals: SchedulingResult = null
    in: [SchedulingResult!] = null
    notEquals: SchedulingResult = null
    notIn: [SchedulingResult!] = null
  }

  input SessionSchedulingHistoryFilter {
    id: UUIDFilter = null
    sessionId: UUIDFilter = null
    phase: StringFilter = null
    fromStatus: [String!] = null
    toStatus: [String!] = null
    result: SchedulingResultFilter = null
    errorCode: StringFilter = null
    message: StringFilter = null
    createdAt: DateTimeFilter = null
    updatedAt: DateTimeFilter = null
    AND: [SessionSchedulingHistoryFilter!] = null
    OR: [SessionSchedulingHistoryFilter!] = null
    NOT: [SessionSchedulingHistoryFilter!] = null
  }

  enum SessionSchedulingHistoryOrderField {
    CREATED_AT
    UPDATED_AT
  }

  input SessionSchedulingHistoryOrderBy {
    field: SessionSchedulingHistoryOrderField!
    direction: OrderDirection! = DESC
  }

  type SessionSchedulingHistoryConnection {
    pageInfo: PageInfo!
    edges: [SessionSchedulingHistoryEdge!]!
    count: Int!
  }

  type SessionSchedulingHistoryEdge {
    cursor: String!
    node: SessionSchedulingHistory!
  }

  type SessionSchedulingHistory implements Node {
    id: ID!
    sessionId: ID!
    phase: String!
    fromStatus: String
    toStatus: String
    result: SchedulingResult!
    errorCode: String
    message: String
    subSteps: [SubStepResultGQL!]!
    attempts: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  type SubStepResultGQL {
    step: String!
    result: SchedulingResult!
    errorCode: String
    message: String
    startedAt: DateTime
    endedAt: DateTime
  }
`;

/** Whether the caller sees the session in a list, or a role lets it be read. */
export async function isReadable(context: GraphqlContext, sessionId: string): Promise<boolean> {
  if (await loadSessionNode(context, sessionId)) return true;
  const targets = { type: 'session', ids: [sessionId] } as const;
  return (await refusedTargets(context, 'read', 'session', targets)).size === 0;
}

/**
 * Passes whoever may read the session.
 * @throws BackendError SessionNotFound, which does not tell of the session's owner or project, as the
 *   reason of a role's refusal would.
 */
export async function requireReadable(context: GraphqlContext, sessionId: string): Promise<void> {
  if (await isReadable(context, sessionId)) return;
  throw new BackendError('SessionNotFound', `There is no session ${sessionId} you may see.`);
}

const idOf = ({ id }: SessionHistoryRow): string => id;

/**
 * Ends sessions of which the caller may end every one; otherwise none.
 * @throws BackendError NotEnoughPermission; InvalidAPIParameters for ids that are none, or too many.
 */
async function terminate(context: GraphqlContext, given: readonly string[], forced: boolean) {
  const ids = given.map((id) => rawIdOf(id).toLowerCase());
  const wrong = ids.find((id) => !isUuid(id));
  if (wrong !== undefined) {
    throw new BackendError('InvalidAPIParameters', `'${wrong.slice(0, 100)}' is no session id.`);
  }
  if (ids.length > MAX_TERMINATED_AT_ONCE) {
    throw new BackendError(
      'InvalidAPIParameters',
      `At most ${MAX_TERMINATED_AT_ONCE} sessions can be ended at once.`,
    );
  }
  const targets = { type: 'session', ids } as const;
  const refused = await refusedTargets(context, 'soft-delete', 'session', targets);
  if (refused.size > 0) {
    // The reasons would tell whose the sessions are.
    const named = [...refused.keys()].slice(0, MAX_NAMED).join(', ');
    throw new BackendError('NotEnoughPermission', `You may not end ${named}. Nothing was ended.`);
  }
  return await terminateSessions(context.ctx, ids, forced, context);
}

export const sessionHistoryGraphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    Query: {
      sessionScopedSchedulingHistories: async (_root, args, context, info) => {
        const { sessionId } = args.scope;
        await requireReadable(context, sessionId);
        return v2ListField<SessionHistoryRow>(args, info, {
          idOf,
          load: (wish) => selectSessionHistory(context.ctx.sql, sessionId, args, wish),
        });
      },
      adminSessionSchedulingHistories: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField<SessionHistoryRow>(args, info, {
          idOf,
          load: (wish) => selectSessionHistory(ctx.sql, null, args, wish),
        });
      },
    },
    Mutation: {
      terminateSessionsV2: (_root, { sessionIds, forced }, context) =>
        v2Mutation(context, 'anybody', () => terminate(context, sessionIds, forced ?? false)),
    },
    SessionSchedulingHistory: {
      id: ({ id }) => globalId(TYPE, id),
      sessionId: (entry) => entry.session_id,
      fromStatus: (entry) => entry.from_status,
      toStatus: (entry) => entry.to_status,
      errorCode: (entry) => entry.error_code,
      subSteps: (entry) =>
        entry.sub_steps.map((step) => ({
          step: step.step,
          result: step.result,
          errorCode: step.error_code,
          message: step.message,
          startedAt: step.started_at,
          endedAt: step.ended_at,
        })),
      createdAt: (entry) => entry.created_at,
      updatedAt: (entry) => entry.updated_at,
    },
  },
};
