/** The session operations of the SDK against a real manager. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { startTestServer } from '../testing/session-server.ts';
import { Client } from './client.ts';
import { readClientConfig } from './config.ts';
import { ApiError } from './errors.ts';

let server: Awaited<ReturnType<typeof startTestServer>>;
let client: Client;

beforeAll(async () => {
  server = await startTestServer();
  client = new Client(readClientConfig(server.environment(server.accounts.user)));
});
afterAll(() => server.close());

test('who is there', async () => {
  expect(await client.serverInfo()).toEqual({ version: 'v9.20250722', manager: '26.4.4' });
  expect(await client.endpoint()).toBe(server.url);
});

test('pulling an execution to its end', async () => {
  const first = await client.session.execute('work', { mode: 'query', code: 'ask' });
  expect(first).toMatchObject({
    status: 'waiting-input',
    console: [['stdout', 'name? ']],
    options: { is_password: true },
  });
  const runId = first.runId ?? undefined;
  const last = await client.session.execute('work', { mode: 'input', code: 'Ann', runId });
  expect(last).toMatchObject({ status: 'finished', exitCode: 0, console: [['stdout', 'Ann\n']] });
});

test('streaming one', async () => {
  const statuses: string[] = [];
  const stream = await client.session.stream('work', {
    mode: 'batch',
    code: '',
    options: { build: 'make', exec: '*' },
  });
  for await (const slice of stream) statuses.push(slice.status);
  expect(statuses).toEqual(['build-finished', 'finished']);
});

test('complete, match, get, logs', async () => {
  expect(await client.session.complete('work', 'pri', { post: 'x', row: 0, col: 3 })).toEqual([
    'prix!',
  ]);
  expect(await client.session.match('wor')).toEqual([
    { id: server.sessionId, name: 'work', status: 'RUNNING' },
  ]);
  expect(await client.session.get('work')).toMatchObject({ status: 'RUNNING' });
  expect(await client.session.logs('work')).toBe('a live log');
});

test('events of a session', async () => {
  const leave = new AbortController();
  const events = await client.sessionEvents({ sessionName: 'doomed' }, leave.signal);
  await client.session.destroy('doomed');
  const seen: string[] = [];
  for await (const { event, data } of events) {
    expect(JSON.parse(data)).toMatchObject({ sessionName: 'doomed', reason: 'user-requested' });
    seen.push(event);
    if (seen.length === 2) break;
  }
  leave.abort();
  expect(seen.sort()).toEqual(['kernel_cancelled', 'session_cancelled']);
});

test('a stranger is refused', async () => {
  const config = readClientConfig({ BACKEND_ENDPOINT: server.url });
  const error = await new Client(config).session.get('work').catch((reason: unknown) => reason);
  if (!(error instanceof ApiError)) throw error;
  expect(error).toMatchObject({ status: 401, slug: 'auth-failed' });
});
