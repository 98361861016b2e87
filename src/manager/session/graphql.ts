/** Sessions and containers in the GraphQL schema (the legacy types). */
import DataLoader from 'dataloader';
import { kernelStatistics } from '../agent/graphql-statistics.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type {
  ComputeContainer,
  Querycompute_container_listArgs,
  Querycompute_session_listArgs,
} from '../graphql/resolvers.generated.ts';
import { nameList, pageOf, scopeByAccessKey } from '../graphql/scope.ts';
import { idleReportOf } from '../idle/graphql.ts';
import { commitStatusOf } from './commit-status.ts';
import {
  type ContainerRow,
  containersOfAgents,
  containersOfSessions,
  dependenciesOf,
  findContainerRow,
  findSessionRow,
  listContainers,
  listSessions,
  type SessionListRow,
} from './graphql-store.ts';
import { kernelStatuses, placedKernelStatuses, sessionStatuses } from './status.ts';

const typeDefs = /* GraphQL */ `
  type Query {
    compute_session(id: UUID!): ComputeSession
    compute_container(id: UUID!): ComputeContainer
    compute_session_list(
      limit: Int!
      offset: Int!
      filter: String
      order: String
      domain_name: String
      group_id: String
      access_key: String
      status: String
    ): ComputeSessionList
    compute_container_list(
      limit: Int!
      offset: Int!
      filter: String
      order: String
      session_id: ID!
      role: String
    ): ComputeContainerList
  }

  type ComputeSession implements Item {
    id: ID
    session_id: UUID
    main_kernel_id: UUID
    tag: String
    name: String
    type: String
    main_kernel_role: String
    priority: Int
    image: String
    architecture: String
    registry: String
    cluster_mode: String
    cluster_size: Int
    domain_name: String
    group_name: String
    group_id: UUID
    user_email: String
    full_name: String
    user_id: UUID
    access_key: String
    status: String
    status_changed: DateTime
    status_info: String
    status_data: JSONString
    status_history: JSONString
    created_at: DateTime
    terminated_at: DateTime
    starts_at: DateTime
    scheduled_at: DateTime
    startup_command: String
    result: String
    commit_status: String
    idle_checks: JSONString
    abusing_reports: [JSONString]
    agent_ids: [String]
    agents: [String]
    resource_opts: JSONString
    scaling_group: String
    service_ports: JSONString
    mounts: [String]
    occupying_slots: JSONString
    occupied_slots: JSONString
    requested_slots: JSONString
    num_queries: BigInt
    containers: [ComputeContainer]
    dependencies: [ComputeSession]
  }

  type ComputeSessionList implements PaginatedList {
    items: [ComputeSession]!
    total_count: Int!
  }

  type ComputeContainer implements Item {
    id: ID
    idx: Int
    role: String
    hostname: String
    kernel_id: UUID
    cluster_idx: Int
    local_rank: Int
    cluster_role: String
    cluster_hostname: String
    session_id: UUID
    image: String
    architecture: String
    registry: String
    status: String
    status_changed: DateTime
    status_info: String
    status_data: JSONString
    created_at: DateTime
    terminated_at: DateTime
    starts_at: DateTime
    scheduled_at: DateTime
    agent: String
    agent_addr: String
    container_id: String
    resource_opts: JSONString
    occupied_slots: JSONString
    live_stat: JSONString
    last_stat: JSONString
    preopen_ports: [Int]
  }

  type ComputeContainerList implements PaginatedList {
    items: [ComputeContainer]!
    total_count: Int!
  }

  type Agent {
    container_count: Int
    compute_containers(status: String): [ComputeContainer]
  }
`;

/** When a status was last entered; null when it never was. */
export function historyTime(history: Readonly<Record<string, string>> | null, status: string) {
  const text = history?.[status];
  return text === undefined ? null : new Date(text);
}

