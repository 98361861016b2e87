/** Apps through the manager: a real app proxy and a scripted agent, for each kind of caller. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { PROXY_SECRETS, TestProxy } from '../../testing/app-proxy.ts';
import {
  signingClient,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import { insertAgent, insertProject, insertSession } from '../../testing/sessions.ts';
import type { ManagerContext } from '../context.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { endAppsPass } from './apps.ts';
import { sessionRoutes } from './rest.ts';

setDefaultTimeout(60_000);

let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let proxy: TestProxy;
let app: ReturnType<typeof Bun.serve>;
let sessionId: string;
const agent = new ScriptedAgent();

beforeAll(async () => {
  app = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('the app') });
  proxy = await TestProxy.start();
  await proxy.addWorker();
  manager = await testManagerContext();
  ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  const inserted = await insertSession(ctx.sql, {
    ...{ name: 'work', owner: manager.accounts.user, projectId, agentId: 'i-one' },
  });
  sessionId = inserted.sessionId;
  const ports = [
    {
      name: 'web',
      protocol: 'http',
      container_ports: [8080, 8081],
      host_ports: [1, 2],
      is_inference: false,
    },
    {
      name: 'model',
      protocol: 'preopen',
      container_ports: [9000],
      host_ports: [3],
      is_inference: true,
    },
  ];
  await ctx.sql`UPDATE kernels SET service_ports = ${ctx.sql.json(ports)}`;
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: sessionRoutes(ctx),
    sockets: [],
  });
  agent.services.set('web', {
    ...{ status: 'started', protocol: 'http', host: '127.0.0.1' },
    ...{ containerPorts: [8080, 8081], hostPorts: [1, app.port ?? 0] },
  });
});
afterAll(async () => {
  await server.stop(0);
  await manager.close();
  await proxy.close();
  await app.stop(true);
});

const pointAt = (url: string | null, token: string | null = PROXY_SECRETS.api) =>
  ctx.sql`UPDATE scaling_groups SET wsproxy_addr = ${url}, wsproxy_api_token = ${token}`;

async function start(body: object, who: 'user' | 'superadmin' = 'user') {
  const send = signingClient(server.url, manager.accounts[who]);
  const response = await send('POST', '/session/work/start-service', body);
  return { status: response.status, document: Object(await response.json()) };
}

test('an app is started, opened, and closed when its session ends', async () => {
  await pointAt(proxy.url);
  const { status, document } = await start({
    ...{ app: 'web', port: 8081, envs: '{"A":"1"}', arguments: 'null' },
    login_session_token: 'browser',
  });
  expect([status, document.wsproxy_addr]).toEqual([200, proxy.url]);
  const session = { id: sessionId, user: '' };
  const asked = await proxy.ask(document.token, session, { app: 'web' });
  const setup = await fetch(String(asked.document.redirect_url), { redirect: 'manual' });
  const [cookie = ''] = (setup.headers.get('Set-Cookie') ?? '').split(';');
  const opened = await fetch(setup.headers.get('Location') ?? '', { headers: { Cookie: cookie } });
  expect(await opened.text()).toBe('the app');

  await endAppsPass(ctx);
  expect(Object(await (await proxy.call('GET', '/api/session')).json()).session_ids).toEqual([
    sessionId,
  ]);
  await ctx.sql`UPDATE sessions SET status = 'TERMINATING'`;
  await endAppsPass(ctx);
  expect(Object(await (await proxy.call('GET', '/api/session')).json()).session_ids).toEqual([]);
  await ctx.sql`UPDATE sessions SET status = 'RUNNING'`;
});

test('what cannot be started is told', async () => {
  await pointAt(proxy.url);
  const slug = async (body: object) => {
    const { status, document } = await start(body);
    return `${status} ${String(document.type).split('/probs/')[1]}`;
  };
  expect(await slug({ app: 'nosuch' })).toBe('404 object-not-found');
  expect(await slug({ app: 'model' })).toBe('400 generic-bad-request');
  expect(await slug({ app: 'web', port: 8082 })).toBe('400 generic-bad-request');
  expect(await slug({ app: 'web', port: 80 })).toBe('400 generic-bad-request');
  expect(await slug({ app: 'web', envs: '[1]' })).toBe('400 generic-bad-request');
  expect(await slug({})).toBe('400 generic-bad-request');
  await pointAt(null, null);
  expect(await slug({ app: 'web' })).toBe('503 service-unavailable');
  await pointAt(proxy.url, 'wrong');
  expect(await slug({ app: 'web' })).toBe('500 appproxy-response-error');
  await pointAt('http://127.0.0.1:1');
  expect(await slug({ app: 'web' })).toBe('500 appproxy-connection-error');
});

test('an app proxy that is away is asked again; one that cannot tell sessions is left alone', async () => {
  await pointAt('http://127.0.0.1:1');
  await expect(endAppsPass(ctx)).rejects.toThrow('cannot be reached');
  const other = Bun.serve({
    ...{ hostname: '127.0.0.1', port: 0 },
    fetch: () => new Response(null, { status: 404 }),
  });
  await pointAt(other.url.origin);
  await endAppsPass(ctx);
  await other.stop(true);
});
