/** Who may call which session operation: every route for every kind of caller. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  signingClient,
  type TestAccount,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import {
  insertAccount,
  insertAgent,
  insertProject,
  insertSession,
} from '../../testing/sessions.ts';
import type { ManagerContext } from '../context.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { sessionRoutes, sessionSocketRoutes } from './rest.ts';

/** Query and body with which a route does its work; the event stream has its own test. */
const CALLS: Readonly<Record<string, { query?: string; body?: unknown }>> = {
  'POST /session': { body: { name: 'x', image: 'none' } },
  'POST /session/_/create': { body: { name: 'x', image: 'none' } },
  'GET /session/_/match': { query: 'id=work' },
  'GET /session/_/logs': { query: 'session_name=work' },
  'HEAD /session/_/logs': { query: 'session_name=work' },
  'POST /session/_/transit-status': { body: { ids: [] } },
  'GET /session/:session_name': {},
  'PATCH /session/:session_name': {},
  'POST /session/:session_name': { body: { mode: 'query', code: 'say x' } },
  'POST /session/:session_name/rename': { query: 'name=work' },
  'POST /session/:session_name/complete': { body: { code: 'x' } },
  'POST /session/:session_name/interrupt': {},
  'POST /session/:session_name/upload': { body: {} },
  'GET /session/:session_name/download': { query: 'files=nosuch' },
  'GET /session/:session_name/download_single': { query: 'file=nosuch' },
  'POST /session/:session_name/download': { body: { files: ['nosuch'] } },
  'POST /session/:session_name/download_single': { query: 'file=nosuch' },
  'GET /session/:session_name/status-history': {},
  'GET /session/:session_name/abusing-report': {},
  'POST /session/:session_name/commit': {},
  'GET /session/:session_name/commit': {},
  'POST /session/:session_name/imagify': { body: { image_name: 'mine' } },
  'POST /session/_/create-cluster': {
    body: { template_id: 'b9d3e8f0-6b3e-4d0c-9c43-1d8a3a1b2c3e', session_name: 'yyyy' },
  },
  'POST /session/_/create-from-template': { body: { template_id: null, image: 'x', name: 'y' } },
  'GET /session/:session_name/dependency-graph': {},
  'GET /session/:session_name/direct-access-info': {},
  'GET /session/:session_name/logs': {},
  'POST /session/:session_name/start-service': { body: { app: 'nosuch' } },
  'POST /session/:session_name/shutdown-service': { query: 'service_name=nosuch' },
  'GET /session/:session_name/files': {},
  'GET /stream/session/:session_name/apps': {},
  'GET /events/session': { query: 'scope=nosuch' },
  // Last: it ends the session.
  'DELETE /session/:session_name': {},
};
/** Answered without looking at a session. */
const UNBOUND = ['PATCH /session/:session_name', 'POST /session/:session_name/upload'];

let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let sessionId: string;
let accounts: Record<
  'owner' | 'colleague' | 'stranger' | 'foreignAdmin' | 'admin' | 'superadmin',
  TestAccount
>;

beforeAll(async () => {
  manager = await testManagerContext();
  const agent = new ScriptedAgent();
  ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  const { user, admin, superadmin } = manager.accounts;
  accounts = {
    owner: user,
    admin,
    superadmin,
    colleague: await insertAccount(ctx.sql, {
      name: 'colleague',
      role: 'user',
      domainName: 'default',
    }),
    stranger: await insertAccount(ctx.sql, { name: 'stranger', role: 'user', domainName: 'other' }),
    foreignAdmin: await insertAccount(ctx.sql, {
      name: 'foreign',
      role: 'admin',
      domainName: 'other',
    }),
  };
  const inserted = await insertSession(ctx.sql, {
    name: 'work',
    owner: user,
    projectId,
    agentId: 'i-one',
  });
  sessionId = inserted.sessionId;
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: sessionRoutes(ctx),
    sockets: sessionSocketRoutes(ctx),
  });
});
afterAll(async () => {
  await server.stop(0);
  await manager.close();
});

function targetOf(operation: string, ownerKey?: string): { method: string; target: string } {
  const [method = '', path = ''] = operation.split(' ');
  const query = [CALLS[operation]?.query, ownerKey && `owner_access_key=${ownerKey}`];
  const search = query.filter(Boolean).join('&');
  return { method, target: path.replace(':session_name', sessionId) + (search && `?${search}`) };
}

async function attempt(account: TestAccount, operation: string, ownerKey?: string) {
  const { method, target } = targetOf(operation, ownerKey);
  const response = await signingClient(server.url, account)(method, target, CALLS[operation]?.body);
  const text = await response.text();
  const isProblem = response.headers.get('content-type')?.includes('problem') ?? false;
  return { status: response.status, title: isProblem ? JSON.parse(text).title : '' };
}

test('the table covers every route, and nothing else', () => {
  const routes = sessionRoutes(ctx).map(({ method, path }) => `${method} ${path}`);
  expect(routes.toSorted()).toEqual(Object.keys(CALLS).toSorted());
  expect(sessionRoutes(ctx).every(({ auth }) => auth === 'user')).toBe(true);
  expect(sessionSocketRoutes(ctx).every(({ auth }) => auth === 'user')).toBe(true);
});

const onSession = Object.keys(CALLS).filter(
  (operation) => operation.includes(':session_name') && !UNBOUND.includes(operation),
);

describe.each(Object.keys(CALLS))('%s', (operation) => {
  test('is not for anonymous callers', async () => {
    const { method, target } = targetOf(operation);
    const body = CALLS[operation]?.body;
    const response = await fetch(`${server.url}${target}`, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    expect(response.status).toBe(401);
    if (method === 'HEAD') return;
    expect(await response.json()).toMatchObject({
      type: 'https://api.backend.ai/probs/auth-failed',
    });
  });
});

describe.each(onSession)('%s', (operation) => {
  test.each(['colleague', 'stranger', 'foreignAdmin'] as const)(
    'does not exist for a %s',
    async (who) => {
      expect(await attempt(accounts[who], operation)).toEqual({
        status: 404,
        title: 'No such session.',
      });
    },
  );

  test.each(['colleague', 'stranger', 'foreignAdmin'] as const)(
    "cannot be done in the owner's name by a %s",
    async (who) => {
      const { status } = await attempt(accounts[who], operation, accounts.owner.accessKey);
      expect(status).toBe(403);
    },
  );

  test.each(['owner', 'admin', 'superadmin'] as const)('can be done by the %s', async (who) => {
    const ownerKey = who === 'owner' ? undefined : accounts.owner.accessKey;
    const { status, title } = await attempt(accounts[who], operation, ownerKey);
    expect([401, 403]).not.toContain(status);
    expect(title).not.toBe('No such session.');
  });
});
