/** Apps through the manager: a real app proxy and a scripted agent, for each kind of caller. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { connect } from 'node:net';
import type { Heartbeat } from '../../common/protocol/manager.ts';
import { PROXY_SECRETS, TestProxy } from '../../testing/app-proxy.ts';
import {
  signingClient,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import { insertAgent, insertProject, insertSession } from '../../testing/sessions.ts';
import { until } from '../../testing/until.ts';
import { createAgentGateway } from '../agent/gateway.ts';
import type { ManagerContext } from '../context.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { appProxiesPass } from './apps.ts';
import { sessionRoutes } from './rest.ts';

setDefaultTimeout(60_000);

let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let proxy: TestProxy;
let app: ReturnType<typeof Bun.serve>;
let sessionId: string;
let kernelId: string;
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
  ({ sessionId, kernelId } = inserted);
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

/** What a browser asks the worker with, once it has been let in. */
async function visitor(token: string) {
  const asked = await proxy.ask(token, { id: sessionId, user: '' }, { app: 'web' });
  const setup = await fetch(String(asked.document.redirect_url), { redirect: 'manual' });
  const [cookie = ''] = (setup.headers.get('Set-Cookie') ?? '').split(';');
  return { url: setup.headers.get('Location') ?? '', headers: { Cookie: cookie } };
}

/** A heartbeat in which an agent holds the session's kernel. */
const beat = (agentId: string, host?: string): Heartbeat => ({
  ...{ agentId, version: '26.4.4', backend: 'process', region: 'local', scalingGroup: 'default' },
  ...{ architecture: 'x86_64', addr: 'local:', publicHost: '127.0.0.1', publicKey: 'key' },
  ...{ availableSlots: {}, slotTypes: {}, slotFormats: {}, computePlugins: {}, images: [] },
  kernels: [{ kernelId, sessionId, state: 'running', ...(host === undefined ? {} : { host }) }],
});

test('an app is started, opened, and closed when its session ends', async () => {
  await pointAt(proxy.url);
  const { status, document } = await start({
    ...{ app: 'web', port: 8081, envs: '{"A":"1"}', arguments: 'null' },
    login_session_token: 'browser',
  });
  expect([status, document.wsproxy_addr]).toEqual([200, proxy.url]);
  const { url, headers } = await visitor(document.token);
  expect(await (await fetch(url, { headers })).text()).toBe('the app');

  await appProxiesPass(ctx);
  expect(Object(await (await proxy.call('GET', '/api/session')).json()).session_ids).toEqual([
    sessionId,
  ]);
  await ctx.sql`UPDATE sessions SET status = 'TERMINATING'`;
  await appProxiesPass(ctx);
  expect(Object(await (await proxy.call('GET', '/api/session')).json()).session_ids).toEqual([]);
  await ctx.sql`UPDATE sessions SET status = 'RUNNING'`;
});

test('an app is found again when its agent has another address', async () => {
  await pointAt(proxy.url);
  await ctx.sql`UPDATE kernels SET kernel_host = '127.0.0.1'`;
  await using _there = Bun.serve({
    ...{ hostname: '127.0.0.2', port: app.port ?? 0 },
    fetch: () => new Response('the app elsewhere'),
  });
  const { document } = await start({ app: 'web', port: 8081 });
  const { url, headers } = await visitor(document.token);
  const visit = async () => await (await fetch(url, { headers })).text();
  expect(await visit()).toBe('the app');
  const { hostname, port } = new URL(url);
  const open = connect(Number(port), hostname);
  const hasEnded = new Promise<void>((resolve) => open.once('close', () => resolve()));
  open.on('error', () => {});
  const hasAnswered = new Promise((resolve) => open.once('data', resolve));
  open.write(`GET / HTTP/1.1\r\nHost: ${hostname}:${port}\r\nCookie: ${headers.Cookie}\r\n\r\n`);
  await hasAnswered;

  const woken: string[] = [];
  const unsubscribe = ctx.events.subscribe((event) => {
    if (event.type === 'wake') woken.push(event.loop);
  });
  const gateway = createAgentGateway(ctx);
  const hostNow = async () => (await ctx.sql`SELECT kernel_host FROM kernels`)[0]?.kernel_host;
  // Agents of before don't say; another agent has no say; and the same place is no news.
  await insertAgent(ctx.sql, 'i-two');
  for (const none of [beat('i-one'), beat('i-two', '127.0.0.2'), beat('i-one', '127.0.0.1')]) {
    await gateway.heartbeat(none);
    expect(await hostNow()).toBe('127.0.0.1');
  }
  expect(woken).not.toContain('apps');
  await gateway.heartbeat(beat('i-one', '127.0.0.2'));
  expect(await hostNow()).toBe('127.0.0.2');
  expect(woken).toContain('apps');
  unsubscribe();

  await appProxiesPass(ctx);
  await hasEnded;
  await until(async () => (await visit()) === 'the app elsewhere', 'it is found elsewhere');
  // What was handed out before leads there as well, and there is nothing left to tell.
  const again = await visitor(document.token);
  expect(await (await fetch(again.url, again)).text()).toBe('the app elsewhere');
  const { places } = Object(await (await proxy.call('GET', '/api/session')).json());
  expect(places).toEqual([{ session_id: sessionId, kernel_hosts: ['127.0.0.2'] }]);
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
  await expect(appProxiesPass(ctx)).rejects.toThrow('cannot be reached');
  const other = Bun.serve({
    ...{ hostname: '127.0.0.1', port: 0 },
    fetch: () => new Response(null, { status: 404 }),
  });
  await pointAt(other.url.origin);
  await appProxiesPass(ctx);
  await other.stop(true);
});
