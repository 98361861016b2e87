/** A real manager with sessions in it, on a scripted agent, for tests of clients. */
import { createGraphqlEngine } from '../manager/graphql/engine.ts';
import { featureRoutes, featureSockets, graphqlModules } from '../manager/main.ts';
import { startServer } from '../manager/server.ts';
import { type TestAccount, testManagerContext } from './manager.ts';
import { ScriptedAgent } from './scripted-agent.ts';
import { insertAgent, insertProject, insertSession } from './sessions.ts';

/**
 * Sessions of `accounts.user`: `work` (RUNNING), `dead` (TERMINATED), `doomed` (PENDING).
 * `close` ends everything.
 */
export async function startTestServer() {
  const manager = await testManagerContext();
  const agent = new ScriptedAgent();
  const ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  const common = { projectId, agentId: 'i-one', owner: manager.accounts.user };
  const session = await insertSession(ctx.sql, { ...common, name: 'work' });
  await insertSession(ctx.sql, {
    ...common,
    name: 'dead',
    status: 'TERMINATED',
    log: 'last words',
  });
  await insertSession(ctx.sql, { ...common, name: 'doomed', status: 'PENDING' });
  const graphql = await createGraphqlEngine(ctx, graphqlModules);
  const server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: featureRoutes(ctx, graphql),
    sockets: featureSockets(ctx, graphql),
  });
  return {
    url: server.url,
    accounts: manager.accounts,
    agent,
    sql: ctx.sql,
    webSessions: ctx.webSessions,
    sessionId: session.sessionId,
    /** The variables by which a client finds this server. */
    environment: (account: TestAccount): Record<string, string> => ({
      BACKEND_ENDPOINT: server.url,
      BACKEND_ACCESS_KEY: account.accessKey,
      BACKEND_SECRET_KEY: account.secretKey,
    }),
    async close() {
      await server.stop(0);
      await graphql.close();
      await manager.close();
    },
  };
}
