/** Committing sessions over HTTP, on an agent that does as it is told. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import {
  signingClient,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { REGISTRY_ACCOUNT, startTestRegistry } from '../../testing/registry.ts';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import { eventually, missingTool, requireOrSkip } from '../../testing/services.ts';
import {
  type InsertedSession,
  insertAgent,
  insertProject,
  insertSession,
} from '../../testing/sessions.ts';
import { backgroundTaskRoutes } from '../background-task/rest.ts';
import type { ManagerContext } from '../context.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { sessionRoutes } from './rest.ts';

let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let session: InsertedSession;
const agent = new ScriptedAgent();
const hasRegistry = requireOrSkip(missingTool('docker-registry', 'docker-registry'));
const START_TIMEOUT_MS = 60_000;

beforeAll(async () => {
  manager = await testManagerContext();
  ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  const common = { projectId, agentId: 'i-one', owner: manager.accounts.user };
  session = await insertSession(ctx.sql, { ...common, name: 'work' });
  await insertSession(ctx.sql, { ...common, name: 'waiting', status: 'PENDING' });
  await ctx.sql`UPDATE kernels SET image = 'local/testing/python:3-debian'`;
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: [...sessionRoutes(ctx), ...backgroundTaskRoutes(ctx)],
    sockets: [],
  });
}, START_TIMEOUT_MS);
beforeEach(() => {
  agent.commits.clear();
  agent.commitTargets.length = 0;
});
afterAll(async () => {
  await manager.ctx.tasks.stop();
  await server.stop(0);
  await manager.close();
});

async function call(
  method: string,
  target: string,
  json?: unknown,
  who: 'user' | 'admin' = 'user',
) {
  const response = await signingClient(server.url, manager.accounts[who])(method, target, json);
  return { status: response.status, body: await response.json() };
}

const path = (suffix: string) => `/session/work${suffix}`;
const isOver = /event: bgtask_(done|failed)\ndata: (.*)/;

/** What a task tells in the end. */
async function outcome(taskId: string) {
  const target = `/events/background-task?taskId=${taskId}`;
  const response = await signingClient(server.url, manager.accounts.user)('GET', target);
  const [, state, data] = isOver.exec(await response.text()) ?? [];
  return { state, message: JSON.parse(data ?? '{}').message };
}

test("what a watcher of the session's node found, and nothing where it found nothing", async () => {
  expect(await call('GET', path('/abusing-report'))).toEqual({ status: 200, body: {} });
  agent.abuseReports.set(session.kernelId, { state: 'mining', pid: 7 });
  expect((await call('GET', path('/abusing-report'))).body).toEqual({ state: 'mining', pid: 7 });
  expect((await call('GET', path('/abusing-report'), undefined, 'admin')).status).toBe(404);
});

test('an archive: where it will be, whether it is under way, and how it ends', async () => {
  expect((await call('GET', path('/commit'))).body).toEqual({
    ...{ status: 'ready', kernel: session.kernelId },
  });
  const made = await call('POST', path('/commit'));
  expect(made).toEqual({
    status: 201,
    body: {
      bgtask_id: expect.any(String),
      kernel: session.kernelId,
      path: expect.stringMatching(/^user@[^/]+\/\d{4}-[\dT.-]+_work_python_3-debian\.tar\.gz$/),
    },
  });
  expect((await call('GET', path('/commit'))).body.status).toBe('ongoing');
  const again = await call('POST', path('/commit?fname=second.tar.gz'));
  expect([again.status, again.body.msg]).toEqual([400, expect.stringContaining('being committed')]);
  const end = outcome(made.body.bgtask_id);
  agent.commits.set(session.kernelId, { state: 'done', message: '', image: null });
  expect(await end).toEqual({ state: 'done', message: `The archive is ${made.body.path}.` });
  expect(agent.commitTargets).toHaveLength(1);
});

test('a name of its own, which leads nowhere else', async () => {
  for (const name of ['../up.tar.gz', '.hidden', 'a/b']) {
    const query = new URLSearchParams({ filename: name });
    expect((await call('POST', path(`/commit?${query}`))).status).toBe(400);
  }
  expect((await call('POST', path('/commit?fname=mine.tar.gz'))).body.path).toEndWith(
    '/mine.tar.gz',
  );
  expect(agent.commitTargets).toMatchObject([{ kind: 'archive', fileName: 'mine.tar.gz' }]);
});

test('what the agent says went wrong is what its task says', async () => {
  const { body } = await call('POST', path('/commit'));
  agent.commits.set(session.kernelId, { state: 'failed', message: 'no space left', image: null });
  expect(await outcome(body.bgtask_id)).toEqual({ state: 'failed', message: 'no space left' });
  const second = await call('POST', path('/commit'));
  agent.commits.clear();
  expect(await outcome(second.body.bgtask_id)).toMatchObject({
    ...{ state: 'failed', message: expect.stringContaining('restarted') },
  });
});

