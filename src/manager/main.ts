/** Starts a manager: the control plane and the HTTP server on given stores. */
import { hostname } from 'node:os';
import type { Sql } from 'postgres';
import type { Clock } from '../common/clock.ts';
import type { Logger } from '../common/logger.ts';
import type { managerApi } from '../common/protocol/manager.ts';
import type { Random } from '../common/random.ts';
import type { ApiOf } from '../common/rpc/api.ts';
import type { NodeKeys } from '../common/rpc/keys.ts';
import type { Tracer } from '../common/tracing.ts';
import { eventMetrics, passMetrics } from '../metrics/passes.ts';
import { createRegistry, type MetricsRegistry } from '../metrics/registry.ts';
import type { ConfigStore } from '../stores/config/port.ts';
import type { LiveStore } from '../stores/live/port.ts';
import { agentGraphql } from './agent/graphql.ts';
import { joinRoute } from './agent/join.ts';
import { KnownAgents } from './agent/known-agents.ts';
import { agentNodeGraphql } from './agent/node-graphql.ts';
import { agentSearchRoutes } from './agent/rest-search.ts';
import { agentV2Graphql } from './agent/v2-graphql.ts';
import { agentGatewayRoute, announceManager, httpAgentDirectory } from './agent-link.ts';
import { auditGraphql } from './audit/graphql.ts';
import { loginGraphql } from './auth/login-graphql.ts';
import { rolesGraphql } from './authz/graphql.ts';
import { roleChangesGraphql } from './authz/graphql-change.ts';
import { roleInvitationsGraphql } from './authz/graphql-invitation.ts';
import { rolePresetsGraphql } from './authz/graphql-preset.ts';
import { rbacRoutes } from './authz/rest.ts';
import { backgroundTaskGraphql } from './background-task/graphql.ts';
import { backgroundTaskRoutes } from './background-task/rest.ts';
import { BackgroundTasks } from './background-task/service.ts';
import { factRoutes } from './config/facts-rest.ts';
import { configManageRoutes } from './config/manage-rest.ts';
import type { AgentDirectory, ManagerContext } from './context.ts';
import { startControlPlane } from './control-plane.ts';
import { keyedConnections, lookupConnections } from './db/connect.ts';
import { domainGraphql } from './domain/graphql.ts';
import { domainNodeGraphql } from './domain/node-graphql.ts';
import { domainV2Graphql } from './domain/v2-graphql.ts';
import { dotfileRoutes } from './dotfile/rest.ts';
import { errorLogRoutes } from './error-log/rest.ts';
import { createEventBus } from './event/create.ts';
import { exportRoutes } from './export/rest.ts';
import { fairShareGraphql } from './fair-share/graphql.ts';
import { fairShareRoutes } from './fair-share/rest.ts';
import { usageBucketRoutes } from './fair-share/rest-usage.ts';
import { usageBucketGraphql } from './fair-share/usage-graphql.ts';
import { folderGraphql } from './folder/graphql.ts';
import { folderRoutes } from './folder/rest.ts';
import { quotaScopeRoutes } from './folder/rest-quota-scopes.ts';
import { storageGraphql } from './folder/storage-graphql.ts';
import { folderFilesV2Graphql } from './folder/v2-files-graphql.ts';
import { folderV2Graphql } from './folder/v2-graphql.ts';
import { createGraphqlEngine, type GraphqlEngine } from './graphql/engine.ts';
import { LargeTotals } from './graphql/large-totals.ts';
import type { GraphqlModule } from './graphql/module.ts';
import { graphqlRoutes } from './graphql/rest.ts';
import { graphqlSockets } from './graphql/socket.ts';
import type { ListenAddress } from './http/listen.ts';
import { type OpenApiDocument, openApiDocument } from './http/openapi.ts';
import type { Route, SocketRoute } from './http/route.ts';
import { imageGraphql } from './image/graphql.ts';
import { imageNodeGraphql } from './image/node-graphql.ts';
import { imageAliasV2Graphql } from './image/v2-alias-graphql.ts';
import { imageV2Graphql } from './image/v2-graphql.ts';
import { keypairGraphql } from './keypair/graphql.ts';
import { keypairV2Graphql } from './keypair/v2-graphql.ts';
import { clusterGauges } from './metrics/gauges.ts';
import { openIdRoutes } from './openid/rest.ts';
import { OwnRecords } from './own-records.ts';
import { policyGraphql } from './policy/graphql.ts';
import { policyV2Graphql } from './policy/v2-graphql.ts';
import { projectGraphql } from './project/graphql.ts';
import { projectNodeGraphql } from './project/node-graphql.ts';
import { projectV2Graphql } from './project/v2-graphql.ts';
import { registryGraphql } from './registry/graphql.ts';
import { registryNodeGraphql } from './registry/node-graphql.ts';
import { containerRegistryRoutes } from './registry/rest.ts';
import { resourceGroupGraphql } from './resource-group/graphql.ts';
import { resourceGroupNodeGraphql } from './resource-group/node-graphql.ts';
import { resourceGroupRoutes } from './resource-group/rest.ts';
import { resourceGroupV2Graphql } from './resource-group/v2-graphql.ts';
import { resourceGroupV2ManageGraphql } from './resource-group/v2-manage-graphql.ts';
import { resourcePresetGraphql } from './resource-preset/graphql.ts';
import { resourcePresetRoutes } from './resource-preset/rest.ts';
import { resourcePresetV2Graphql } from './resource-preset/v2-graphql.ts';
import { resourceSlotGraphql } from './resource-slot/graphql.ts';
import { resourceSlotRoutes } from './resource-slot/rest.ts';
import { v2Routes } from './rest-v2/rest.ts';
import { explainGraphql } from './scheduler/explain-graphql.ts';
import { schedulerRoutes } from './scheduler/rest.ts';
import { describedRoutes, startServer, systemRoutes } from './server.ts';
import { sessionGraphql } from './session/graphql.ts';
import { sessionEventsGraphql } from './session/graphql-events.ts';
import { keypairSessionsGraphql } from './session/graphql-keypair.ts';
import { kernelNodeGraphql } from './session/kernel-node-graphql.ts';
import { NewSessions } from './session/new-sessions.ts';
import { sessionNodeGraphql } from './session/node-graphql.ts';
import { sessionRoutes, sessionSocketRoutes } from './session/rest.ts';
import { sessionHistoryRoutes } from './session/rest-history.ts';
import { sessionSearchRoutes } from './session/rest-search.ts';
import { TransitionQueue } from './session/transition-queue.ts';
import { agentSessionsV2Graphql } from './session/v2-agent-graphql.ts';
import { enqueueV2Graphql } from './session/v2-enqueue-graphql.ts';
import { sessionV2Graphql } from './session/v2-graphql.ts';
import { sessionHistoryGraphql } from './session/v2-history-graphql.ts';
import { kernelV2Graphql } from './session/v2-kernel-graphql.ts';
import { templateRoutes } from './session-template/rest.ts';
import type { ManagerSettings } from './settings.ts';
import { usageRoutes } from './usage/rest.ts';
import { userGraphql } from './user/graphql.ts';
import { userNodeGraphql } from './user/node-graphql.ts';
import { userV2Graphql } from './user/v2-graphql.ts';