interface Loaders {
  readonly containers: DataLoader<string, ContainerRow[]>;
  readonly dependencies: DataLoader<string, SessionListRow[]>;
  /** By agent, of one set of statuses; the set is the outer key. */
  readonly placed: Map<string, DataLoader<string, ContainerRow[]>>;
}

const loadersByRequest = new WeakMap<GraphqlContext, Loaders>();

/** One batch per request and kind, however many sessions are listed. */
function loadersOf(context: GraphqlContext): Loaders {
  let loaders = loadersByRequest.get(context);
  if (!loaders) {
    const { sql } = context.ctx;
    loaders = {
      containers: new DataLoader((ids) => containersOfSessions(sql, ids)),
      dependencies: new DataLoader((ids) => dependenciesOf(sql, ids)),
      placed: new Map(),
    };
    loadersByRequest.set(context, loaders);
  }
  return loaders;
}

/** The kernels of a session, main kernels first. */
export const kernelsOf = (context: GraphqlContext, sessionId: string): Promise<ContainerRow[]> =>
  loadersOf(context).containers.load(sessionId);

/** The kernels of an agent; by default those that occupy its resources. */
export function placedOn(agentId: string, context: GraphqlContext, status?: string | null) {
  const statuses = nameList(status, kernelStatuses) ?? [...placedKernelStatuses];
  const { placed } = loadersOf(context);
  const key = statuses.join();
  let loader = placed.get(key);
  if (!loader) {
    loader = new DataLoader((ids) => containersOfAgents(context.ctx.sql, ids, statuses));
    placed.set(key, loader);
  }
  return loader.load(agentId);
}

/** Whether agents are kept from the caller. */
export const agentsHidden = ({ ctx, caller }: GraphqlContext): boolean =>
  ctx.settings.hideAgents && caller.role !== 'superadmin';

/** A kernel as ComputeContainer. */
function toComputeContainer(row: ContainerRow, context: GraphqlContext): ComputeContainer {
  const hidden = agentsHidden(context);
  return {
    id: row.id,
    idx: row.cluster_idx,
    role: row.cluster_role,
    hostname: row.cluster_hostname,
    kernel_id: row.id,
    cluster_idx: row.cluster_idx,
    local_rank: row.local_rank,
    cluster_role: row.cluster_role,
    cluster_hostname: row.cluster_hostname,
    session_id: row.session_id,
    image: row.image,
    architecture: row.architecture,
    registry: row.registry,
    status: row.status,
    status_changed: row.status_changed,
    status_info: row.status_info,
    status_data: row.status_data,
    created_at: row.created_at,
    terminated_at: row.terminated_at,
    starts_at: row.starts_at,
    scheduled_at: historyTime(row.status_history, 'SCHEDULED'),
    agent: hidden ? null : row.agent,
    agent_addr: hidden ? null : row.agent_addr,
    container_id: hidden ? null : row.container_id,
    resource_opts: row.resource_opts ?? {},
    occupied_slots: row.occupied_slots,
    live_stat: row.last_stat,
    last_stat: row.last_stat,
    preopen_ports: row.preopen_ports ?? [],
  };
}

function toComputeSession(row: SessionListRow, context: GraphqlContext) {
  const agents = agentsHidden(context) ? null : (row.agent_ids ?? []);
  const occupied = row.occupying_slots;
  return {
    id: row.id,
    session_id: row.id,
    main_kernel_id: row.main_kernel_id,
    tag: row.tag,
    name: row.name,
    type: row.session_type,
    main_kernel_role: row.session_type,
    priority: row.priority,
    image: row.images?.[0] ?? null,
    architecture: row.architecture,
    registry: row.registry,
    cluster_mode: row.cluster_mode.toLowerCase().replaceAll('_', '-'),
    cluster_size: row.cluster_size,
    domain_name: row.domain_name,
    group_name: row.group_name,
    group_id: row.group_id,
    user_email: row.user_email,
    full_name: row.full_name,
    user_id: row.user_id,
    access_key: row.access_key,
    status: row.status,
    status_changed: historyTime(row.status_history, row.status),
    status_info: row.status_info,
    status_data: row.status_data,
    status_history: row.status_history ?? {},
    created_at: row.created_at,
    terminated_at: row.terminated_at,
    starts_at: row.starts_at,
    scheduled_at: historyTime(row.status_history, 'SCHEDULED'),
    startup_command: row.startup_command,
    result: row.result,
    // Nothing reports abuse.
    abusing_reports: [],
    agent_ids: agents,
    agents,
    resource_opts: row.resource_opts ?? {},
    scaling_group: row.scaling_group,
    service_ports: row.service_ports,
    mounts: [...new Set((row.vfolder_mounts ?? []).map((mount) => mount.name))],
    occupying_slots: occupied,
    occupied_slots: occupied,
    requested_slots: row.requested_slots,
    num_queries: row.num_queries ?? 0,
  };
}

