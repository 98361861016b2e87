/** Creating sessions over HTTP on a whole control plane with a simulated agent. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
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
import { type ManagerServer, startServer } from '../server.ts';
import { templateRoutes } from '../session-template/rest.ts';
import { sessionRoutes } from './rest.ts';

const image = (name: string, aliases: string[]) => ({
  canonical: `local/${name}`,
  architecture: 'x86_64',
  digest: `sha256:${Buffer.from(name).toString('hex').padEnd(64, '0').slice(0, 64)}`,
  sizeBytes: 0,
  labels: {
    'ai.backend.kernelspec': '1',
    'ai.backend.resource.min.cpu': '1',
    'ai.backend.resource.min.mem': '64m',
  },
  aliases,
});

let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let controlPlane: ControlPlane;
const agent = new SimulatedAgent({
  slots: { cpu: '100', mem: '107374182400' },
  images: [image('python:3.11', ['python']), image('bash:5', ['bash'])],
});

beforeAll(async () => {
  manager = await testManagerContext();
  ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  const { user, admin, superadmin } = manager.accounts;
  for (const account of [user, admin, superadmin]) await joinProject(ctx.sql, account, projectId);
  controlPlane = await startControlPlane(ctx);
  agent.connect(controlPlane.gateway);
  await agent.heartbeat();
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: [...sessionRoutes(ctx), ...templateRoutes(ctx)],
    sockets: [],
  });
});
afterAll(async () => {
  await server.stop(0);
  await controlPlane.stop();
  await manager.close();
});

/** What the WebUI lists as the audit log of a session, oldest first. */
const deedsOn = async (sessionId: string) =>
  (
    await ctx.sql`SELECT operation, triggered_by, request_id, "after" FROM audit_logs
      WHERE entity_type = 'session' AND entity_id = ${sessionId} ORDER BY created_at`
  ).map(({ operation, triggered_by: who, request_id: request, after }) => ({
    ...{ operation, who, after, isRequest: typeof request === 'string' },
  }));

test('who made a session and who ended it is recorded, whosever it is', async () => {
  const { user, admin } = manager.accounts;
  const more = { owner_access_key: user.accessKey, enqueueOnly: true };
  const { status, body } = await create(more, { account: admin });
  expect(status).toBe(201);
  const id = String(body.sessionId);
  const end = () => signingClient(server.url, user)('DELETE', `/session/${id}`);
  expect((await end()).status).toBe(200);
  // Ending it again ends nothing.
  expect((await end()).status).toBe(200);
  expect(await deedsOn(id)).toEqual([
    {
      ...{ operation: 'create', who: admin.userId, isRequest: true },
      after: expect.objectContaining({ session_type: 'interactive', user_uuid: user.userId }),
    },
    { operation: 'delete', who: user.userId, isRequest: true, after: null },
  ]);
});

const statusOf = async (sessionId: string) =>
  (await ctx.sql`SELECT status FROM sessions WHERE id = ${sessionId}`)[0]?.status;

test('those that end with the session that they wait for are recorded as well', async () => {
  const { user } = manager.accounts;
  const first = String((await create({ enqueueOnly: true })).body.sessionId);
  await until(async () => (await statusOf(first)) === 'RUNNING', 'it runs');
  const dependent = { enqueueOnly: true, type: 'batch', startupCommand: 'true' };
  const { body } = await create({ ...dependent, dependencies: [first] });
  const second = String(body.sessionId);
  const target = `/session/${first}?recursive=true`;
  expect((await signingClient(server.url, user)('DELETE', target)).status).toBe(200);
  for (const id of [first, second]) {
    const deeds = (await deedsOn(id)).map(({ operation, who }) => ({ operation, who }));
    expect(deeds.at(-1)).toEqual({ operation: 'delete', who: user.userId });
  }
});

test('with a session end those that wait for it only of whom may end them', async () => {
  const { user, admin } = manager.accounts;
  const first = String((await create({ enqueueOnly: true })).body.sessionId);
  await until(async () => (await statusOf(first)) === 'RUNNING', 'it runs');
  const dependent = {
    ...{ enqueueOnly: true, type: 'batch', startupCommand: 'true', dependencies: [first] },
  };
  const own = String((await create(dependent)).body.sessionId);
  const { status, body } = await create(dependent, { account: admin });
  expect(status).toBe(201);
  const foreign = String(body.sessionId);
  const target = `/session/${first}?recursive=true`;
  expect((await signingClient(server.url, user)('DELETE', target)).status).toBe(200);
  const enders = async (id: string) =>
    (await deedsOn(id)).filter(({ operation }) => operation === 'delete').map(({ who }) => who);
  expect([await enders(first), await enders(own)]).toEqual([[user.userId], [user.userId]]);
  expect(await enders(foreign)).toEqual([]);
  // An administrator of the domain ends whatever waits.
  const third = String((await create({ enqueueOnly: true })).body.sessionId);
  const waiting = String((await create({ ...dependent, dependencies: [third] })).body.sessionId);
  const asAdmin = signingClient(server.url, admin);
  expect((await asAdmin('DELETE', `/session/${third}?recursive=true`)).status).toBe(200);
  expect(await enders(waiting)).toEqual([admin.userId]);
});

