/** GraphQL fields that show the audit log, older and newer. */
import { isUuid } from '../../common/ids.ts';
import { elementWords } from '../authz/elements.ts';
import { connectionField } from '../graphql/connection.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { AuditLogStatus } from '../graphql/resolvers.generated.ts';
import { requireAdministrator, requireSuperadmin } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { loadUserV2 } from '../user/v2-graphql.ts';
import { listAuditEntries } from './list.ts';
import {
  type AuditEntry,
  selectAuditEntries,
  selectAuditEntry,
  selectAuditNodes,
  selectEntityTypes,
} from './list-store.ts';

const STATUSES = ['success', 'error', 'unknown', 'running'] as const;
const MEMBERS = {
  success: 'SUCCESS',
  error: 'ERROR',
  unknown: 'UNKNOWN',
  running: 'RUNNING',
} as const satisfies Record<(typeof STATUSES)[number], AuditLogStatus>;

const idOf = ({ id }: AuditEntry): string => id;

const PAGE =
  'before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';
const LIST = `filter: AuditLogFilter = null, orderBy: [AuditLogOrderBy!] = null, ${PAGE}`;

const typeDefs = /* GraphQL */ `
  type Query {
    audit_log_schema: AuditLogSchema
    audit_log_nodes(filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): AuditLogConnection
    adminAuditLogsV2(${LIST}): AuditLogV2Connection
    scopedAuditLogsV2(scope: AuditLogScope!, ${LIST}): AuditLogV2Connection
  }

  type AuditLogSchema {
    entity_type_variants: [String]
    status_variants: [String]
  }

  type AuditLogNode implements Node {
    id: ID!
    row_id: UUID!
    action_id: UUID!
    entity_type: String!
    operation: String!
    entity_id: String
    created_at: DateTime!
    request_id: String
    triggered_by: String
    description: String!
    duration: String
    status: String!
  }

  type AuditLogConnection {
    pageInfo: PageInfo!
    edges: [AuditLogEdge]!
    count: Int
  }

  type AuditLogEdge {
    node: AuditLogNode
    cursor: String!
  }

  type AuditLogV2 implements Node {
    id: ID!
    actionId: UUID!
    entityType: String!
    operation: String!
    entityId: String
    createdAt: DateTime!
    requestId: String
    triggeredBy: String
    description: String!
    duration: String
    status: AuditLogStatus!
    user: UserV2
  }

  enum AuditLogStatus {
    SUCCESS
    ERROR
    UNKNOWN
    RUNNING
  }

  input AuditLogScope {
    entity: [EntityTypeScope!] = null
    triggeredUser: [UUIDScope!] = null
  }

  input EntityTypeScope {
    entityType: RBACElementType!
    entityId: String!
  }

  input UUIDScope {
    value: UUID!
  }

  input AuditLogFilter {
    entityType: StringFilter = null
    entityId: StringFilter = null
    operation: StringFilter = null
    status: AuditLogStatusFilter = null
    createdAt: DateTimeFilter = null
    triggeredBy: StringFilter = null
    AND: [AuditLogFilter!] = null
    OR: [AuditLogFilter!] = null
    NOT: [AuditLogFilter!] = null
  }

  input AuditLogStatusFilter {
    equals: AuditLogStatus = null
    in: [AuditLogStatus!] = null
    notEquals: AuditLogStatus = null
    notIn: [AuditLogStatus!] = null
  }

  input AuditLogOrderBy {
    field: AuditLogOrderField!
    direction: OrderDirection! = DESC
  }

  enum AuditLogOrderField {
    CREATED_AT
    ENTITY_TYPE
    OPERATION
    STATUS
  }

  type AuditLogV2Connection {
    pageInfo: PageInfo!
    edges: [AuditLogV2Edge!]!
    count: Int!
  }

  type AuditLogV2Edge {
    cursor: String!
    node: AuditLogV2!
  }
`;

/** The record, for superadmins, who see all of them; null for others. */
const findEntry: NonNullable<NonNullable<GraphqlModule['nodes']>['AuditLogV2']> = async (
  { ctx, caller },
  id,
) => (caller.isSuperadmin && isUuid(id) ? selectAuditEntry(ctx.sql, id) : null);

export const auditGraphql: GraphqlModule = {
  typeDefs,
  nodes: { AuditLogNode: findEntry, AuditLogV2: findEntry },
  resolvers: {
    Query: {
      audit_log_schema: async (_root, _args, { ctx, caller }) => {
        requireSuperadmin(caller);
        const types = await selectEntityTypes(ctx.sql);
        return { entity_type_variants: types, status_variants: STATUSES };
      },
      audit_log_nodes: async (_root, args, context, info) => {
        requireSuperadmin(context.caller);
        return connectionField(args, context, info, {
          typeName: 'AuditLogNode',
          idOf,
          load: (wish) => selectAuditNodes(context.ctx.sql, args, wish),
        });
      },
      adminAuditLogsV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField(args, info, {
          idOf,
          load: (wish) => selectAuditEntries(ctx.sql, null, args, wish),
        });
      },
      scopedAuditLogsV2: (_root, args, context, info) => {
        const entities = (args.scope.entity ?? []).map(({ entityType, entityId }) => ({
          type: elementWords.stored(entityType),
          id: entityId,
        }));
        const userIds = (args.scope.triggeredUser ?? []).map(({ value }) => value);
        return v2ListField(args, info, {
          idOf,
          load: (wish) => listAuditEntries(context, { entities, userIds }, args, wish),
        });
      },
    },
    AuditLogNode: {
      id: ({ id }) => globalId('AuditLogNode', id),
      row_id: ({ id }) => id,
    },
    AuditLogV2: {
      id: ({ id }) => globalId('AuditLogV2', id),
      actionId: (row) => row.action_id,
      entityType: (row) => row.entity_type,
      entityId: (row) => row.entity_id,
      createdAt: (row) => row.created_at,
      requestId: (row) => row.request_id,
      triggeredBy: (row) => row.triggered_by,
      status: (row) => MEMBERS[STATUSES.find((known) => known === row.status) ?? 'unknown'],
      user: ({ triggered_by: userId }, _args, context) =>
        userId !== null && isUuid(userId) ? loadUserV2(context, userId) : null,
    },
  },
};
