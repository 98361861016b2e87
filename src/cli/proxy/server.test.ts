/** The local API proxy before a real manager: unsigned requests and WebSockets, and what fails. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Client, readClientConfig } from '../../client/index.ts';
import { freePort } from '../../testing/services.ts';
import { startTestServer } from '../../testing/session-server.ts';
import { until } from '../../testing/until.ts';
import { type ApiProxy, startApiProxy } from './server.ts';

let server: Awaited<ReturnType<typeof startTestServer>>;
let proxy: ApiProxy;
const complaints: string[] = [];
const START_TIMEOUT_MS = 60_000;

const proxyOf = (env: Record<string, string>) =>
  startApiProxy(
    new Client(readClientConfig(env)),
    { hostname: '127.0.0.1', port: 0 },
    (complaint) => complaints.push(complaint),
  );

beforeAll(async () => {
  server = await startTestServer();
  proxy = proxyOf(server.environment(server.accounts.user));
}, START_TIMEOUT_MS);
afterAll(async () => {
  await proxy.stop();
  await server.close();
});

const at = (path: string) => new URL(path, proxy.url);

test('requests are signed on their way; a version before the path is left out', async () => {
  expect((await fetch(new URL('/session/work', server.url))).status).toBe(401);
  for (const path of ['/session/work', '/v9/session/work', '/session/work?owner_access_key=']) {
    const response = await fetch(at(path), { headers: { Authorization: 'Bearer nonsense' } });
    expect([path, response.status]).toEqual([path, 200]);
    expect(response.headers.get('Access-Control-Allow-Origin')).toBe('*');
    expect(await response.json()).toMatchObject({ status: 'RUNNING' });
  }
});

test('bodies reach the API, answers come back with their status', async () => {
  const asked = await fetch(at('/admin/gql'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json; charset=utf-8' },
    body: JSON.stringify({ query: '{ user { email } }' }),
  });
  expect(await asked.json()).toMatchObject({
    data: { user: { email: server.accounts.user.email } },
  });
  const missing = await fetch(at('/session/nosuch'));
  expect(missing.status).toBe(404);
  expect(await missing.json()).toMatchObject({ msg: expect.stringContaining("'nosuch'") });
});

test('WebSockets pass messages both ways, and the end', async () => {
  const socket = new WebSocket(at('/v9/stream/session/work/execute').href.replace('http', 'ws'));
  const frames: unknown[] = [];
  let code = 0;
  socket.onmessage = ({ data }) => frames.push(JSON.parse(String(data)));
  socket.onopen = () => socket.send(JSON.stringify({ mode: 'query', code: 'say hello' }));
  socket.onclose = (event) => {
    code = event.code;
  };
  await until(() => code !== 0, 'the socket is closed');
  expect(code).toBe(1000);
  expect(frames).toMatchObject([{ status: 'finished', console: [['stdout', 'hello\n']] }]);
});

test('an API that is away, and an address that is taken, are told', async () => {
  const gone = proxyOf({
    ...server.environment(server.accounts.user),
    BACKEND_ENDPOINT: `http://127.0.0.1:${await freePort()}`,
  });
  const response = await fetch(gone.url);
  expect(response.status).toBe(502);
  expect(await response.text()).toContain('nothing listens there');
  expect(complaints.at(-1)).toContain('nothing listens there');
  const where = { hostname: '127.0.0.1', port: Number(gone.url.port) };
  const client = new Client(readClientConfig(server.environment(server.accounts.user)));
  expect(() => startApiProxy(client, where, () => {})).toThrow("can't be listened on");
  await gone.stop();
});
