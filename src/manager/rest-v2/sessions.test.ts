/** Sessions over the newer HTTP operations, on a whole control plane with a simulated agent. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  signingClient,
  type TestAccount,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { insertAccount, insertProject, joinProject } from '../../testing/sessions.ts';
import { SimulatedAgent } from '../../testing/simulated-agent.ts';
import { until } from '../../testing/until.ts';
import type { ManagerContext } from '../context.ts';
import { type ControlPlane, startControlPlane } from '../control-plane.ts';
import { createGraphqlEngine, type GraphqlEngine } from '../graphql/engine.ts';
import { graphqlModules } from '../main.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { v2Routes } from './rest.ts';

let manager: TestManagerContext;
let ctx: ManagerContext;
let engine: GraphqlEngine;
let server: ManagerServer;
let controlPlane: ControlPlane;
let projectId: string;
let imageId: string;
const agent = new SimulatedAgent({
  slots: { cpu: '100', mem: '107374182400' },
  images: [
    {
      ...{
        canonical: 'local/python:3.11',
        architecture: 'x86_64',
        digest: `sha256:${'0'.repeat(64)}`,
      },
      ...{ sizeBytes: 0, aliases: ['python'] },
      labels: {
        'ai.backend.kernelspec': '1',
        'ai.backend.resource.min.cpu': '1',
        'ai.backend.resource.min.mem': '64m',
      },
    },
  ],
});

/** What the agent was asked to end. */
const ended: string[] = [];
const client = {
  ...agent.client,
  logs: async () => ({ logs: 'hi\n' }),
  shutdownService: async ({ service }: { service: string }) => {
    ended.push(service);
    return null;
  },
};

let otherUser: TestAccount;
beforeAll(async () => {
  manager = await testManagerContext();
  ctx = { ...manager.ctx, agents: { client: () => client } };
  projectId = await insertProject(ctx.sql);
  const { user, admin, superadmin } = manager.accounts;
  for (const account of [user, admin, superadmin]) await joinProject(ctx.sql, account, projectId);
  otherUser = await insertAccount(ctx.sql, {
    ...{ name: 'stranger', role: 'admin', domainName: 'elsewhere' },
  });
  controlPlane = await startControlPlane(ctx);
  agent.connect(controlPlane.gateway);
  await agent.heartbeat();
  engine = await createGraphqlEngine(ctx, graphqlModules);
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: v2Routes(ctx, engine),
    sockets: [],
  });
  const [image] = await ctx.sql`SELECT id FROM images`;
  imageId = image?.id;
});
afterAll(async () => {
  await server.stop(0);
  await engine.close();
  await controlPlane.stop();
  await manager.close();
});

async function call(account: TestAccount, method: string, path: string, body?: unknown) {
  const response = await signingClient(server.url, account)(method, `/v2/${path}`, body);
  const text = await response.text();
  return { status: response.status, json: text === '' ? null : JSON.parse(text) };
}

const wish = (name: string) => ({
  ...{ session_name: name, session_type: 'interactive', image_id: imageId, project_id: projectId },
  resource_entries: [
    { resource_type: 'cpu', quantity: '2' },
    { resource_type: 'mem', quantity: '128m' },
  ],
});

/** A session of the user, once it runs. */
async function running(name: string, more: object = {}): Promise<string> {
  const { status, json } = await call(manager.accounts.user, 'POST', 'sessions/enqueue', {
    ...wish(name),
    ...more,
  });
  expect({ status, json }).toMatchObject({ status: 200 });
  const { id } = json.session;
  await until(async () => {
    const [row] = await ctx.sql`SELECT status FROM sessions WHERE id = ${id}`;
    return row?.status === 'RUNNING';
  }, 'the session runs');
  return id;
}

