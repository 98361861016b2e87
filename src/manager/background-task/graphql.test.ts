/** The subscription to a background task: its reports, its end, and who may subscribe. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import {
  signedHeaders,
  type TestAccount,
  type TestServer,
  testManagerServer,
} from '../../testing/manager.ts';
import { createGraphqlEngine, type GraphqlEngine } from '../graphql/engine.ts';
import { graphqlRoutes } from '../graphql/rest.ts';
import { graphqlModules } from '../main.ts';

let server: TestServer;
let engine: GraphqlEngine;
beforeAll(async () => {
  server = await testManagerServer({
    routes: async (ctx) => {
      engine = await createGraphqlEngine(ctx, graphqlModules);
      return graphqlRoutes(ctx, engine);
    },
  });
});
afterAll(async () => {
  await engine.close();
  await server.close();
});

function subscribe(account: TestAccount, taskId: string): Promise<Response> {
  const { host } = new URL(server.url);
  const contentType = 'application/json';
  const target = '/admin/gql';
  return fetch(`${server.url}${target}`, {
    method: 'POST',
    headers: {
      ...signedHeaders(account, { method: 'POST', target, host, contentType }),
      Accept: 'text/event-stream',
    },
    body: JSON.stringify({
      query: `subscription ($id: ID!) { backgroundTaskEvents(taskId: $id) {
        taskId eventType message currentProgress totalProgress } }`,
      variables: { id: taskId },
    }),
  });
}

const answersOf = (text: string): unknown[] =>
  (text.match(/^data: .+$/gm) ?? []).map((line) => JSON.parse(line.slice('data: '.length)));

test('tells each report and the end, after which it is complete', async () => {
  const go = Promise.withResolvers<void>();
  const { user } = server.accounts;
  const taskId = await server.ctx.tasks.start(user, 'copy', async (report) => {
    await go.promise;
    await report({ current: 1, total: 2, message: 'half' });
    return 'all copied';
  });
  const response = await subscribe(user, taskId);
  go.resolve();
  const text = await response.text();
  const event = (
    eventType: string,
    message: string,
    currentProgress: number,
    totalProgress: number,
  ) => ({
    data: { backgroundTaskEvents: { taskId, eventType, message, currentProgress, totalProgress } },
    errors: null,
  });
  expect(answersOf(text).slice(0, 2)).toEqual([
    event('UPDATED', 'copy', 0, 0),
    event('UPDATED', 'half', 1, 2),
  ]);
  expect(answersOf(text).at(-1)).toMatchObject({
    data: { backgroundTaskEvents: { eventType: 'DONE', message: 'all copied' } },
  });
  expect(text).toEndWith('event: complete\ndata: \n\n');
});

test('only the owner and superadmins may subscribe', async () => {
  const { user, admin, superadmin } = server.accounts;
  const taskId = await server.ctx.tasks.start(user, 'copy', async () => 'done');
  const first = async (account: TestAccount, id: string) =>
    answersOf(await (await subscribe(account, id)).text())[0];
  expect(await first(superadmin, taskId)).toMatchObject({ errors: null });
  for (const [account, id] of [
    [admin, taskId],
    [user, crypto.randomUUID()],
    [user, 'thing'],
  ] as const) {
    expect(await first(account, id)).toMatchObject({ data: null, errors: [{}] });
  }
});
