/** The event stream: names and data of events, and who gets which. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
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
  id: string;
  data: Record<string, unknown>;
}

/** Listens, lets `act` happen, and gives the first `count` events. */
async function listen(
  account: TestAccount,
  query: string,
  count: number,
  act: () => void,
  lastEventId?: string,
): Promise<Received[]> {
  const headers = lastEventId === undefined ? undefined : { 'Last-Event-ID': lastEventId };
  const client = signingClient(server.url, account);
  const response = await client('GET', `/events/session?${query}`, undefined, headers);
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
      const [, id = '', event, data] = /^(?:id: (.*)\n)?event: (.*)\ndata: (.*)$/.exec(block) ?? [];
      if (event && data) events.push({ id, event, data: JSON.parse(data) });
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
  expect(events).toMatchObject([
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

describe('a client that was cut off', () => {
  const nothing = () => undefined;
  const seen = (events: Received[]) =>
    events.map(({ event, data }) => `${event} ${data.sessionName}`);

  test('is told what it missed, in order and once, and then what comes', async () => {
    await manager.ctx.sql`update sessions set result = 'UNDEFINED' where id = ${mine.sessionId}`;
    const [first] = await listen(manager.accounts.user, 'scope=*', 1, () => {
      status(mine, 'PREPARING');
    });
    // Nobody listens.
    kernel(mine, 'PREPARING');
    status(theirs, 'PREPARING');
    for (let i = 0; i < 40; i += 1) kernel(mine, 'CREATING');
    status(mine, 'RUNNING');
    const last = status.bind(null, mine, 'TERMINATING');
    const events = await listen(manager.accounts.user, 'scope=*', 43, last, first?.id);
    expect(seen(events)).toEqual([
      'kernel_preparing mine',
      ...Array.from({ length: 40 }, () => 'kernel_creating mine'),
      'session_started mine',
      'session_terminating mine',
    ]);
    expect(new Set(events.map(({ id }) => id)).size).toBe(43);
    // From within what was written down in one go.
    const from = events[20]?.id;
    const again = await listen(manager.accounts.user, 'scope=session', 2, nothing, from);
    expect(seen(again)).toEqual(['session_started mine', 'session_terminating mine']);
  });

  test('an ending that was missed goes with its result', async () => {
    const [first] = await listen(manager.accounts.user, 'scope=session', 1, () => {
      status(mine, 'PULLING');
    });
    for (const name of ['RUNNING', 'TERMINATING', 'TERMINATED']) status(mine, name);
    await manager.ctx.sql`update sessions set result = 'SUCCESS' where id = ${mine.sessionId}`;
    const events = await listen(manager.accounts.user, 'scope=session', 4, nothing, first?.id);
    expect(events.map(({ event }) => event)).toEqual([
      ...['session_started', 'session_success', 'session_terminating', 'session_terminated'],
    ]);
  });

  test.each(['1-0.0', '99999999999999-0.0', 'nonsense', '1.5', '-1-1.0'])(
    'is told that more is missing when %s is not known',
    async (place) => {
      const events = await listen(manager.accounts.superadmin, 'scope=kernel', 1, nothing, place);
      expect(events[0]).toMatchObject({ event: 'events_missed', data: { last_event_id: place } });
    },
  );

  test('gets what is left after a gap', async () => {
    const { superadmin } = manager.accounts;
    const all = () => kernel(theirs, 'TERMINATED', 7);
    const query = `sessionId=${theirs.sessionId}&scope=kernel`;
    const events = await listen(superadmin, query, 2, all, '1-0.0');
    expect(events.map(({ event }) => event)).toEqual(['events_missed', 'kernel_terminated']);
  });

  test('gets nothing that is not its own', async () => {
    await manager.ctx.sql`update sessions set result = 'UNDEFINED' where id = ${mine.sessionId}`;
    const [first] = await listen(manager.accounts.superadmin, 'scope=session', 1, () => {
      status(theirs, 'PULLING');
    });
    status(theirs, 'RUNNING');
    const last = () => status(mine, 'RUNNING');
    const own = await listen(manager.accounts.user, 'scope=session', 1, last, first?.id);
    expect(seen(own)).toEqual(['session_started mine']);
    const abroad = await insertSession(manager.ctx.sql, {
      ...{ name: 'abroad', owner: stranger, domainName: 'other', agentId: 'i-one' },
      projectId: await insertProject(manager.ctx.sql, 'other'),
    });
    const after = () => status(abroad, 'RUNNING');
    const foreign = await listen(stranger, 'scope=session', 1, after, first?.id);
    expect(seen(foreign)).toEqual(['session_started abroad']);
  });
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