/** Lets the agent finish the image it was asked for last. */
function finishImage() {
  const target = agent.commitTargets.at(-1);
  if (target?.kind !== 'image') throw new Error('no image was asked for');
  agent.commits.set(session.kernelId, {
    ...{ state: 'done', message: '' },
    image: {
      canonical: target.canonical,
      architecture: 'x86_64',
      digest: `sha256:${'0'.repeat(64)}`,
      sizeBytes: 1,
      labels: { 'ai.backend.kernelspec': '1', ...target.labels },
      aliases: ['python'],
    },
  });
  return target;
}

test('an image: in the catalogue when it is done, for its maker, renewed under its name', async () => {
  const convert = (image_name: string) => call('POST', path('/imagify'), { image_name });
  const first = await convert('mine');
  expect(first).toEqual({ status: 200, body: { task_id: expect.any(String) } });
  const target = finishImage();
  expect(target.canonical).toMatch(/^local\/python:3-debian-customized_[0-9a-f]{32}$/);
  expect(target.labels).toMatchObject({
    'ai.backend.customized-image.owner': `user:${manager.accounts.user.userId}`,
    'ai.backend.customized-image.name': 'mine',
  });
  expect(await outcome(first.body.task_id)).toEqual({
    ...{ state: 'done', message: `The image is ${target.canonical}.` },
  });
  const rows = await ctx.sql`SELECT name FROM images`;
  expect(rows.map(({ name }) => name)).toEqual([target.canonical]);
  // No short name that others' sessions could come by.
  expect(await ctx.sql`SELECT * FROM image_aliases`).toHaveLength(0);

  agent.commits.clear();
  const renewed = await convert('mine');
  expect(finishImage().canonical).toBe(target.canonical);
  expect((await outcome(renewed.body.task_id)).state).toBe('done');
});

test('the quota of images, and what cannot be made', async () => {
  const imagify = (body: object, who: 'user' | 'admin' = 'user') =>
    call('POST', path('/imagify'), body, who);
  const { sql } = ctx;
  await sql`UPDATE user_resource_policies SET max_customized_image_count = 1`;
  const full = await imagify({ image_name: 'another' });
  expect([full.status, full.body.type]).toEqual([400, expect.stringContaining('/quota-exceeded')]);
  expect(full.body.data).toEqual({ limit: 1, current: 1 });
  expect((await imagify({ image_name: 'a/b' })).status).toBe(400);
  expect((await imagify({ image_name: 'x', image_visibility: 'project' })).status).toBe(400);
  expect((await imagify({ image_name: 'x' }, 'admin')).status).toBe(404);
  // Python's clients send a query and no body.
  const asQuery = await call('POST', path('/imagify?image_name=another'));
  expect(asQuery.body.data).toEqual({ limit: 1, current: 1 });
  expect((await call('POST', '/session/waiting/commit')).status).toBe(400);
  await sql`UPDATE user_resource_policies SET max_customized_image_count = 3`;
  expect(agent.commitTargets).toEqual([]);
  agent.away = true;
  await eventually('it is away', async () => (await call('GET', path('/commit'))).status === 503);
  agent.away = false;
});

test.skipIf(!hasRegistry)(
  'an image of a project with a registry is pushed there and read from there',
  async () => {
    const registry = await startTestRegistry();
    try {
      const { username, password } = REGISTRY_ACCOUNT;
      await ctx.sql`INSERT INTO container_registries (url, registry_name, type, project, username, password)
      VALUES (${registry.url}, ${registry.addr}, 'docker', 'team', ${username}, ${password})`;
      await ctx.sql`UPDATE groups SET container_registry =
      ${JSON.stringify({ registry: registry.addr, project: 'team' })}::text::jsonb`;
      const { body } = await call('POST', path('/imagify'), { image_name: 'pushed' });
      const target = agent.commitTargets.at(-1);
      if (target?.kind !== 'image') throw new Error('no image was asked for');
      expect(target.push).toEqual(REGISTRY_ACCOUNT);
      expect(target.canonical).toStartWith(`${registry.addr}/team/python:3-debian-customized_`);
      const [repository = '', tag = ''] = target.canonical
        .slice(registry.addr.length + 1)
        .split(':');
      const labels = { 'ai.backend.kernelspec': '1', ...target.labels };
      const [digest] = await registry.push(repository, tag, [{ architecture: 'amd64', labels }]);
      agent.commits.set(session.kernelId, { state: 'done', message: '', image: null });
      expect(await outcome(body.task_id)).toMatchObject({ state: 'done' });
      const [row] =
        await ctx.sql`SELECT trim(config_digest) AS config_digest, architecture FROM images
      WHERE name = ${target.canonical}`;
      expect(row).toEqual({ config_digest: digest, architecture: 'x86_64' });
    } finally {
      await registry.stop();
    }
  },
);
