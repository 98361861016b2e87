/** The HTTP layer against real servers that misbehave in every way it promises to handle. */
import { afterEach, expect, test } from 'bun:test';
import * as v from 'valibot';
import { signature } from '../common/api-signing.ts';
import { type ClientConfig, readClientConfig } from './config.ts';
import { ApiError, ConnectionError } from './errors.ts';
import { type ApiRequest, HttpClient } from './http.ts';

type Handler = (request: Request, url: URL) => Response | Promise<Response>;
const servers: Bun.Server<undefined>[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.stop(true);
});

const info = { version: 'v9.20250722', manager: '26.4.4' };

function serve(handler: Handler): string {
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request) => {
      const url = new URL(request.url);
      return url.pathname === '/' ? Response.json(info) : handler(request, url);
    },
  });
  servers.push(server);
  return server.url.href.replace(/\/$/, '');
}

function client(endpoints: string, extra: Partial<ClientConfig> = {}): HttpClient {
  const config = readClientConfig({
    BACKEND_ENDPOINT: endpoints,
    BACKEND_ACCESS_KEY: 'AK',
    BACKEND_SECRET_KEY: 'SK',
  });
  // All-zero keys keep the order of the endpoints.
  const random = { uuid: () => '', bytes: (count: number) => new Uint8Array(count) };
  return new HttpClient({ ...config, ...extra }, { random });
}

async function closedPort(): Promise<string> {
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() });
  const url = server.url.href.replace(/\/$/, '');
  await server.stop(true);
  return url;
}

const get = (path: string): ApiRequest => ({ method: 'GET', path });

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => {
      throw new Error('expected a failure');
    },
    (error: unknown) => error,
  );
}

test('what is signed is what arrives', async () => {
  let seen: { ok: boolean; type: string | null } | undefined;
  const endpoint = serve((request, url) => {
    const hex = /:([0-9a-f]{64})$/.exec(request.headers.get('authorization') ?? '')?.[1];
    const type = request.headers.get('content-type');
    const parts = {
      method: request.method,
      target: `${url.pathname}${url.search}`,
      date: request.headers.get('date') ?? '',
      host: request.headers.get('host') ?? '',
      contentType: type?.split(';')[0] ?? 'application/octet-stream',
      version: request.headers.get('x-backendai-version') ?? '',
    };
    seen = { ok: signature(parts, 'SK') === hex, type };
    return Response.json({});
  });
  const http = client(endpoint);
  await http.done({ ...get('/session/a%2Fb'), query: { q: 'x y&z', none: undefined } });
  expect(seen).toEqual({ ok: true, type: 'text/plain' });
  await http.done({ method: 'POST', path: '/x', body: { a: 1 } });
  expect(seen).toEqual({ ok: true, type: 'application/json' });
  const form = new FormData();
  form.append('src', new Blob(['hi']), 'a.txt');
  await http.done({ method: 'POST', path: '/x', body: form });
  expect(seen?.ok).toBe(true);
  expect(seen?.type).toStartWith('multipart/form-data; boundary=');
});

test('an endpoint that is down is skipped', async () => {
  const up = serve(() => Response.json({ here: true }));
  const http = client(`${await closedPort()},${up}`);
  expect(await http.json(v.object({ here: v.boolean() }), get('/x'))).toEqual({ here: true });
  expect(await http.endpoint()).toBe(up);
});

test('an endpoint that goes down later is replaced, even for a POST', async () => {
  const first = serve(() => Response.json({ from: 1 }));
  const second = serve(() => Response.json({ from: 2 }));
  const http = client(`${first},${second}`);
  const from = v.object({ from: v.number() });
  expect(await http.json(from, get('/x'))).toEqual({ from: 1 });
  await servers[0]?.stop(true);
  expect(await http.json(from, { method: 'POST', path: '/x', body: {} })).toEqual({ from: 2 });
});

test('nothing answers: every endpoint is named', async () => {
  const [a, b] = [await closedPort(), await closedPort()];
  const error = await failure(client(`${a},${b}`).done(get('/x')));
  expect(error).toBeInstanceOf(ConnectionError);
  expect(String(error)).toContain(a);
  expect(String(error)).toContain(b);
});

test('another kind of server is recognised', async () => {
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('<html>') });
  servers.push(server);
  const error = await failure(client(server.url.href).done(get('/x')));
  expect(String(error)).toContain('is not a Backend.AI API server');
});

test('a problem document becomes an ApiError', async () => {
  const endpoint = serve(() =>
    Response.json(
      {
        type: 'https://api.backend.ai/probs/object-not-found',
        title: 'No such session.',
        error_code: 'session_read_not-found',
        msg: 'No session x.',
        data: { a: 1 },
      },
      { status: 404, headers: { 'content-type': 'application/problem+json' } },
    ),
  );
  const error = await failure(client(endpoint).done(get('/x')));
  if (!(error instanceof ApiError)) throw error;
  expect(error).toMatchObject({
    status: 404,
    slug: 'object-not-found',
    title: 'No such session.',
    errorCode: 'session_read_not-found',
    msg: 'No session x.',
    data: { a: 1 },
  });
});

test('a failure without a document keeps its text', async () => {
  const endpoint = serve(() => new Response('bad gateway, sorry', { status: 502 }));
  const error = await failure(client(endpoint).done(get('/x')));
  expect(error).toMatchObject({ status: 502, title: 'bad gateway, sorry' });
});

test('an answer of another shape names the field', async () => {
  const endpoint = serve(() => Response.json({ here: 'no' }));
  const error = await failure(client(endpoint).json(v.object({ here: v.boolean() }), get('/x')));
  expect(error).toBeInstanceOf(ConnectionError);
  expect(String(error)).toContain('here');
});

test('a server that never answers is given up', async () => {
  const endpoint = serve(() => new Promise<Response>(() => {}));
  const error = await failure(client(endpoint, { readTimeoutMs: 50 }).done(get('/x')));
  expect(error).toBeInstanceOf(ConnectionError);
  expect(String(error)).toContain('did not answer in time');
});

test('a caller who gives up gets their own reason', async () => {
  const endpoint = serve(() => new Promise<Response>(() => {}));
  const controller = new AbortController();
  const reason = new Error('enough');
  const promise = failure(
    client(endpoint).done({ ...get('/x'), timeoutMs: null, signal: controller.signal }),
  );
  controller.abort(reason);
  expect(await promise).toBe(reason);
});

test('an answer is handed out as it comes, until the server falls silent', async () => {
  const endpoint = serve(
    () =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode('first'));
          },
        }),
      ),
  );
  const parts: string[] = [];
  const error = await failure(
    (async () => {
      for await (const part of client(endpoint).bytes(get('/slow'), 2_000)) {
        parts.push(new TextDecoder().decode(part));
      }
    })(),
  );
  expect(parts).toEqual(['first']);
  expect(error).toBeInstanceOf(ConnectionError);
  expect(String(error)).toContain('/slow: the server has fallen silent');
});
