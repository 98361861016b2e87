/** The web server in front of a real manager: signing in, passing on, and what is refused. */
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test';
import { createCipheriv, createHash } from 'node:crypto';
import type { Socket } from 'bun';
import * as v from 'valibot';
import { BunWebSocket } from '../common/bun-websocket.ts';
import { systemClock } from '../common/clock.ts';
import { systemRandom } from '../common/random.ts';
import { webSessionKey } from '../common/web-session.ts';
import { hashPassword } from '../manager/user/password.ts';
import { createMemoryLiveStore } from '../stores/live/memory.ts';
import type { LiveStore } from '../stores/live/port.ts';
import { silentLog } from '../testing/manager.ts';
import { startTestServer } from '../testing/session-server.ts';
import { until } from '../testing/until.ts';
import { startWebServer, type WebServer } from './main.ts';
import { defaultWebSettings, type WebSettings } from './settings.ts';

setDefaultTimeout(60_000);
const PASSWORD = 'correct horse 1!';

let manager: Awaited<ReturnType<typeof startTestServer>>;
let live: LiveStore;
const servers: WebServer[] = [];

beforeAll(async () => {
  manager = await startTestServer();
  const hash = await hashPassword(PASSWORD, { algorithm: 'argon2id' });
  await manager.sql`UPDATE users SET password = ${hash}`;
  live = manager.webSessions;
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await manager.close();
});

async function web(
  settings: Partial<WebSettings> = {},
  options: { managerUrl?: string | string[]; live?: LiveStore } = {},
) {
  const server = await startWebServer({
    settings: { ...defaultWebSettings, cookieSecure: false, ...settings },
    live,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    listen: { hostname: '127.0.0.1', port: 0 },
    managerUrl: manager.url,
    ...options,
  });
  servers.push(server);
  return server.url;
}

let url: string;
beforeAll(async () => {
  url = await web();
});

const post = (path: string, json: unknown = {}, headers: Record<string, string> = {}, at = url) =>
  fetch(`${at}${path}`, { method: 'POST', body: JSON.stringify(json), headers });
const login = (extra: Record<string, unknown> = {}, at = url) =>
  post('/server/login', { username: 'user@test.example', password: PASSWORD, ...extra }, {}, at);

async function signIn(at = url) {
  const response = await login({}, at);
  expect(response.status).toBe(200);
  const id = response.headers.get('x-backendai-sessionid') ?? '';
  return { id, headers: { 'X-BackendAI-SessionID': id }, response };
}
const problem = v.looseObject({ type: v.string(), title: v.string() });
async function refusal(response: Response) {
  const { type } = v.parse(problem, await response.json());
  return [response.status, type.replace('https://api.backend.ai/probs/', '')];
}
const check = async (headers: Record<string, string>) =>
  (await post('/server/login-check', {}, headers)).json();

