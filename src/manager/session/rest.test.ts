/** Session operations over HTTP: shapes, legacy parameters, and agents that do not answer. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  signedHeaders,
  signingClient,
  type TestAccount,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import {
  type InsertedSession,
  insertAccount,
  insertAgent,
  insertProject,
  insertSession,
} from '../../testing/sessions.ts';
import type { ManagerContext } from '../context.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { sessionRoutes, sessionSocketRoutes } from './rest.ts';

let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let session: InsertedSession;
let dead: InsertedSession;
let pending: InsertedSession;
const agent = new ScriptedAgent();

beforeAll(async () => {
  manager = await testManagerContext();
  ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  const common = { projectId, agentId: 'i-one', owner: manager.accounts.user };
  session = await insertSession(ctx.sql, { ...common, name: 'work' });
  dead = await insertSession(ctx.sql, {
    ...common,
    name: 'dead',
    status: 'TERMINATED',
    log: 'last words',
  });
  pending = await insertSession(ctx.sql, { ...common, name: 'waiting', status: 'PENDING' });
  await ctx.sql`insert into session_dependencies values (${session.sessionId}, ${dead.sessionId})`;
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

async function call(
  method: string,
  target: string,
  json?: unknown,
  account = manager.accounts.user,
) {
  const response = await signingClient(server.url, account)(method, target, json);
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text), text };
}

describe('one session', () => {
  test('the 24 keys of its info', async () => {
    const { status, body } = await call('GET', '/session/work');
    expect(status).toBe(200);
    expect(Object.keys(body)).toHaveLength(24);
    expect(body).toMatchObject({
      status: 'RUNNING',
      statusInfo: 'None',
      lang: 'local/python:3.11',
      containerId: 'c0ffee',
      occupiedSlots: '{"cpu":"1","mem":"268435456"}',
      terminationTime: null,
      idleChecks: {
        session_lifetime: { remaining: null, remaining_time_type: 'expire_after', extra: null },
      },
    });
    expect(body.creationTime).toMatch(/^\d{4}-.*\+00:00$/);
    expect((await call('GET', `/session/${session.sessionId}`)).body.groupId).toBe(body.groupId);
  });

  test('is not found under another name or in another hand', async () => {
    const { superadmin } = manager.accounts;
    expect((await call('GET', '/session/nosuch')).body.title).toBe('No such session.');
    expect((await call('GET', '/session/dead')).status).toBe(404);
    expect((await call('GET', '/session/work', undefined, superadmin)).status).toBe(404);
    const owned = `/session/work?owner_access_key=${manager.accounts.user.accessKey}`;
    expect((await call('GET', owned, undefined, superadmin)).status).toBe(200);
  });

  test('operations that are not there do not look for a session called _', async () => {
    const { status, body } = await call('GET', '/session/_/nosuch?session_name=work');
    expect(status).toBe(404);
    expect(body).toMatchObject({ title: 'Unknown URL path.', data: '/session/_/nosuch' });
  });

  test('cannot be restarted', async () => {
    const { status, body } = await call('PATCH', '/session/work');
    expect(status).toBe(501);
    expect(body.type).toEndWith('/not-implemented');
  });

  test('its status history serves the API and the command line', async () => {
    const { body } = await call('GET', '/session/dead/status-history');
    expect(body.TERMINATED).toBeString();
    expect(body.result.terminated).toBe(body.TERMINATED);
  });

  test('its dependencies as a tree', async () => {
    const { body } = await call('GET', '/session/work/dependency-graph');
    expect(body).toMatchObject({
      session_id: session.sessionId,
      session_name: 'work',
      status: 'RUNNING',
      depends_on: [{ session_id: dead.sessionId, depends_on: [] }],
    });
  });

  test('its apps and direct access', async () => {
    expect((await call('GET', '/stream/session/work/apps')).body).toEqual([
      { name: 'sshd', protocol: 'tcp', ports: [2200] },
    ]);
    expect((await call('GET', '/session/work/direct-access-info')).body).toEqual({});
  });

  test('matches by prefix', async () => {
    const { body } = await call('GET', '/session/_/match?id=wor');
    expect(body.matches).toEqual([{ id: session.sessionId, name: 'work', status: 'RUNNING' }]);
    expect((await call('GET', '/session/_/match')).status).toBe(400);
  });

  test('is renamed by body or by query, if the name is free and valid', async () => {
    expect((await call('POST', '/session/work/rename', { name: 'work2' })).status).toBe(204);
    const audited = await manager.ctx.sql`SELECT operation, before, after FROM audit_logs
      WHERE entity_type = 'session' AND operation = 'update'`;
    expect([...audited]).toEqual([
      {
        operation: 'update',
        before: { name: 'work', tag: null },
        after: { name: 'work2', tag: null },
      },
    ]);
    expect((await call('POST', '/session/work2/rename?name=work')).status).toBe(204);
    expect((await call('POST', '/session/work/rename', { name: 'a/b' })).status).toBe(400);
    expect((await call('POST', '/session/work/rename', { name: 'waiting' })).status).toBe(400);
    expect((await call('POST', '/session/work/rename')).status).toBe(400);
  });
});

describe('execution', () => {
  const run = async (body: unknown) => (await call('POST', '/session/work', body)).body.result;

  test('a query gets a run id and its output', async () => {
    const result = await run({ mode: 'query', code: 'say hello' });
    expect(result).toMatchObject({
      status: 'finished',
      exitCode: 0,
      options: null,
      files: [],
      console: [['stdout', 'hello\n']],
    });
    expect(result.runId).toMatch(/^[0-9a-f]{32}$/);
    expect(agent.requests.at(-1)).toMatchObject({ waitMs: 2000, eager: false });
  });

  test.each(['runId', 'run_id'])('input continues the run named by %s', async (key) => {
    const asked = await run({ mode: 'query', code: 'ask', [key]: `run-${key}` });
    expect(asked).toMatchObject({ status: 'waiting-input', options: { is_password: true } });
    const answered = await run({ mode: 'input', code: 'Ann', [key]: asked.runId });
    expect(answered.console).toEqual([['stdout', 'Ann\n']]);
  });

  test('batch options reach the agent, buildLog and nulls included', async () => {
    const built = await run({
      mode: 'batch',
      code: null,
      options: { clean: null, build: 'make', buildLog: false, exec: '*' },
    });
    expect(built.status).toBe('build-finished');
    expect(agent.requests.at(-1)?.options).toEqual({ clean: null, build: 'make', exec: '*' });
    const done = await run({ mode: 'continue', code: '', runId: built.runId });
    expect(done.status).toBe('finished');
  });

  test('completion in its own operation, as a mode, and as the Python client sends it', async () => {
    const options = { row: 0, col: 1, line: 'x', post: 'y' };
    const expected = { status: 'finished', error: null, suggestions: ['xy!'] };
    expect((await call('POST', '/session/work/complete', { code: 'x', options })).body).toEqual({
      result: expected,
    });
    expect(await run({ mode: 'complete', code: 'x', options })).toEqual({ result: expected });
    expect(await run({ code: 'x', options })).toEqual({ result: expected });
  });

  test.each([
    [{ code: 'say hi' }, 500],
    [{ mode: 'nosuch', code: '' }, 500],
    [{ mode: 'continue', code: '' }, 500],
    [{ mode: 'query', code: 'say', runId: 'x'.repeat(65) }, 400],
    [{ mode: 'batch', options: { build: 1 } }, 400],
  ])('refuses %j', async (body, status) => {
    const answer = await call('POST', '/session/work', body);
    expect(answer.status).toBe(status);
    expect(answer.body.type).toEndWith(
      status === 500 ? '/invalid-session-data' : '/generic-bad-request',
    );
  });

  test('needs a body, and a session that runs', async () => {
    expect((await call('POST', '/session/work')).body.title).toBe('Malformed request body.');
    const answer = await call('POST', '/session/waiting', { mode: 'query', code: 'say x' });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ title: 'Kernel not ready.' });
    expect(answer.body.msg).toContain('PENDING');
  });

  test('counts queries, not their continuations', async () => {
    const before = (await call('GET', '/session/work')).body.numQueriesExecuted;
    const asked = await run({ mode: 'query', code: 'ask' });
    await run({ mode: 'input', code: 'x', runId: asked.runId });
    expect((await call('GET', '/session/work')).body.numQueriesExecuted).toBe(before + 1);
  });

  test('interrupts', async () => {
    expect((await call('POST', '/session/work/interrupt')).status).toBe(204);
    expect(agent.interrupted.at(-1)).toBe(session.kernelId);
  });
});

test('logs come from the agent while it runs and from the database afterwards', async () => {
  expect((await call('GET', '/session/work/logs')).body).toEqual({
    result: { logs: 'a live log' },
  });
  expect((await call('GET', '/session/dead/logs')).body).toEqual({
    result: { logs: 'last words' },
  });
  expect((await call('GET', '/session/waiting/logs')).body).toEqual({ result: { logs: '' } });
  const kernel = `/session/work/logs?kernel_id=${session.kernelId}`;
  expect((await call('GET', kernel)).body.result.logs).toBe('a live log');
  const foreign = `/session/work/logs?kernelId=${pending.kernelId}`;
  expect((await call('GET', foreign)).status).toBe(404);
});

describe('files', () => {
  async function upload(account: TestAccount, files: [string, string][]) {
    const form = new FormData();
    for (const [name, text] of files) form.append('src', new Blob([text]), name);
    const packed = new Response(form);
    const contentType = packed.headers.get('content-type') ?? '';
    const target = '/session/work/upload';
    return fetch(`${server.url}${target}`, {
      method: 'POST',
      body: await packed.arrayBuffer(),
      headers: {
        ...signedHeaders(account, {
          method: 'POST',
          target,
          host: new URL(server.url).host,
          contentType: 'multipart/form-data',
        }),
        'Content-Type': contentType,
      },
    });
  }

  test('are uploaded, listed and downloaded', async () => {
    const uploaded = await upload(manager.accounts.user, [
      ['a.txt', 'one'],
      ['sub/b.txt', 'two'],
    ]);
    expect(uploaded.status).toBe(204);
    const { body } = await call('GET', '/session/work/files?path=sub');
    expect(body).toMatchObject({ errors: '', abspath: '/home/work/sub' });
    expect(JSON.parse(body.files).map((file: { filename: string }) => file.filename)).toEqual([
      'a.txt',
      'sub/b.txt',
    ]);
    // The Python client posts, the JavaScript client gets.
    for (const method of ['POST', 'GET']) {
      const many = await signingClient(server.url, manager.accounts.user)(
        method,
        '/session/work/download?files=a.txt&files=sub%2Fb.txt',
      );
      expect(many.headers.get('content-type')).toStartWith('multipart/mixed');
      const text = await many.text();
      expect(text).toContain('one');
      expect(text).toContain('two');
    }
  });

  test('one file as raw bytes', async () => {
    agent.files.set('raw.bin', Buffer.from([0, 255, 1]));
    for (const method of ['POST', 'GET']) {
      const response = await signingClient(server.url, manager.accounts.user)(
        method,
        '/session/work/download_single?file=raw.bin',
      );
      expect(response.headers.get('content-type')).toBe('application/octet-stream');
      expect([...new Uint8Array(await response.arrayBuffer())]).toEqual([0, 255, 1]);
    }
  });

  test('refuses too many, too large, missing, and no multipart at all', async () => {
    const { user } = manager.accounts;
    const twentyOne: [string, string][] = Array.from({ length: 21 }, (_, i) => [`f${i}`, 'x']);
    expect((await upload(user, twentyOne)).status).toBe(400);
    expect((await upload(user, [['big', 'x'.repeat(1024 * 1024 + 1)]])).status).toBe(400);
    expect((await call('POST', '/session/work/upload', {})).status).toBe(400);
    expect((await call('POST', '/session/work/download', { files: ['nosuch'] })).status).toBe(404);
    const six = { files: ['1', '2', '3', '4', '5', '6'] };
    expect((await call('POST', '/session/work/download', six)).status).toBe(400);
    expect((await call('POST', '/session/work/download_single')).status).toBe(400);
  });
});

test('an agent that does not answer: 503, and the session is kept', async () => {
  agent.away = true;
  try {
    for (const [method, target, body] of [
      ['POST', '/session/work', { mode: 'query', code: 'say x' }],
      ['GET', '/session/work/logs', undefined],
      ['GET', '/session/work/files', undefined],
      ['POST', '/session/work/interrupt', undefined],
    ] as const) {
      const answer = await call(method, target, body);
      expect(answer.status).toBe(503);
      expect(answer.body.type).toEndWith('/agent-connection-unavailable');
      expect(answer.body.msg).toContain('The session is kept');
    }
  } finally {
    agent.away = false;
  }
  expect((await call('GET', '/session/work')).body.status).toBe('RUNNING');
});

describe('destroying', () => {
  test('tells what happened, and again, and nothing about the dead', async () => {
    const first = await call('DELETE', '/session/waiting');
    expect(first).toMatchObject({ status: 200, body: { stats: { status: 'cancelled' } } });
    const again = await call('DELETE', `/session/${pending.sessionId}?forced=true`);
    expect(again).toMatchObject({ status: 200, body: { stats: {} } });
    expect((await call('DELETE', '/session/waiting')).status).toBe(404);
    expect((await call('DELETE', '/session/work?forced=perhaps')).status).toBe(400);
    const running = await call('DELETE', '/session/work');
    expect(running.body.stats.status).toBe('terminated');
  });

  test("a user cannot name another's key", async () => {
    const other = await insertAccount(ctx.sql, {
      name: 'other',
      role: 'user',
      domainName: 'default',
    });
    const target = `/session/work?owner_access_key=${manager.accounts.user.accessKey}`;
    expect((await call('DELETE', target, undefined, other)).status).toBe(403);
  });
});