test('a session is asked for by ids, and runs as it was asked for', async () => {
  const id = await running('by-ids', {
    ...{ environ: { COLOUR: 'red' }, tag: 'first', priority: 20, bootstrap_script: 'echo héllo' },
    ...{ resource_opts: { shmem: { expr: '32m' } }, cluster_mode: 'single-node', cluster_size: 1 },
  });
  const [row] = await ctx.sql`
    SELECT s.tag, s.priority, s.group_id, s.bootstrap_script, k.image, k.requested_slots AS slots,
           k.environ
      FROM sessions s JOIN kernels k ON k.session_id = s.id WHERE s.id = ${id}`;
  expect(row).toMatchObject({
    ...{ tag: 'first', priority: 20, group_id: projectId, bootstrap_script: 'echo héllo' },
    ...{ image: 'local/python:3.11', slots: { cpu: '2' } },
    environ: expect.arrayContaining(['COLOUR=red']),
  });
  const told = await call(manager.accounts.user, 'GET', `sessions/${id}`);
  expect(told.json).toMatchObject({
    metadata: { name: 'by-ids', session_type: 'interactive', tag: 'first' },
    lifecycle: { status: 'RUNNING' },
  });
  const [audited] = await ctx.sql`SELECT triggered_by FROM audit_logs
    WHERE entity_id = ${id} AND operation = 'create'`;
  expect(audited?.triggered_by).toBe(manager.accounts.user.userId);
});

test('what cannot be enqueued is refused with what to do', async () => {
  const { user } = manager.accounts;
  const refused = async (more: object) => {
    const body = { ...wish('refused'), ...more };
    const { status, json } = await call(user, 'POST', 'sessions/enqueue', body);
    return [status, json.msg];
  };
  expect(await refused({ image_id: crypto.randomUUID() })).toEqual([
    404,
    expect.stringContaining('There is no image with the id'),
  ]);
  expect(await refused({ session_name: '.hidden' })).toEqual([
    400,
    expect.stringContaining('a session name consists of'),
  ]);
  expect(await refused({ project_id: crypto.randomUUID() })).toEqual([404, expect.any(String)]);
  expect(await refused({ resource_entries: [{ resource_type: 'cpu', quantity: 'many' }] })).toEqual(
    [400, expect.stringContaining("cpu is 'many'")],
  );
  expect(await refused({ colour: 'red' })).toEqual([400, "input: there is no 'colour' here"]);
  await running('taken');
  const again = await call(user, 'POST', 'sessions/enqueue', wish('taken'));
  expect([again.status, again.json.error_code]).toEqual([400, 'session_create_already-exists']);
});

test('a session gets another name and tag, from who may', async () => {
  const id = await running('labelled');
  const { user, superadmin } = manager.accounts;
  const path = `sessions/${id}`;
  const body = { name: 'relabelled', tag: 'new' };
  expect((await call(otherUser, 'PATCH', path, body)).status).toBe(404);
  const { status, json } = await call(user, 'PATCH', path, body);
  expect([status, json]).toMatchObject([
    200,
    { session: { id, metadata: { name: 'relabelled', tag: 'new' } } },
  ]);
  expect((await call(superadmin, 'PATCH', path, { tag: 'newer' })).json).toMatchObject({
    session: { metadata: { name: 'relabelled', tag: 'newer' } },
  });
  await running('in-use');
  const taken = await call(user, 'PATCH', path, { name: 'in-use' });
  expect([taken.status, taken.json.msg]).toEqual([
    400,
    expect.stringContaining("already have a live session called 'in-use'"),
  ]);
  const [row] = await ctx.sql`SELECT session_name, tag FROM kernels WHERE session_id = ${id}`;
  expect({ ...row }).toEqual({ session_name: 'relabelled', tag: 'newer' });
});

test('logs and apps of a session are for its owner', async () => {
  const id = await running('with-logs');
  const { user } = manager.accounts;
  const [kernel] = await ctx.sql`SELECT id FROM kernels WHERE session_id = ${id}`;
  const logs = await call(user, 'GET', `sessions/${id}/logs?kernel_id=${kernel?.id}`);
  expect(logs).toEqual({ status: 200, json: { logs: 'hi\n' } });
  const end = await call(user, 'POST', `sessions/${id}/services/shutdown`, { service: 'ttyd' });
  expect([end.status, ended]).toEqual([204, ['ttyd']]);
  const started = await call(user, 'POST', `sessions/${id}/services/start`, { service: 'ttyd' });
  expect([started.status, started.json.msg]).toEqual([
    503,
    expect.stringContaining('no app proxy'),
  ]);
  const strange = crypto.randomUUID();
  expect((await call(user, 'GET', `sessions/${id}/logs?kernel_id=${strange}`)).status).toBe(404);
  for (const [method, path, body] of [
    ['GET', 'logs', undefined],
    ['POST', 'services/start', { service: 'ttyd' }],
    ['POST', 'services/shutdown', { service: 'ttyd' }],
  ] as const) {
    expect((await call(otherUser, method, `sessions/${id}/${path}`, body)).status).toBe(404);
  }
});