test('what cannot be recorded is not ended', async () => {
  const id = String((await create({ enqueueOnly: true })).body.sessionId);
  await until(async () => (await statusOf(id)) === 'RUNNING', 'it runs');
  const end = () => signingClient(server.url, manager.accounts.user)('DELETE', `/session/${id}`);
  await ctx.sql.unsafe(`ALTER TABLE audit_logs ADD CONSTRAINT refused
    CHECK (entity_id <> '${id}' OR operation <> 'delete')`);
  expect((await end()).status).toBe(500);
  await ctx.sql`ALTER TABLE audit_logs DROP CONSTRAINT refused`;
  expect(await statusOf(id)).toBe('RUNNING');
  expect((await end()).status).toBe(200);
});

let serial = 0;
const freshName = () => `made-${++serial}`;

async function create(
  body: Record<string, unknown>,
  options: { account?: TestAccount; path?: string } = {},
) {
  const { account = manager.accounts.user, path = '/session' } = options;
  const response = await signingClient(server.url, account)('POST', path, {
    image: 'python',
    name: freshName(),
    ...body,
  });
  return { status: response.status, body: await response.json() };
}

const resources = { cpu: 1, mem: '256m' };

describe('waiting', () => {
  test('until it runs, on both paths', async () => {
    for (const path of ['/session', '/session/_/create']) {
      const name = freshName();
      const { status, body } = await create({ name, config: { resources } }, { path });
      expect(status).toBe(201);
      expect(body).toEqual({
        sessionId: expect.any(String),
        sessionName: name,
        status: 'RUNNING',
        servicePorts: [],
        created: true,
      });
    }
  });

  test('not at all with enqueue_only', async () => {
    const { status, body } = await create({ enqueueOnly: true });
    expect(status).toBe(201);
    expect(body).toMatchObject({ status: 'PENDING', servicePorts: [], created: true });
  });

  test('up to max_wait_seconds, then TIMEOUT and the session stays', async () => {
    agent.stalled = true;
    const { status, body } = await create({ maxWaitSeconds: 1 });
    expect(status).toBe(201);
    expect(body.status).toBe('TIMEOUT');
    agent.stalled = false;
    const [kernel] = await ctx.sql`select id from kernels where session_id = ${body.sessionId}`;
    agent.bringUp(String(kernel?.id));
    await until(
      async () =>
        (await ctx.sql`select 1 from sessions where id = ${body.sessionId} and status = 'RUNNING'`)
          .length === 1,
      'the session runs',
    );
  });

  test('for a session that ends instead: 404 that tells why', async () => {
    agent.stalled = true;
    const name = freshName();
    const creation = create({ name });
    await until(
      async () =>
        (await ctx.sql`select 1 from sessions where name = ${name} and status = 'PREPARING'`)
          .length === 1 ||
        [...agent.kernels.values()].some(({ spec }) => spec.sessionName === name),
      'the session is on its way',
    );
    agent.stalled = false;
    await signingClient(server.url, manager.accounts.user)(
      'DELETE',
      `/session/${name}?forced=true`,
    );
    const { status, body } = await creation;
    expect(status).toBe(404);
    expect(body.msg).toContain(name);
    expect(body.data.sessionId).toBeString();
  });
});

describe('a name that is taken', () => {
  test('is reused for the same image', async () => {
    const name = freshName();
    const first = await create({ name });
    const second = await create({ name });
    expect(second.status).toBe(201);
    expect(second.body).toEqual({
      sessionId: first.body.sessionId,
      sessionName: name,
      status: 'RUNNING',
      servicePorts: [],
      service_ports: [],
      created: false,
    });
  });

  test.each([{ reuse: false }, { image: 'bash' }])('is refused with %j', async (difference) => {
    const name = freshName();
    const first = await create({ name });
    const { status, body } = await create({ name, ...difference });
    expect(status).toBe(400);
    expect(body.type).toEndWith('/session-already-exists');
    expect(body.data.existingSessionId).toBe(first.body.sessionId);
  });
});

