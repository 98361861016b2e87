/** Streamed execution: output, input, errors, disconnects, and slow readers. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { BunWebSocket } from '../../common/bun-websocket.ts';
import {
  signedHeaders,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import {
  type InsertedSession,
  insertAgent,
  insertProject,
  insertSession,
} from '../../testing/sessions.ts';
import { until } from '../../testing/until.ts';
import type { ManagerContext } from '../context.ts';
import type { AuthenticatedRequest, SocketPeer } from '../http/route.ts';
import { findActiveKeypair } from '../keypair/service.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { sessionRoutes, sessionSocketRoutes } from './rest.ts';

let manager: TestManagerContext;
let ctx: ManagerContext;
let server: ManagerServer;
let session: InsertedSession;
const agent = new ScriptedAgent();

beforeAll(async () => {
  manager = await testManagerContext();
  ctx = { ...manager.ctx, agents: { client: () => agent.client } };
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  session = await insertSession(ctx.sql, {
    name: 'work',
    owner: manager.accounts.user,
    projectId,
    agentId: 'i-one',
  });
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

interface Frame {
  status: string;
  console: [string, string][];
  exitCode: number | null;
  options: unknown;
  msg?: string;
}

function connect(name = 'work') {
  const target = `/stream/session/${name}/execute`;
  const { host } = new URL(server.url);
  const socket = new BunWebSocket(`${server.url.replace('http', 'ws')}${target}`, {
    headers: signedHeaders(manager.accounts.user, { target, host }),
  });
  const frames: Frame[] = [];
  let closeCode: number | null = null;
  socket.onmessage = ({ data }) => frames.push(JSON.parse(String(data)));
  socket.onclose = ({ code }) => {
    closeCode = code;
  };
  return {
    socket,
    frames,
    opened: new Promise((resolve) => {
      socket.onopen = resolve;
    }),
    closed: () => until(() => closeCode !== null, 'the socket is closed').then(() => closeCode),
  };
}

test('a query: its output, its end, and the close', async () => {
  const { socket, frames, opened, closed } = connect();
  await opened;
  socket.send(JSON.stringify({ mode: 'query', code: 'say hello', options: {} }));
  expect(await closed()).toBe(1000);
  expect(frames).toEqual([
    {
      status: 'finished',
      console: [['stdout', 'hello\n']],
      exitCode: 0,
      options: null,
      files: [],
    } as Frame,
  ]);
});

test('input goes back as plain text', async () => {
  const { socket, frames, opened, closed } = connect();
  await opened;
  socket.send(JSON.stringify({ mode: 'query', code: 'ask' }));
  await until(() => frames.length === 1, 'the prompt came');
  expect(frames[0]).toMatchObject({ status: 'waiting-input', options: { is_password: true } });
  socket.send('{"not": "parsed"}');
  await closed();
  expect(frames[1]?.console).toEqual([['stdout', '{"not": "parsed"}\n']]);
});

test('batch steps', async () => {
  const { socket, frames, opened, closed } = connect();
  await opened;
  socket.send(JSON.stringify({ mode: 'batch', options: { build: 'make', exec: '*' } }));
  await closed();
  expect(frames.map(({ status }) => status)).toEqual(['build-finished', 'finished']);
});

describe('errors are told as frames', () => {
  test.each([
    ['no JSON', 'work', 'hello', 'the first message must be JSON'],
    ['a wrong mode', 'work', '{"mode":"continue"}', 'mode must be query or batch'],
    ['an unknown session', 'nosuch', '{"mode":"query","code":"say x"}', "'nosuch'"],
  ])('%s', async (_what, name, message, expected) => {
    const { socket, frames, opened, closed } = connect(name);
    await opened;
    socket.send(message);
    expect(await closed()).toBe(1000);
    expect(frames).toHaveLength(1);
    expect(frames[0]?.status).toBe('error');
    expect(frames[0]?.msg).toContain(expected);
  });

  test('an agent that is away', async () => {
    agent.away = true;
    const { socket, frames, opened, closed } = connect();
    await opened;
    socket.send(JSON.stringify({ mode: 'query', code: 'say x' }));
    await closed().finally(() => {
      agent.away = false;
    });
    expect(frames[0]?.msg).toContain('The session is kept');
  });
});

test('a client that leaves interrupts its run', async () => {
  const { socket, frames, opened } = connect();
  await opened;
  const before = agent.interrupted.length;
  socket.send(JSON.stringify({ mode: 'query', code: 'flood' }));
  await until(() => frames.length > 0, 'output flows');
  socket.close();
  await until(() => agent.interrupted.length > before, 'the run was interrupted');
  expect(agent.interrupted.at(-1)).toBe(session.kernelId);
});

test('the next slice is asked for only after the previous frame was taken', async () => {
  const [route] = sessionSocketRoutes(ctx);
  const keypair = await findActiveKeypair(ctx.sql, manager.accounts.user.accessKey);
  if (!route || !keypair) throw new Error('the test is not set up');
  const gone = new AbortController();
  const held: PromiseWithResolvers<void>[] = [];
  const peer: SocketPeer = {
    send: () => {
      const taken = Promise.withResolvers<void>();
      held.push(taken);
      return taken.promise;
    },
    close: () => {},
    messages: (async function* () {
      yield JSON.stringify({ mode: 'query', code: 'flood' });
    })(),
    signal: gone.signal,
  };
  const request: AuthenticatedRequest = {
    request: new Request('http://test/'),
    requestId: 'r',
    clientAddress: null,
    apiVersion: [9, '20250722'],
    signal: gone.signal,
    caller: keypair.caller,
  };
  const before = agent.requests.length;
  const input = { params: { session_name: 'work' }, query: new URLSearchParams() };
  const run = await route.accept({
    ...input,
    json: () => Promise.reject(new Error('a stream has no body')),
  });
  const done = run(request, peer);
  for (let taken = 1; taken <= 3; taken += 1) {
    await until(() => held.length === taken, `frame ${taken} is offered`);
    // Whatever could run without the frame being taken has run after a few turns of the loop.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(agent.requests.length - before).toBe(taken);
    expect(held).toHaveLength(taken);
    if (taken < 3) held.at(-1)?.resolve();
  }
  gone.abort();
  held.at(-1)?.reject(new Error('closed'));
  await done;
  expect(agent.interrupted.at(-1)).toBe(session.kernelId);
});
