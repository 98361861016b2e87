/** The event stream: names and data of events, and who gets which. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  signingClient,
  type TestAccount,
  type TestManagerContext,
  testManagerContext,
} from '../../testing/manager.ts';
import {
  type InsertedSession,
  insertAccount,
  insertAgent,
  insertProject,
  insertSession,
} from '../../testing/sessions.ts';
import { type ManagerServer, startServer } from '../server.ts';
import { sessionRoutes } from './rest.ts';

let manager: TestManagerContext;
let server: ManagerServer;
let mine: InsertedSession;
let theirs: InsertedSession;
let stranger: TestAccount;

beforeAll(async () => {
  manager = await testManagerContext();
  const { ctx, accounts } = manager;
  const projectId = await insertProject(ctx.sql);
  await insertAgent(ctx.sql, 'i-one');
  const common = { projectId, agentId: 'i-one' };
  mine = await insertSession(ctx.sql, {
    ...common,
    name: 'mine',
    owner: accounts.user,
    type: 'BATCH',
  });
  theirs = await insertSession(ctx.sql, { ...common, name: 'theirs', owner: accounts.superadmin });
  stranger = await insertAccount(ctx.sql, { name: 'stranger', role: 'admin', domainName: 'other' });
  server = await startServer(ctx, {
    listen: { hostname: '127.0.0.1', port: 0 },
    routes: sessionRoutes(ctx),
    sockets: [],
  });
});
afterAll(async () => {
  await server.stop(0);
  await manager.close();
});

interface Received {
  event: string;
  data: Record<string, unknown>;
}

/** Listens, lets `act` happen, and gives the first `count` events. */
async function listen(
  account: TestAccount,
  query: string,
  count: number,
  act: () => void,
): Promise<Received[]> {
  const response = await signingClient(server.url, account)('GET', `/events/session?${query}`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) throw new Error('there is no stream');
  const events: Received[] = [];
  let text = '';
  let acted = false;
  while (events.length < count) {
    const { value, done } = await reader.read();
    if (done) throw new Error('the stream ended early');
    text += value;
    if (!acted && text.includes(': connected')) {
      acted = true;
      act();
    }
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? [];
      if (event && data) events.push({ event, data: JSON.parse(data) });
    }
  }
  await reader.cancel();
  return events;
}

const status = (session: InsertedSession, name: string) =>
  manager.ctx.events.publish({
    type: 'session-status',
    sessionId: session.sessionId,
    status: name,
    reason: 'test',
  });
const kernel = (session: InsertedSession, name: string, exitCode: number | null = null) =>
  manager.ctx.events.publish({
    type: 'kernel-status',
    sessionId: session.sessionId,
    kernelId: session.kernelId,
    status: name,
    reason: 'test',
    exitCode,
  });

test('a user gets the events of the own key, with their data', async () => {
  const events = await listen(manager.accounts.user, 'scope=*', 2, () => {
    status(theirs, 'RUNNING');
    status(mine, 'RUNNING');
    kernel(mine, 'TERMINATED', 3);
  });
  expect(events).toEqual([
    {
      event: 'session_started',
      data: {
        reason: 'test',
        sessionName: 'mine',
        ownerAccessKey: manager.accounts.user.accessKey,
        sessionId: mine.sessionId,
        exitCode: null,
      },
    },
    {
      event: 'kernel_terminated',
      data: {
        reason: 'test',
        sessionName: 'mine',
        ownerAccessKey: manager.accounts.user.accessKey,
        sessionId: mine.sessionId,
        exitCode: 3,
        kernelId: mine.kernelId,
        clusterRole: 'main',
        clusterIdx: 1,
      },
    },
  ]);
});

test('scope, session and owner narrow it', async () => {
  const { superadmin, user } = manager.accounts;
  const all = () => {
    kernel(mine, 'CREATING');
    status(theirs, 'PENDING');
    status(mine, 'PENDING');
  };
  const names = (events: Received[]) =>
    events.map(({ event, data }) => `${event} ${data.sessionName}`);
  expect(names(await listen(superadmin, 'scope=session', 2, all))).toEqual([
    'session_enqueued theirs',
    'session_enqueued mine',
  ]);
  expect(
    names(await listen(superadmin, `sessionId=${mine.sessionId}&scope=session`, 1, all)),
  ).toEqual(['session_enqueued mine']);
  expect(names(await listen(superadmin, `ownerAccessKey=${user.accessKey}`, 2, all))).toEqual([
    'kernel_creating mine',
    'session_enqueued mine',
  ]);
  expect(names(await listen(superadmin, 'sessionName=theirs', 1, all))).toEqual([
    'session_enqueued theirs',
  ]);
});

test("a batch session's result comes once, before its end", async () => {
  await manager.ctx.sql`update sessions set result = 'FAILURE' where id = ${mine.sessionId}`;
  const events = await listen(manager.accounts.user, 'scope=session', 3, () => {
    status(mine, 'TERMINATING');
    status(mine, 'TERMINATED');
  });
  expect(events.map(({ event }) => event)).toEqual([
    'session_failure',
    'session_terminating',
    'session_terminated',
  ]);
});

test('others may not listen', async () => {
  const { user } = manager.accounts;
  const ask = async (account: TestAccount, query: string) =>
    (await signingClient(server.url, account)('GET', `/events/session?${query}`)).status;
  const other = await insertAccount(manager.ctx.sql, {
    name: 'other',
    role: 'user',
    domainName: 'default',
  });
  expect(await ask(other, `ownerAccessKey=${user.accessKey}`)).toBe(403);
  expect(await ask(stranger, `ownerAccessKey=${user.accessKey}`)).toBe(403);
  expect(await ask(user, 'scope=everything')).toBe(400);
});