test('admins create for others; others may not', async () => {
  const { user, admin, superadmin } = manager.accounts;
  const forUser = { owner_access_key: user.accessKey, enqueue_only: true };
  for (const account of [admin, superadmin]) {
    const { status, body } = await create(forUser, { account });
    expect(status).toBe(201);
    const rows = await ctx.sql`select access_key from sessions where id = ${body.sessionId}`;
    expect(rows[0]?.access_key).toBe(user.accessKey);
  }
  const forAdmin = { owner_access_key: superadmin.accessKey };
  expect((await create(forAdmin, { account: user })).status).toBe(403);
  expect((await create(forAdmin, { account: admin })).status).toBe(403);
  const stranger = await insertAccount(ctx.sql, {
    name: 'alien',
    role: 'admin',
    domainName: 'other',
  });
  expect((await create(forUser, { account: stranger })).status).toBe(403);
  const unknown = { owner_access_key: 'AKIANOSUCHKEY' };
  expect((await create(unknown, { account: superadmin })).status).toBe(400);
});

test("an admin of one domain creates nothing in another domain's projects", async () => {
  const account = await insertAccount(ctx.sql, {
    name: 'intruder',
    role: 'admin',
    domainName: 'elsewhere',
  });
  const { status, body } = await create({ domain: 'default', enqueue_only: true }, { account });
  expect(status).toBe(404);
  expect(body.type).toEndWith('/project-not-found');
});

test("others' sessions are no dependencies, except for admins of the domain", async () => {
  const { user, admin } = manager.accounts;
  const colleague = await insertAccount(ctx.sql, {
    name: 'depender',
    role: 'user',
    domainName: 'default',
  });
  const [project] = await ctx.sql`select id::text as id from groups where name = 'default'`;
  await joinProject(ctx.sql, colleague, project?.id);
  const theirs = await create({ enqueue_only: true }, { account: user });
  const after = { dependencies: [theirs.body.sessionId], enqueue_only: true };
  const refused = await create(after, { account: colleague });
  expect(refused.status).toBe(400);
  expect(refused.body.msg).toContain('no such sessions');
  expect((await create(after, { account: user })).status).toBe(201);
  expect((await create(after, { account: admin })).status).toBe(201);
});

test('what is asked for reaches the agent', async () => {
  const name = freshName();
  await create({
    name,
    type: 'batch',
    startupCommand: 'make all',
    batchTimeout: '5m',
    bootstrap_script: Buffer.from('echo ready').toString('base64'),
    config: {
      resources,
      environ: { GREETING: 'hi' },
      preopen_ports: [8081],
      resource_opts: { shmem: '32m' },
    },
  });
  const spec = [...agent.kernels.values()].find((kernel) => kernel.spec.sessionName === name)?.spec;
  expect(spec).toMatchObject({
    sessionType: 'batch',
    startupCommand: 'make all',
    batchTimeoutMs: 300_000,
    bootstrapScript: 'echo ready',
    slots: { cpu: '1', mem: '268435456' },
    shmemBytes: 33_554_432,
    preopenPorts: [8081],
  });
  expect(spec?.environ.GREETING).toBe('hi');
});

test("the account of the image's registry reaches the agent, and nobody else", async () => {
  const account = { username: 'robot', password: 'hush' };
  const specOf = (name: string) =>
    [...agent.kernels.values()].find((kernel) => kernel.spec.sessionName === name)?.spec;
  const [open, closed] = [freshName(), freshName()];
  await create({ name: open });
  expect(specOf(open)?.image.registryAccount).toBeNull();
  await ctx.sql`update container_registries set ${ctx.sql({ ...account })}`;
  try {
    const { body } = await create({ name: closed });
    expect(specOf(closed)?.image.registryAccount).toEqual(account);
    expect(JSON.stringify(body)).not.toContain(account.password);
  } finally {
    await ctx.sql`update container_registries set username = null, password = null`;
  }
});

