/** The pipeline around handlers: errors, methods, CORS, the status gate, bodies, health. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { BackendError, UserError } from '../../common/errors.ts';
import type { LogFields } from '../../common/logger.ts';
import { VERSION } from '../../common/version.ts';
import {
  signingClient,
  silentLog,
  type TestServer,
  testManagerServer,
} from '../../testing/manager.ts';
import { until } from '../../testing/until.ts';
import { startServer } from '../server.ts';
import { publicRoute } from './declare.ts';
import type { Route, RouteRequest, RouteResult } from './route.ts';

const errors: LogFields[] = [];
const log = {
  ...silentLog,
  error: (_message: string, fields?: LogFields) => errors.push(fields ?? {}),
};

const slowEntered = Promise.withResolvers<void>();
const slowAborted = Promise.withResolvers<void>();

const open = (
  method: Route['method'],
  path: string,
  handler: (request: RouteRequest) => Promise<RouteResult>,
  gate: Route['gate'] = 'any',
): Route => publicRoute({ method, path, gate, summary: 'For tests.', takes: {} }, handler);

const sizedBody = v.object({ name: v.string(), size: v.optional(v.number()) });
const fieldsInput = v.object({ names: v.array(v.string()), note: v.optional(v.string()) });

const routes: Route[] = [
  open('GET', '/ok', async () => ({ json: { ok: true } })),
  open('POST', '/ok', async () => ({ status: 201, json: {} })),
  open('DELETE', '/empty', async () => undefined),
  publicRoute(
    { method: 'POST', path: '/body', gate: 'any', summary: 'A body.', takes: { body: sizedBody } },
    async (_, { body }) => ({ json: body }),
  ),
  publicRoute(
    {
      method: 'PATCH',
      path: '/body',
      gate: 'any',
      summary: 'A body of which every part may be left out.',
      takes: { body: v.partial(sizedBody) },
    },
    async (_, { body }) => ({ json: body }),
  ),
  publicRoute(
    {
      method: 'POST',
      path: '/fields',
      gate: 'any',
      summary: 'A body or a query.',
      takes: { fields: fieldsInput },
      repeats: ['names'],
    },
    async (_, { fields }) => ({ json: fields }),
  ),
  open('GET', '/known', async () => {
    throw new BackendError('SessionNotFound', 'There is no session x.', { data: { id: 'x' } });
  }),
  open('GET', '/unexpected', async () => {
    throw new TypeError('secret detail');
  }),
  open('GET', '/slow', async ({ signal }) => {
    const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve));
    slowEntered.resolve();
    await aborted;
    slowAborted.resolve();
    return undefined;
  }),
  open('GET', '/gated/all', async () => ({ json: 1 }), 'all'),
  open('GET', '/gated/read', async () => ({ json: 1 }), 'read'),
  open('GET', '/folders/:name', async () => ({ json: 'folder' })),
  open('POST', '/folders/purge', async () => ({ json: 'purged' })),
];

let server: TestServer;
beforeAll(async () => {
  server = await testManagerServer({ routes, log });
});
afterAll(() => server.close());

const call = (method: string, path: string, init: RequestInit = {}) =>
  fetch(`${server.url}${path}`, { ...init, method });

describe('what the server tells about itself', () => {
  test('GET / names the API and the emulated manager', async () => {
    expect(await (await call('GET', '/')).json()).toEqual({
      version: 'v9.20250722',
      manager: VERSION,
    });
    expect(VERSION).toBe('26.4.4');
  });

  test('health checks', async () => {
    expect(await (await call('GET', '/health')).json()).toEqual({ status: 'ok', version: VERSION });
    for (const path of ['/health/livez', '/health/readyz']) {
      const response = await call('GET', path);
      expect([response.status, await response.text()]).toEqual([200, '']);
    }
  });

  test('manager status', async () => {
    const { host } = new URL(server.url);
    expect(await (await call('GET', '/manager/status')).json()).toMatchObject({
      status: 'running',
      active_sessions: 0,
      nodes: [{ id: 'i-test', service_addr: host, api_version: [9, '20250722'], version: VERSION }],
    });
  });

  test('every response names the product and the request', async () => {
    const response = await call('GET', '/nowhere', { headers: { 'X-BackendAI-RequestID': 'r-1' } });
    expect(response.headers.get('server')).toBe('BackendAI');
    expect(response.headers.get('x-backendai-requestid')).toBe('r-1');
    const odd = await call('GET', '/ok', { headers: { 'X-BackendAI-RequestID': 'a b' } });
    expect(odd.headers.get('x-backendai-requestid')).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('error documents', () => {
  test('a known failure', async () => {
    const response = await call('GET', '/known');
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toEqual({
      type: 'https://api.backend.ai/probs/object-not-found',
      title: 'No such session.',
      error_code: 'session_read_not-found',
      msg: 'There is no session x.',
      data: { id: 'x' },
    });
  });

  test('an unexpected failure is logged with its request id and hidden from clients', async () => {
    const response = await call('GET', '/unexpected');
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).toContain('internal-server-error');
    expect(text).not.toContain('secret detail');
    expect(errors.at(-1)).toMatchObject({
      error: 'secret detail',
      path: '/unexpected',
      requestId: response.headers.get('x-backendai-requestid'),
    });
  });

  test('debug mode adds the trace and serves plain JSON', async () => {
    const debugging = await testManagerServer({ routes, settings: { debug: true } });
    try {
      const response = await fetch(`${debugging.url}/unexpected`);
      expect(response.headers.get('content-type')).toBe('application/json');
      const body = v.parse(
        v.object({ msg: v.string(), traceback: v.string() }),
        await response.json(),
      );
      expect(body.msg).toBe('secret detail');
      expect(body.traceback).toContain('secret detail');
    } finally {
      await debugging.close();
    }
  });

  test('an unknown path', async () => {
    const response = await call('GET', '/no/where?x=1');
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({
      type: 'https://api.backend.ai/probs/url-not-found',
      data: '/no/where',
    });
  });

  test('a known path with another method names the allowed ones', async () => {
    const response = await call('PUT', '/ok');
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET,POST');
    expect(await response.json()).toMatchObject({
      type: 'https://api.backend.ai/probs/method-not-allowed',
    });
  });

  test('a fixed path of one method does not hide a parameter of another', async () => {
    expect(await (await call('GET', '/folders/purge')).json()).toBe('folder');
    expect(await (await call('POST', '/folders/purge')).json()).toBe('purged');
  });
});

describe('results', () => {
  test('status and emptiness', async () => {
    expect((await call('POST', '/ok')).status).toBe(201);
    const empty = await call('DELETE', '/empty');
    expect([empty.status, await empty.text()]).toEqual([204, '']);
  });
});

describe('bodies', () => {
  const post = (body?: string, type = 'application/json') =>
    call('POST', '/body', { body, headers: { 'Content-Type': type } });

  test('are JSON whatever their content type says', async () => {
    for (const type of ['application/json', 'text/plain', 'application/octet-stream']) {
      const response = await post('{"name":"a","more":1}', type);
      expect(await response.json()).toEqual({ name: 'a' });
    }
  });

  test.each([
    ['no body', undefined],
    ['an empty body', ''],
    ['no JSON', '{"name"'],
  ])('%s is malformed', async (_name, text) => {
    const response = await post(text);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ title: 'Malformed request body.' });
  });

  test('invalid fields are named', async () => {
    const response = await post('{"size":"big"}');
    expect(response.status).toBe(400);
    const body = v.parse(v.object({ title: v.string(), msg: v.string() }), await response.json());
    expect(body.title).toBe('Invalid or Missing API Parameters.');
    expect(body.msg).toContain('name is missing');
    expect(body.msg).toContain('size:');
    expect((await post('[]')).status).toBe(400);
    expect(await (await call('PATCH', '/body', { body: '[]' })).json()).toMatchObject({
      msg: 'Invalid type: Expected Object but received Array',
    });
  });

  test.each([
    ['a body', '', { names: ['a'] }, { names: ['a'] }],
    ['a query', '?names=a&names=b&note=c', undefined, { names: ['a', 'b'], note: 'c' }],
    ['both, where the body wins', '?names=a&note=c', { names: ['b'] }, { names: ['b'], note: 'c' }],
  ])('fields come in %s', async (_name, query, body, expected) => {
    const init = body && { body: JSON.stringify(body) };
    expect(await (await call('POST', `/fields${query}`, init)).json()).toEqual(expected);
  });

  test('missing fields are named, wherever they might have been sent', async () => {
    for (const body of [undefined, '{}']) {
      const response = await call('POST', '/fields', { body });
      expect(response.status).toBe(400);
      expect(await response.text()).toContain('names is missing');
    }
  });

  test('a body that is too large is refused', async () => {
    const response = await post(JSON.stringify({ name: 'x'.repeat(17 * 1024 * 1024) }));
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('at most 16777216');
  });
});

describe('cross-origin requests', () => {
  const origin = 'https://console.example';

  test('a preflight is answered for the methods of the path', async () => {
    const headers = {
      Origin: origin,
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization,content-type',
    };
    const response = await call('OPTIONS', '/ok', { headers });
    expect(response.status).toBe(200);
    expect(response.headers.get('access-control-allow-origin')).toBe(origin);
    expect(response.headers.get('access-control-allow-methods')).toBe('POST');
    expect(response.headers.get('access-control-allow-headers')).toBe('AUTHORIZATION,CONTENT-TYPE');
    expect(response.headers.get('vary')).toBe('Origin');
    const wrong = { ...headers, 'Access-Control-Request-Method': 'PUT' };
    expect((await call('OPTIONS', '/ok', { headers: wrong })).status).toBe(400);
  });

  test('other OPTIONS requests are 400, on unknown paths 404', async () => {
    expect((await call('OPTIONS', '/ok')).status).toBe(400);
    expect((await call('OPTIONS', '/nowhere')).status).toBe(404);
  });

  test('responses, also errors, are readable with all their headers', async () => {
    for (const path of ['/ok', '/known']) {
      const response = await call('GET', path, { headers: { Origin: origin } });
      expect(response.headers.get('access-control-allow-origin')).toBe(origin);
      const exposed = response.headers.get('access-control-expose-headers');
      expect(exposed?.toLowerCase()).toContain('x-backendai-requestid');
      expect(response.headers.get('access-control-allow-credentials')).toBeNull();
    }
  });
});

describe('the status gate', () => {
  async function statusesWhile(status: string) {
    await server.ctx.config.put('manager/status', status);
    await until(async () => {
      const answer = await (await call('GET', '/manager/status')).json();
      return v.parse(v.object({ status: v.string() }), answer).status === status;
    }, `the status is ${status}`);
    const answers = [];
    for (const path of ['/gated/all', '/gated/read', '/ok']) {
      const response = await call('GET', path);
      const slug = response.ok ? 'ok' : /probs\/([a-z-]+)/.exec(await response.text())?.[1];
      answers.push([response.status, slug]);
    }
    return answers;
  }

  test('opens and closes operations as their kind demands', async () => {
    try {
      expect(await statusesWhile('frozen')).toEqual([
        [503, 'server-frozen'],
        [200, 'ok'],
        [200, 'ok'],
      ]);
      expect(await statusesWhile('preparing')).toEqual([
        [503, 'service-unavailable'],
        [503, 'service-unavailable'],
        [200, 'ok'],
      ]);
    } finally {
      expect(await statusesWhile('running')).toEqual([
        [200, 'ok'],
        [200, 'ok'],
        [200, 'ok'],
      ]);
    }
  });
});

test('a database that is away is 503, and readiness tells', async () => {
  const lonely = await testManagerServer({
    routes: async (ctx) => [
      open('GET', '/query', async () => ({ json: await ctx.sql`SELECT 1 AS one` })),
    ],
  });
  try {
    expect((await fetch(`${lonely.url}/query`)).status).toBe(200);
    await lonely.db.sql.end();
    const response = await fetch(`${lonely.url}/query`);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      type: 'https://api.backend.ai/probs/database-error',
    });
    expect((await fetch(`${lonely.url}/health/readyz`)).status).toBe(503);
    expect((await fetch(`${lonely.url}/health/livez`)).status).toBe(200);
  } finally {
    await lonely.close();
  }
});

test('a statement that takes too long is broken off and told', async () => {
  const slow = await testManagerServer({
    routes: async (ctx) => [
      open('GET', '/slow-query', async () => ({
        json: await ctx.sql.begin(async (tx) => {
          await tx`SET LOCAL statement_timeout = 50`;
          return tx`SELECT pg_sleep(60)::text AS slept`;
        }),
      })),
    ],
  });
  try {
    const response = await fetch(`${slow.url}/slow-query`);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({
      type: 'https://api.backend.ai/probs/database-error',
      msg: expect.stringContaining('took too long'),
    });
  } finally {
    await slow.close();
  }
});

describe('the server', () => {
  test('tells a handler when its client goes away', async () => {
    const abort = new AbortController();
    const pending = call('GET', '/slow', { signal: abort.signal }).catch(() => 'aborted');
    await slowEntered.promise;
    abort.abort();
    expect(await pending).toBe('aborted');
    await slowAborted.promise;
  });

  test('says which port is taken and what to do', async () => {
    const { port } = new URL(server.url);
    const start = startServer(server.ctx, {
      listen: { hostname: '127.0.0.1', port: Number(port) },
      routes: [],
      sockets: [],
    });
    const error = await start.then(
      () => null,
      (reason: unknown) => reason,
    );
    if (!(error instanceof UserError)) throw new Error('expected a UserError');
    expect(error.message).toContain(`Port ${port}`);
    expect(error.hint).toContain('service-addr');
  });

  test('serves health with details on the internal address only', async () => {
    const extra = await startServer(server.ctx, {
      listen: { hostname: '127.0.0.1', port: 0 },
      internalListen: { hostname: '127.0.0.1', port: 0 },
      routes: [],
      sockets: [],
    });
    try {
      const health = await (await fetch(`${extra.internalUrl}/health`)).json();
      expect(health).toMatchObject({
        status: 'ok',
        connectivity: { database: { healthy: true }, live_store: { healthy: true } },
      });
      expect((await fetch(`${extra.internalUrl}/manager/status`)).status).toBe(404);
    } finally {
      await extra.stop(1000);
    }
  });

  test('lets a running request end when it stops', async () => {
    const release = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const stopping = await startServer(server.ctx, {
      listen: { hostname: '127.0.0.1', port: 0 },
      sockets: [],
      routes: [
        open('GET', '/wait', async () => {
          entered.resolve();
          await release.promise;
          return { json: 'done' };
        }),
      ],
    });
    const answer = fetch(`${stopping.url}/wait`).then((response) => response.json());
    await entered.promise;
    const stopped = stopping.stop(10_000);
    release.resolve();
    expect(await answer).toBe('done');
    await stopped;
    expect(fetch(`${stopping.url}/`)).rejects.toThrow();
  });
});

describe('announcement', () => {
  test('superadmins set it, everybody reads it', async () => {
    const admin = signingClient(server.url, server.accounts.superadmin);
    const read = async () => (await call('GET', '/manager/announcement')).json();
    expect(await read()).toEqual({ enabled: false, message: '' });
    expect((await admin('POST', '/manager/announcement', { enabled: true })).status).toBe(400);
    const set = await admin('POST', '/manager/announcement', { enabled: true, message: 'Hi' });
    expect(set.status).toBe(204);
    expect(await read()).toEqual({ enabled: true, message: 'Hi' });
    expect((await admin('POST', '/manager/announcement', { enabled: false })).status).toBe(204);
    expect(await read()).toEqual({ enabled: false, message: '' });
    const user = signingClient(server.url, server.accounts.user);
    expect((await user('POST', '/manager/announcement', { enabled: false })).status).toBe(403);
  });
});