describe('signing in', () => {
  test('opens a session that header and cookie name, in the shared form', async () => {
    expect(await check({})).toEqual({ authenticated: false, data: null, session_id: null });
    const { id, headers, response } = await signIn();
    const data = { access_key: manager.accounts.user.accessKey, role: 'user', status: 'active' };
    expect(await response.json()).toEqual({ authenticated: true, data });
    const cookie = response.headers.get('set-cookie') ?? '';
    expect(cookie).toContain(`AIOHTTP_SESSION=${id}; HttpOnly`);
    expect(cookie).not.toContain('Secure');
    const expected = { authenticated: true, data, session_id: id };
    expect(await check(headers)).toEqual(expected);
    expect(await check({ Cookie: `a=b; AIOHTTP_SESSION=${id}` })).toEqual(expected);
    const stored: unknown = JSON.parse((await live.get(webSessionKey(id))) ?? '');
    expect(stored).toMatchObject({
      session: { authenticated: true, token: { type: 'keypair', ...data } },
    });
    expect(await refusal(await post('/server/login', {}, headers))).toEqual([
      400,
      'generic-bad-request',
    ]);
  });

  test('its cookie is not for pages of others on the same site; the header is', async () => {
    const { id, headers } = await signIn();
    const cookie = { Cookie: `AIOHTTP_SESSION=${id}` };
    const { host, port } = new URL(url);
    const isSignedIn = async (more: Record<string, string>, method = 'POST') => {
      const at = method === 'POST' ? '/server/login-check' : '/func/auth?echo=x';
      const init = { method, ...(method === 'POST' && { body: '{}' }) };
      const response = await fetch(`${url}${at}`, { ...init, headers: more });
      if (method === 'GET') return response.status === 200;
      return v.parse(v.object({ authenticated: v.boolean() }), await response.json()).authenticated;
    };
    const foreign: Record<string, string>[] = [
      { 'Sec-Fetch-Site': 'same-site', 'Sec-Fetch-Mode': 'cors' },
      { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' },
      { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' },
      { Origin: `http://127.0.0.1:${Number(port) + 1}` },
      { Origin: 'http://127.0.0.1' },
    ];
    for (const more of foreign) {
      expect([more, await isSignedIn({ ...cookie, ...more })]).toEqual([more, false]);
      expect(await isSignedIn({ ...headers, ...more })).toBe(true);
    }
    const own: Record<string, string>[] = [
      { 'Sec-Fetch-Site': 'same-origin', Origin: `http://${host}` },
      { 'Sec-Fetch-Site': 'none' },
      { Origin: `http://${host}` },
      // Behind a proxy that names another host, or leaves the port out.
      { Origin: 'https://webui.example' },
      { Origin: 'http://127.0.0.1:8080', Host: '127.0.0.1' },
    ];
    for (const more of own) {
      expect([more, await isSignedIn({ ...cookie, ...more })]).toEqual([more, true]);
    }
    // A link on another site leads here as its user.
    const link = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' };
    expect(await isSignedIn({ ...cookie, ...link }, 'GET')).toBe(true);
    expect(await isSignedIn({ ...cookie, ...link, 'Sec-Fetch-Mode': 'no-cors' }, 'GET')).toBe(
      false,
    );
  });

  test('with a token instead: where it comes from, and refusals with 200', async () => {
    const byToken = (json: unknown, headers: Record<string, string> = {}) =>
      post('/server/token-login', json, headers);
    for (const wrong of [{}, [], ['x']])
      expect(await refusal(await byToken(wrong))).toEqual([400, 'invalid-api-params']);
    const { headers } = await signIn();
    expect(await refusal(await byToken({ sToken: 'x' }, headers))).toEqual([
      400,
      'generic-bad-request',
    ]);
    const refused = {
      authenticated: false,
      data: { type: 'https://api.backend.ai/probs/rejected-by-hook' },
    };
    const fromBody = await byToken({ sToken: 'x' });
    expect([fromBody.status, await fromBody.json()]).toMatchObject([200, refused]);
    const fromCookie = await byToken({}, { Cookie: 'sToken=x' });
    expect([fromCookie.status, await fromCookie.json()]).toMatchObject([200, refused]);
  });

  test('a Secure cookie is the default', async () => {
    const secure = await web({ cookieSecure: true });
    expect((await login({}, secure)).headers.get('set-cookie')).toEndWith('; Secure');
  });

  test('a wrong password has the status of the manager and its problem', async () => {
    const response = await login({ password: 'wrong' });
    expect(response.status).toBe(401);
    expect(response.headers.get('set-cookie')).toBeNull();
    expect(await response.json()).toMatchObject({
      authenticated: false,
      data: { type: 'https://api.backend.ai/probs/auth-failed' },
    });
  });

  test('a missing field and what is no JSON are refused', async () => {
    const missing = await post('/server/login', { username: 'x' });
    expect(await refusal(missing)).toEqual([400, 'invalid-api-params']);
    const garbage = await fetch(`${url}/server/login`, { method: 'POST', body: '{' });
    expect(await refusal(garbage)).toEqual([400, 'invalid-api-params']);
  });

  test('guessing is stopped', async () => {
    const strict = await web({ loginAllowedFailures: 2 });
    const guess = () => login({ username: 'superadmin@test.example', password: 'x' }, strict);
    expect([(await guess()).status, (await guess()).status]).toEqual([401, 401]);
    expect(await refusal(await guess())).toEqual([429, 'too-many-requests']);
  });

  test('signing out ends it here and at the manager', async () => {
    const { id, headers } = await signIn();
    const response = await post('/server/logout', {}, headers);
    expect(response.status).toBe(200);
    expect(response.headers.get('set-cookie')).toContain('Max-Age=0');
    expect(await live.get(webSessionKey(id))).toBeNull();
    expect(await check(headers)).toMatchObject({ authenticated: false });
    const rows = await manager.sql`SELECT status FROM login_sessions WHERE session_token = ${id}`;
    expect(rows).toMatchObject([{ status: 'invalidated' }]);
  });

  test('can be extended, and is over when it expired', async () => {
    const { id, headers } = await signIn();
    const { expires } = v.parse(
      v.object({ status: v.literal(201), expires: v.string() }),
      await (await post('/server/extend-login-session', {}, headers)).json(),
    );
    expect(Date.parse(expires)).toBeGreaterThan(Date.now());
    const stored: object = JSON.parse((await live.get(webSessionKey(id))) ?? '');
    await live.set(webSessionKey(id), JSON.stringify({ ...stored, expiration_dt: 1 }));
    expect(await check(headers)).toMatchObject({ authenticated: false });
    expect((await post('/server/extend-login-session', {}, headers)).status).toBe(401);
  });

  test('an unreachable manager is told as such', async () => {
    const lonely = await web({}, { managerUrl: 'http://127.0.0.1:1' });
    expect(await refusal(await login({}, lonely))).toEqual([502, 'bad-gateway']);
  });

  test('a password that does not expire is not replaced from here', async () => {
    const response = await post('/server/update-password-no-auth', {
      username: 'user@test.example',
      current_password: PASSWORD,
      new_password: 'another horse 2!',
    });
    expect(await response.json()).toMatchObject({ password_changed_at: null });
  });
});

describe('encrypted bodies', () => {
  const encrypt = (text: string, origin: string) => {
    const iv = 'abcdefgh12345678';
    const key = `${btoa(origin)}${iv}${iv}`.slice(0, 32);
    const cipher = createCipheriv('aes-256-cbc', key, iv);
    return `${iv}:${cipher.update(text, 'utf8', 'base64')}${cipher.final('base64')}`;
  };
  const encoded = { 'X-BackendAI-Encoded': 'true' };
  const credentials = JSON.stringify({ username: 'user@test.example', password: PASSWORD });
  const send = (body: string, at = url) =>
    fetch(`${at}/server/login`, { method: 'POST', body, headers: encoded });

  test('sign in', async () => {
    expect((await send(encrypt(credentials, url))).status).toBe(200);
  });

  test('are decrypted for the scheme that a proxy in front uses', async () => {
    const behind = await web({ forcedScheme: 'https' });
    const origin = behind.replace('http:', 'https:');
    expect((await send(encrypt(credentials, origin), behind)).status).toBe(200);
  });

  test.each([
    ['for another address', encrypt(credentials, 'http://other')],
    ['plain', credentials],
    ['empty', ''],
  ])('%s are refused', async (_name, body) => {
    expect(await refusal(await send(body))).toEqual([400, 'generic-bad-request']);
  });

  test('reach the manager in plain', async () => {
    const { headers } = await signIn();
    const query = encrypt(JSON.stringify({ query: '{ keypair { access_key } }' }), url);
    const response = await fetch(`${url}/func/admin/gql`, {
      method: 'POST',
      body: query,
      headers: { ...headers, ...encoded, 'Content-Type': 'application/json' },
    });
    expect(await response.json()).toMatchObject({
      data: { keypair: { access_key: manager.accounts.user.accessKey } },
    });
  });
});

describe('passing on', () => {
  test('carries a GraphQL subscription as it happens, as the WebUI asks for it', async () => {
    const { headers } = await signIn();
    const [row] = await manager.sql<{ id: string }[]>`
      SELECT id FROM sessions WHERE name = 'doomed'`;
    const left = new AbortController();
    const response = await fetch(`${url}/func/admin/gql`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json', Accept: 'text/event-stream' },
      body: JSON.stringify({
        operationName: 'Watch',
        query: `subscription Watch($id: ID!) {
          schedulingEventsBySession(sessionId: $id) { reason session { status } } }`,
        variables: { id: row?.id },
      }),
      signal: left.signal,
    });
    expect(response.headers.get('content-type')).toStartWith('text/event-stream');
    const ended = await fetch(`${url}/func/session/doomed`, { method: 'DELETE', headers });
    expect(ended.status).toBe(200);
    let text = '';
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += chunk;
      if (text.includes('CANCELLED') && text.endsWith('\n\n')) break;
    }
    left.abort();
    expect(text).toContain('event: next\ndata: {"data":{"schedulingEventsBySession":');
    // As it was when the page began to watch, and what became of it.
    const statuses = [...text.matchAll(/"session":{"status":"(\w+)"}/g)].map(
      ([, status]) => status,
    );
    expect(statuses).toEqual(['PENDING', 'CANCELLED']);
  });

  test('without a session only the version is told', async () => {
    const version = await fetch(`${url}/func/`);
    expect(await version.json()).toHaveProperty('manager');
    expect(version.headers.get('server')).toBeNull();
    expect(await refusal(await fetch(`${url}/func/auth`))).toEqual([401, 'auth-failed']);
    const forged = { 'X-BackendAI-SessionID': crypto.randomUUID() };
    expect((await fetch(`${url}/func/auth`, { headers: forged })).status).toBe(401);
    expect((await fetch(`${url}/func/ping`)).status).toBe(200);
  });

  test.each([
    '/auth?echo=1',
    '/auth/test?echo=a%20b&x=%22%27%3C',
    '/auth?echo=%ED%95%9C%EA%B8%80|[x]',
  ])('signs %s', async (target) => {
    const { headers } = await signIn();
    const response = await fetch(`${url}/func${target}`, { headers });
    expect([target, response.status]).toEqual([target, 200]);
  });

  test("the manager's refusals come through untouched", async () => {
    const { headers } = await signIn();
    const response = await fetch(`${url}/func/session/no-such-session`, { headers });
    expect(await refusal(response)).toEqual([404, 'object-not-found']);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect((await fetch(`${url}/func/no/such/path`, { headers })).status).toBe(404);
  });

  test('events are streamed as they come', async () => {
    const { headers } = await signIn();
    const gone = new AbortController();
    const response = await fetch(`${url}/func/events/session`, { headers, signal: gone.signal });
    expect(response.headers.get('content-type')).toStartWith('text/event-stream');
    gone.abort();
  });

  test('a large body goes both ways', async () => {
    const { headers } = await signIn();
    const echo = 'x'.repeat(5_000_000);
    const response = await fetch(`${url}/func/auth`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ echo }),
    });
    expect(await response.json()).toEqual({ authorized: 'yes', echo });
  });

  test('other origins may read, and are asked first', async () => {
    const origin = 'http://elsewhere.example';
    const response = await fetch(`${url}/func/`, { headers: { Origin: origin } });
    expect(response.headers.get('access-control-allow-origin')).toBe(origin);
    const preflight = await fetch(`${url}/func/session`, {
      method: 'OPTIONS',
      headers: { Origin: origin, 'Access-Control-Request-Method': 'POST' },
    });
    expect(preflight.status).toBe(200);
    expect(preflight.headers.get('access-control-allow-methods')).toBe('POST');
  });

  test('an unreachable manager is 502', async () => {
    const { headers } = await signIn();
    const lonely = await web({}, { managerUrl: 'http://127.0.0.1:1' });
    expect((await fetch(`${lonely}/func/auth`, { headers })).status).toBe(502);
  });
});