describe('from a template', () => {
  const path = '/session/_/create-from-template';

  async function template(): Promise<string> {
    const kernel = {
      image: 'python',
      environ: { GREETING: 'hi' },
      run: { bootstrap: 'echo ready', startup_command: 'make all' },
      git: { repository: 'https://git.test/team/code', branch: 'main' },
    };
    const spec = { session_type: 'batch', kernel, resources: { cpu: 1, mem: '256m' } };
    const metadata = { name: 'job', tag: 'nightly' };
    const text = { api_version: '6', kind: 'task_template', metadata, spec };
    const body = { payload: JSON.stringify([{ template: text }]), group: 'default' };
    const client = signingClient(server.url, manager.accounts.user);
    const [made] = await (await client('POST', '/template/session', body)).json();
    return made.id;
  }

  test('what it says reaches the agent, and what is sent goes before it', async () => {
    const id = await template();
    for (const [more, greeting] of [
      [{}, 'hi'],
      [{ config: { environ: { GREETING: 'ho' }, mounts: [], scalingGroup: null } }, 'ho'],
    ] as const) {
      const name = freshName();
      // As the Python client sends it: nulls where nothing was said.
      const sent = { template_id: id, name, image: null, starts_at: null, dependencies: null };
      const { status, body } = await create({ ...sent, ...more }, { path });
      expect([status, body.status]).toEqual([201, 'RUNNING']);
      const kernels = [...agent.kernels.values()];
      const spec = kernels.find((kernel) => kernel.spec.sessionName === name)?.spec;
      expect(spec).toMatchObject({
        sessionType: 'batch',
        startupCommand: 'make all',
        bootstrapScript: "echo ready\ngit clone -b 'main' -- 'https://git.test/team/code' 'code'\n",
        slots: { cpu: '1', mem: '268435456' },
      });
      expect(spec?.environ.GREETING).toBe(greeting);
      const [row] = await ctx.sql`select tag from sessions where id = ${body.sessionId}`;
      expect(row?.tag).toBe('nightly');
    }
  });

  test.each<[Record<string, unknown>, number, string]>([
    [{ image: 'bash', name: null }, 400, 'session_name'],
    [{ type: 'interactive', starts_at: '1h' }, 400, 'batch'],
    [{ config: { mounts: ['nosuch'] } }, 404, 'nosuch'],
    [{ template_id: 'b9d3e8f06b3e4d0c9c431d8a3a1b2c3e' }, 404, 'template'],
    [{ template_id: null, image: null }, 400, 'template_id'],
    [{ template_id: undefined }, 400, 'template_id'],
  ])('%j: %d', async (more, status, hint) => {
    const answer = await create({ template_id: await template(), ...more }, { path });
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer.body)).toContain(hint);
  });

  test("somebody else's template is not there", async () => {
    const account = await insertAccount(ctx.sql, {
      ...{ name: 'curious', role: 'user', domainName: 'default' },
    });
    const body = { template_id: await template() };
    expect((await create(body, { path, account })).status).toBe(404);
  });
});

describe('refusals say what is wrong', () => {
  test.each<[Record<string, unknown>, number, string]>([
    [{ name: undefined }, 400, 'session_name'],
    [{ image: 'nosuch' }, 404, 'nosuch'],
    [{ config: { mounts: ['data'] } }, 404, 'data'],
    [{ config: { mount_ids: ['b9d3e8f0-6b3e-4d0c-9c43-1d8a3a1b2c3e'] } }, 404, 'folder'],
    [{ config: { attach_network: 'b9d3e8f0-6b3e-4d0c-9c43-1d8a3a1b2c3e' } }, 400, 'attach_network'],
    [{ config: { resources: { cpu: 'lots' } } }, 400, 'lots'],
    [{ config: { environ: 'A=b' } }, 400, 'environ'],
    [{ type: 'batch' }, 400, 'startup_command'],
    [{ starts_at: '1h' }, 400, 'batch'],
    [{ type: 'batch', startup_command: 'x', starts_at: 'soon' }, 400, 'soon'],
    [{ cluster_size: 2 }, 400, 'container'],
    [{ group: 'nosuch' }, 404, 'nosuch'],
  ])('%j: %d', async (body, status, hint) => {
    const answer = await create(body);
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer.body)).toContain(hint);
  });

  test('a wrong config comes back in the data', async () => {
    const config = { environ: { A: 1 } };
    expect((await create({ config })).body.data).toEqual({ config });
  });

  test('agents cannot be chosen where they are hidden', async () => {
    const hiding = { ...ctx, settings: { ...ctx.settings, hideAgents: true } };
    const second = await startServer(hiding, {
      listen: { hostname: '127.0.0.1', port: 0 },
      routes: sessionRoutes(hiding),
      sockets: [],
    });
    try {
      const body = { name: freshName(), image: 'python', config: { agent_list: ['i-sim'] } };
      const refused = await signingClient(second.url, manager.accounts.user)(
        'POST',
        '/session',
        body,
      );
      expect(refused.status).toBe(403);
      expect((await refused.json()).type).toEndWith('/insufficient-privilege');
    } finally {
      await second.stop(0);
    }
  });
});