/** A session as its resolvers give it. */
export type ComputeSessionParent = ReturnType<typeof toComputeSession>;

const UUID_TEXT = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

async function sessionList(args: Querycompute_session_listArgs, context: GraphqlContext) {
  const { rows, total } = await listSessions(context.ctx, {
    ...pageOf(args),
    scope: scopeByAccessKey(context.caller, args),
    groupId: args.group_id ?? null,
    statuses: nameList(args.status, sessionStatuses),
    filter: args.filter,
    order: args.order,
    hideAgents: agentsHidden(context),
  });
  return { items: rows.map((row) => toComputeSession(row, context)), total_count: total };
}

async function containerList(args: Querycompute_container_listArgs, context: GraphqlContext) {
  const scope = scopeByAccessKey(context.caller, {});
  const page = pageOf(args);
  // The argument is an ID: text that is no UUID names no session.
  if (!UUID_TEXT.test(args.session_id)) return { items: [], total_count: 0 };
  const { rows, total } = await listContainers(context.ctx.sql, {
    ...page,
    scope,
    sessionId: args.session_id,
    role: args.role ?? null,
    filter: args.filter,
    order: args.order,
    hideAgents: agentsHidden(context),
  });
  return { items: rows.map((row) => toComputeContainer(row, context)), total_count: total };
}

/** What a kernel uses now, or used before it ended. */
const figuresOf = async (kernel: ComputeContainer, _args: unknown, context: GraphqlContext) =>
  (kernel.id && (await kernelStatistics(context, kernel.id))) || kernel.last_stat;

export const sessionGraphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    Agent: {
      container_count: async (agent, _args, context) => (await placedOn(agent.id, context)).length,
      compute_containers: async (agent, args, context) =>
        (await placedOn(agent.id, context, args.status)).map((kernel) =>
          toComputeContainer(kernel, context),
        ),
    },
    ComputeContainer: { live_stat: figuresOf, last_stat: figuresOf },
    ComputeSession: {
      commit_status: async (session, _args, context) =>
        commitStatusOf(context, await kernelsOf(context, session.id)),
      idle_checks: (session, _args, context) => idleReportOf(context, session.id),
      containers: async (session, _args, context) =>
        (await kernelsOf(context, session.id)).map((kernel) => toComputeContainer(kernel, context)),
      dependencies: async (session, _args, context) =>
        (await loadersOf(context).dependencies.load(session.id)).map((other) =>
          toComputeSession(other, context),
        ),
    },
    Query: {
      compute_session: async (_root, args, context) => {
        const scope = scopeByAccessKey(context.caller, {});
        const row = await findSessionRow(context.ctx.sql, scope, args.id);
        return row && toComputeSession(row, context);
      },
      compute_container: async (_root, args, context) => {
        const scope = scopeByAccessKey(context.caller, {});
        const row = await findContainerRow(context.ctx.sql, scope, args.id);
        return row && toComputeContainer(row, context);
      },
      compute_session_list: (_root, args, context) => sessionList(args, context),
      compute_container_list: (_root, args, context) => containerList(args, context),
    },
  },
};