describe('WebSockets', () => {
  const sockets: Bun.WebSocket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close();
  });
  const open = (path: string, headers: Record<string, string>) => {
    const socket = new BunWebSocket(`${url.replace('http', 'ws')}${path}`, { headers });
    sockets.push(socket);
    return new Promise<string>((resolve) => {
      socket.addEventListener('open', () =>
        socket.send(JSON.stringify({ mode: 'query', code: 'print(1)' })),
      );
      socket.addEventListener('message', ({ data }) => resolve(String(data)));
      socket.addEventListener('close', ({ code }) => resolve(`closed ${code}`));
    });
  };

  test('are signed and connected with the manager', async () => {
    const { headers } = await signIn();
    expect(JSON.parse(await open('/func/stream/session/work/execute', headers))).toBeObject();
  });

  test('a browser that sends faster than the manager reads is slowed down', async () => {
    const { headers } = await signIn();
    let asleep: Socket | null = null;
    let got = 0;
    const lazy = Bun.listen({
      ...{ hostname: '127.0.0.1', port: 0 },
      socket: {
        data(socket, chunk) {
          if (socket === asleep) {
            got += chunk.length;
            return;
          }
          const key = /sec-websocket-key: *(\S+)/i.exec(String(chunk))?.[1];
          // It is asked other things as well.
          if (key === undefined)
            return void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
          const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
          socket.write(
            'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
              `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
          );
          socket.pause();
          asleep = socket;
        },
      },
    });
    const managerUrl = `http://127.0.0.1:${lazy.port}`;
    const at = await web({}, { managerUrl });
    const socket = new BunWebSocket(`${at.replace('http', 'ws')}/func/stream/session/a/tcpproxy`, {
      headers,
    });
    sockets.push(socket);
    await new Promise((resolve) => socket.addEventListener('open', resolve));
    const [piece, pieces] = [new Uint8Array(1024 * 1024), 96];
    for (let sent = 0; sent < pieces; sent += 1) socket.send(piece);
    let [before, stillness] = [-1, 0];
    await until(() => {
      stillness = socket.bufferedAmount === before ? stillness + 1 : 0;
      before = socket.bufferedAmount;
      return stillness > 40;
    }, 'the browser is held back');
    expect(socket.readyState).toBe(WebSocket.OPEN);
    expect(before).toBeGreaterThan((pieces - 32) * piece.length);
    const reader = await until(() => asleep, 'the manager has answered');
    reader.resume();
    await until(() => got > pieces * piece.length, 'all has arrived', 30_000);
    lazy.stop(true);
  });

  test('are refused without a session and where the manager refuses', async () => {
    expect(await open('/func/stream/session/work/execute', {})).toStartWith('closed');
    const { headers } = await signIn();
    expect(await open('/func/stream/no/such/stream', headers)).toStartWith('closed');
  });
});

test('health tells of manager and store', async () => {
  const body = await (await fetch(`${url}/health`)).json();
  expect(body).toMatchObject({ status: 'ok', component: 'webserver' });
  expect((await fetch(`${url}/livez`)).status).toBe(200);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  const closed = createMemoryLiveStore({ clock: systemClock });
  const broken = await web({}, { live: { ...closed, ping: () => Promise.reject(new Error('x')) } });
  expect((await fetch(`${broken}/readyz`)).status).toBe(503);
  expect((await fetch(`${broken}/health`)).status).toBe(200);
});