export interface ManagerOptions {
  /** `i-<hostname>` by default; unique among the managers of a cluster. */
  readonly id?: string;
  readonly settings: ManagerSettings;
  /** A pool on a migrated database. */
  readonly sql: Sql;
  readonly config: ConfigStore;
  readonly live: LiveStore;
  /** Where web servers look for sign-ins; `live` by default. */
  readonly webSessions?: LiveStore;
  /** How agents are reached; over HTTP by default. */
  readonly agents?: AgentDirectory;
  /** Proves to agents who is calling. */
  readonly managerKeys: NodeKeys;
  readonly listen: ListenAddress;
  /** A second address for agents and health checks. */
  readonly internalListen?: ListenAddress;
  /** URL under which agents find this manager; by default that of the internal, else the main address. */
  readonly advertisedUrl?: string;
  /** Of the requests that it answers, and the sessions that they make; none by default. */
  readonly tracer?: Tracer;
  /** What it tells Prometheus; a new registry by default. */
  readonly metrics?: MetricsRegistry;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface Manager {
  /** Where clients reach it: `http://host:port`. */
  readonly url: string;
  readonly internalUrl: string | null;
  readonly ctx: ManagerContext;
  /** What agents call; in-process agents use it directly. */
  readonly gateway: ApiOf<typeof managerApi>;
  /** What is told of it to Prometheus. */
  readonly metrics: MetricsRegistry;
  /** Whether this manager schedules at present. */
  isLeader(): boolean;
  /** Ends everything it started; the stores stay open. */
  stop(): Promise<void>;
}

/** How long running requests may take to end when the manager stops. Milliseconds. */
const STOP_GRACE_MS = 5_000;

/** The features' parts of the GraphQL schema. */
export const graphqlModules: readonly GraphqlModule[] = [
  keypairGraphql,
  keypairV2Graphql,
  imageGraphql,
  imageNodeGraphql,
  imageV2Graphql,
  imageAliasV2Graphql,
  sessionGraphql,
  keypairSessionsGraphql,
  sessionEventsGraphql,
  sessionNodeGraphql,
  explainGraphql,
  kernelNodeGraphql,
  sessionHistoryGraphql,
  backgroundTaskGraphql,
  sessionV2Graphql,
  kernelV2Graphql,
  agentGraphql,
  agentNodeGraphql,
  agentV2Graphql,
  userGraphql,
  userNodeGraphql,
  userV2Graphql,
  projectGraphql,
  projectNodeGraphql,
  projectV2Graphql,
  domainGraphql,
  domainNodeGraphql,
  domainV2Graphql,
  folderFilesV2Graphql,
  folderGraphql,
  folderV2Graphql,
  storageGraphql,
  policyGraphql,
  rolesGraphql,
  roleChangesGraphql,
  roleInvitationsGraphql,
  rolePresetsGraphql,
  policyV2Graphql,
  auditGraphql,
  loginGraphql,
  fairShareGraphql,
  usageBucketGraphql,
  resourceGroupGraphql,
  resourceGroupNodeGraphql,
  agentSessionsV2Graphql,
  enqueueV2Graphql,
  resourceGroupV2Graphql,
  resourceGroupV2ManageGraphql,
  resourcePresetGraphql,
  resourcePresetV2Graphql,
  resourceSlotGraphql,
  registryGraphql,
  registryNodeGraphql,
];

/** The features' HTTP operations; tests compare them with the table of who may call what. */
export const featureRoutes = (ctx: ManagerContext, graphql: GraphqlEngine): Route[] => [
  ...sessionRoutes(ctx),
  ...templateRoutes(ctx),
  ...backgroundTaskRoutes(ctx),
  ...configManageRoutes(ctx),
  ...factRoutes(ctx),
  ...dotfileRoutes(ctx),
  ...errorLogRoutes(ctx),
  ...rbacRoutes(ctx),
  ...exportRoutes(ctx),
  ...v2Routes(ctx, graphql),
  ...fairShareRoutes(ctx),
  ...agentSearchRoutes(ctx),
  ...sessionSearchRoutes(ctx),
  ...resourceSlotRoutes(ctx),
  ...usageBucketRoutes(ctx),
  ...sessionHistoryRoutes(ctx),
  ...openIdRoutes(ctx),
  ...folderRoutes(ctx),
  ...quotaScopeRoutes(ctx),
  ...usageRoutes(ctx),
  ...containerRegistryRoutes(ctx),
  ...resourceGroupRoutes(ctx),
  ...resourcePresetRoutes(ctx),
  ...schedulerRoutes(ctx),
  ...graphqlRoutes(ctx, graphql),
];

/** The features' WebSocket operations. */
export const featureSockets = (ctx: ManagerContext, graphql: GraphqlEngine): SocketRoute[] => [
  ...sessionSocketRoutes(ctx),
  ...graphqlSockets(ctx, graphql),
];

/** The OpenAPI document of the manager's operations, described without starting one. */
export function describeApi(): OpenApiDocument {
  // Handlers are made here but never called, so there is nothing behind their context.
  const ctx: ManagerContext = Object.create(null);
  const graphql: GraphqlEngine = Object.create(null);
  const facts = { serviceAddress: () => '', status: () => '', sslEnabled: false };
  const sockets = featureSockets(ctx, graphql);
  const routes = [...systemRoutes(ctx, facts), ...featureRoutes(ctx, graphql)];
  return openApiDocument(describedRoutes(ctx, routes, sockets), sockets);
}

/** A URL that other machines can use: a wildcard address is replaced with this machine's name. */
function reachable(url: string): string {
  const parsed = new URL(url);
  if (parsed.hostname === '0.0.0.0' || parsed.hostname === '[::]') parsed.hostname = hostname();
  return parsed.origin;
}

/**
 * Starts a manager and lists it in the configuration store.
 * @throws UserError when an address cannot be bound; what the stores throw when they fail.
 */
export async function startManager(options: ManagerOptions): Promise<Manager> {
  const { settings, sql, config, live, managerKeys, clock, random, log } = options;
  const id = options.id ?? `i-${hostname()}`;
  const link = { keys: managerKeys, clock, random, log };
  await using started = new AsyncDisposableStack();

  const events = await createEventBus(live, id, clock, log);
  started.defer(() => events.close());
  const tasks = new BackgroundTasks({ live, clock, random, log });
  started.defer(() => tasks.stop());
  const agents = options.agents ?? httpAgentDirectory(link);
  const lookups = lookupConnections(sql);
  started.defer(() => lookups.end({ timeout: 5 }));
  const keyed = await keyedConnections(sql);
  started.defer(() => keyed.end({ timeout: 5 }));
  const transitions = new TransitionQueue({ sql: keyed, events, clock, tracer: options.tracer });
  const ctx: ManagerContext = {
    id,
    sql,
    lookups,
    own: new OwnRecords(lookups),
    totals: new LargeTotals(clock),
    keyed,
    transitions,
    newSessions: new NewSessions(keyed, clock),
    config,
    live,
    webSessions: options.webSessions ?? live,
    agents,
    events,
    eventLog: events.log,
    tasks,
    clock,
    random,
    log,
    settings,
  };

  const metrics = options.metrics ?? createRegistry();
  const countEvent = eventMetrics(metrics);
  started.defer(events.subscribe((event) => countEvent(event.type)));
  const controlPlane = await startControlPlane(ctx, passMetrics(metrics));
  clusterGauges({ registry: metrics, sql, isLeader: controlPlane.isLeader, log });
  started.defer(() => controlPlane.stop());
  const graphql = await createGraphqlEngine(ctx, graphqlModules);
  started.defer(() => graphql.close());
  const known = await KnownAgents.open(config);
  started.defer(() => known.close());

  const agentRoutes = [
    agentGatewayRoute(controlPlane.gateway, known, link),
    joinRoute({ config, clock, keys: managerKeys, managerId: id }),
  ];
  const server = await startServer(ctx, {
    listen: options.listen,
    internalListen: options.internalListen,
    metrics,
    tracer: options.tracer,
    internalRoutes: agentRoutes,
    routes: [...featureRoutes(ctx, graphql), ...agentRoutes],
    sockets: featureSockets(ctx, graphql),
  });
  started.defer(() => server.stop(STOP_GRACE_MS));
  const addr = options.advertisedUrl ?? reachable(server.internalUrl ?? server.url);
  const listing = await announceManager(config, { id, addr, publicKey: managerKeys.publicKey });
  started.defer(() => listing.close());
  log.info('the manager is ready', { id, url: server.url, agentsUrl: addr });

  const running = started.move();
  return {
    url: server.url,
    internalUrl: server.internalUrl,
    ctx,
    gateway: controlPlane.gateway,
    metrics,
    isLeader: controlPlane.isLeader,
    stop: () => running.disposeAsync(),
  };
}
