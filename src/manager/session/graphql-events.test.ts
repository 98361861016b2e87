/** The subscription to a session's status: what it tells, and who may subscribe. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  signedHeaders,
  type TestAccount,
  type TestServer,
  testManagerServer,
} from '../../testing/manager.ts';
import {
  type InsertedSession,
  insertAccount,
  insertAgent,
  insertProject,
  insertSession,
} from '../../testing/sessions.ts';
import { createGraphqlEngine, type GraphqlEngine } from '../graphql/engine.ts';
import { globalId } from '../graphql/global-id.ts';
import { graphqlRoutes } from '../graphql/rest.ts';
import { graphqlModules } from '../main.ts';

let server: TestServer;
let engine: GraphqlEngine;
let mine: InsertedSession;
let otherAdmin: TestAccount;

beforeAll(async () => {
  server = await testManagerServer({
    routes: async (ctx) => {
      engine = await createGraphqlEngine(ctx, graphqlModules);
      return graphqlRoutes(ctx, engine);
    },
  });
  const { sql } = server.ctx;
  const projectId = await insertProject(sql);
  await insertAgent(sql, 'i-one');
  const owner = server.accounts.user;
  mine = await insertSession(sql, { projectId, agentId: 'i-one', name: 'mine', owner });
  otherAdmin = await insertAccount(sql, { name: 'stranger', role: 'admin', domainName: 'other' });
});
afterAll(async () => {
  await engine.close();
  await server.close();
});

async function subscribe(account: TestAccount, sessionId: string) {
  const { host } = new URL(server.url);
  const target = '/admin/gql';
  const contentType = 'application/json';
  const response = await fetch(`${server.url}${target}`, {
    method: 'POST',
    headers: {
      ...signedHeaders(account, { method: 'POST', target, host, contentType }),
      Accept: 'text/event-stream',
    },
    body: JSON.stringify({
      query: `subscription ($id: ID!) {
        schedulingEventsBySession(sessionId: $id) {
          sessionId statusTransition reason session { name status owner { email } } } }`,
      variables: { id: sessionId },
    }),
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) throw new Error('there is no stream');
  let text = '';
  return {
    close: () => reader.cancel(),
    /** Reads until `count` answers have come; the end counts as one. */
    async answers(count: number): Promise<string[]> {
      for (;;) {
        const found = text.match(/^data: .*$/gm) ?? [];
        if (found.length >= count) return found.map((line) => line.slice('data: '.length));
        const { value, done } = await reader.read();
        if (done) throw new Error(`the stream ended after ${text}`);
        text += value;
      }
    },
  };
}

function publish(sessionId: string, status: string): void {
  server.ctx.events.publish({ type: 'session-status', sessionId, status, reason: 'test' });
}

test.each(['raw', 'global'])('the owner hears every change, by %s id', async (form) => {
  const { sessionId } = mine;
  const id = form === 'raw' ? sessionId : globalId('ComputeSessionNode', sessionId);
  const events = await subscribe(server.accounts.user, id);
  // It begins with how the session is, for those who read it before.
  const [present] = (await events.answers(1)).map((text) => JSON.parse(text));
  expect(present.data.schedulingEventsBySession).toMatchObject({
    ...{ sessionId, statusTransition: 'RUNNING', session: { name: 'mine', status: 'RUNNING' } },
  });
  publish(sessionId, 'PREPARING');
  publish('00000000-0000-4000-8000-000000000000', 'RUNNING');
  publish(sessionId, 'RESTARTING');
  publish(sessionId, 'RUNNING');
  const session = { name: 'mine', status: 'RUNNING', owner: { email: 'user@test.example' } };
  const answer = (statusTransition: string) => ({
    data: { schedulingEventsBySession: { sessionId, statusTransition, reason: 'test', session } },
    errors: null,
  });
  expect((await events.answers(3)).slice(1).map((text) => JSON.parse(text))).toEqual([
    answer('PREPARING'),
    answer('RUNNING'),
  ]);
  await events.close();
});

test('administrators of the domain may subscribe, strangers are told there is no such session', async () => {
  for (const account of [server.accounts.superadmin, server.accounts.admin]) {
    const events = await subscribe(account, mine.sessionId);
    await events.answers(1);
    publish(mine.sessionId, 'TERMINATED');
    expect((await events.answers(2))[1]).toContain('TERMINATED');
    await events.close();
  }
  const stranger = await insertAccount(server.ctx.sql, {
    name: 'colleague',
    role: 'user',
    domainName: 'default',
  });
  for (const account of [otherAdmin, stranger]) {
    const [refusal] = await (await subscribe(account, mine.sessionId)).answers(1);
    expect(refusal).toContain('No such session');
  }
  const [wrong] = await (await subscribe(server.accounts.user, 'nonsense')).answers(1);
  expect(wrong).toContain('no session id');
});
