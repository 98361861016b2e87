/** How bodies flow through the web server, and how it chooses managers: with managers that misbehave. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import http from 'node:http';
import * as v from 'valibot';
import { signature } from '../common/api-signing.ts';
import { systemClock } from '../common/clock.ts';
import { systemRandom } from '../common/random.ts';
import { encodeWebSession, webSessionKey } from '../common/web-session.ts';
import { createMemoryLiveStore } from '../stores/live/memory.ts';
import { silentLog } from '../testing/manager.ts';
import { eventually } from '../testing/services.ts';
import { EndpointPool } from './endpoints.ts';
import { startWebServer, type WebServer } from './main.ts';
import { defaultWebSettings } from './settings.ts';

const SESSION = 'a'.repeat(32);
const headers = { 'X-BackendAI-SessionID': SESSION };
const live = createMemoryLiveStore({ clock: systemClock });
const deps = { clock: systemClock, random: systemRandom, log: silentLog };

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
beforeAll(async () => {
  const token = { type: 'keypair' as const, access_key: 'AKIA', secret_key: 'secret' };
  const session = { createdSec: 1, token, expiresSec: null };
  await live.set(webSessionKey(SESSION), encodeWebSession(session));
});
afterAll(() => live.close());

/** A manager that answers as told, and a web server in front of it. */
async function behind(respond: (request: Request) => Response | Promise<Response>) {
  const upstream = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: respond });
  stops.push(() => upstream.stop(true));
  return inFrontOf(upstream.url.origin);
}

async function inFrontOf(managerUrl: string) {
  const web: WebServer = await startWebServer({
    settings: { ...defaultWebSettings, cookieSecure: false },
    live,
    ...deps,
    listen: { hostname: '127.0.0.1', port: 0 },
    managerUrl,
  });
  stops.push(() => web.stop());
  return web.url;
}

test('an event arrives while the stream is still open, and leaving ends it at the manager', async () => {
  const left = Promise.withResolvers<void>();
  const url = await behind(
    (request) =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue('data: one\n\n');
            request.signal.addEventListener('abort', () => left.resolve());
          },
        }),
        { headers: { 'Content-Type': 'text/event-stream' } },
      ),
  );
  const gone = new AbortController();
  const response = await fetch(`${url}/func/events`, { headers, signal: gone.signal });
  const reader = response.body?.getReader();
  const first = await reader?.read();
  expect(new TextDecoder().decode(first?.value)).toBe('data: one\n\n');
  gone.abort();
  await left.promise;
});

test('a request body reaches the manager before it is complete', async () => {
  const seen = Promise.withResolvers<void>();
  const url = await behind(async (request) => {
    const reader = request.body?.getReader();
    let size = 0;
    for (;;) {
      const part = await reader?.read();
      if (!part || part.done) return Response.json({ size });
      size += part.value.length;
      seen.resolve();
    }
  });
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const answer = fetch(`${url}/func/upload`, { method: 'POST', headers, body: readable });
  await writer.write(new Uint8Array(10_000));
  await seen.promise;
  await writer.write(new Uint8Array(20_000));
  await writer.close();
  expect(await (await answer).json()).toEqual({ size: 30_000 });
});

test('an empty query does not spoil the signature', async () => {
  const url = await behind((request) => Response.json({ target: request.url.split('/').at(-1) }));
  const target = async (query: string): Promise<unknown> =>
    v.parse(
      v.object({ target: v.string() }),
      await (await fetch(`${url}/func/hosts${query}`, { headers })).json(),
    ).target;
  // What is signed is what is sent: see the manager's own test of signatures.
  expect(await target('?')).toBe('hosts');
  expect(await target('?a=1')).toBe('hosts?a=1');
});

test('the body of a GET goes on to the manager, signed as ever', async () => {
  const got = Promise.withResolvers<{ headers: http.IncomingHttpHeaders; body: string }>();
  const manager = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      if (request.url === '/folders/_/id') got.resolve({ headers: request.headers, body });
      response.setHeader('X-Of-Manager', 'yes');
      response.writeHead(201);
      response.end('{"id": 1}');
    });
  });
  await new Promise<void>((resolve) => manager.listen(0, '127.0.0.1', resolve));
  stops.push(() => manager.close());
  const address = v.parse(v.object({ port: v.number() }), manager.address());
  const url = await inFrontOf(`http://127.0.0.1:${address.port}`);
  const child = Bun.spawn(
    [
      ...[
        'curl',
        '-s',
        '-i',
        '-X',
        'GET',
        '-d',
        '{"name":"x"}',
        '-H',
        'Content-Type: application/json',
      ],
      ...['-H', `X-BackendAI-SessionID: ${SESSION}`, `${url}/func/folders/_/id`],
    ],
    { stdin: 'ignore', stdout: 'pipe' },
  );
  const answer = (await new Response(child.stdout).text()).toLowerCase();
  expect(answer).toStartWith('http/1.1 201 ');
  expect(answer).toContain('x-of-manager: yes');
  expect(answer).toEndWith('{"id": 1}');
  const { headers: sent, body } = await got.promise;
  expect(body).toBe('{"name":"x"}');
  const date = new Date(sent.date ?? '');
  const request = {
    ...{ method: 'GET', target: '/folders/_/id', host: sent.host ?? '', date: sent.date ?? '' },
    ...{ contentType: 'application/json', version: 'v9.20250722' },
  };
  expect(date.getTime()).not.toBeNaN();
  expect(sent.authorization).toEndWith(`AKIA:${signature(request, 'secret')}`);
});

test('compressed answers, cookies and redirects pass as they are', async () => {
  const packed = Bun.gzipSync(new TextEncoder().encode('hello'));
  const url = await behind((request) => {
    if (request.url.endsWith('/moved')) {
      return new Response(null, { status: 302, headers: { Location: '/elsewhere' } });
    }
    const answer = new Response(packed, {
      headers: { 'Content-Encoding': 'gzip', 'Set-Cookie': 'a=1' },
    });
    answer.headers.append('Set-Cookie', 'b=2');
    return answer;
  });
  const response = await fetch(`${url}/func/packed`, { headers });
  expect(response.headers.get('content-encoding')).toBe('gzip');
  expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
  expect(await response.text()).toBe('hello');
  const moved = await fetch(`${url}/func/moved`, { headers, redirect: 'manual' });
  expect([moved.status, moved.headers.get('location')]).toEqual([302, '/elsewhere']);
});

test('only what the manager needs is passed on, with where it came from', async () => {
  const url = await behind((request) => Response.json(Object.fromEntries(request.headers)));
  const sent = {
    ...headers,
    'X-Forwarded-URL': 'http://forged/',
    Authorization: 'BackendAI forged',
    'Accept-Language': 'ko',
  };
  const got: unknown = await (await fetch(`${url}/func/x`, { headers: sent })).json();
  expect(got).toMatchObject({
    'accept-language': 'ko',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-host': new URL(url).host,
    authorization: expect.stringMatching(/^BackendAI signMethod=HMAC-SHA256, credential=AKIA:/),
  });
  expect(got).not.toHaveProperty('x-forwarded-url');
  const claimed = { ...headers, 'X-Forwarded-For': '10.0.0.1' };
  const chained: unknown = await (await fetch(`${url}/func/x`, { headers: claimed })).json();
  expect(chained).toMatchObject({ 'x-forwarded-for': '10.0.0.1, 127.0.0.1' });
});

test('a manager that breaks off is an error, not the end of the answer', async () => {
  const upstream = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      data(socket) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart');
        socket.end();
      },
    },
  });
  stops.push(() => upstream.stop(true));
  const url = await inFrontOf(`http://127.0.0.1:${upstream.port}`);
  const whole = fetch(`${url}/func/x`, { headers }).then((response) => {
    expect(response.status).toBe(200);
    return response.text();
  });
  await expect(whole).rejects.toThrow();
});

test('a manager is out after three failed probes and back after a good one', async () => {
  let healthy = true;
  const upstream = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: () => new Response(null, { status: healthy ? 200 : 503 }),
  });
  stops.push(() => upstream.stop(true));
  const pool = new EndpointPool([upstream.url.href], 'round_robin', deps);
  healthy = false;
  await pool.probe();
  await pool.probe();
  pool.acquire().release();
  await pool.probe();
  expect(pool.healthyCount).toBe(0);
  expect(() => pool.acquire()).toThrow('No manager is available');
  healthy = true;
  await pool.probe();
  pool.acquire().release();
});

test('requests go round, to the least busy, or stay with their app', () => {
  const urls = ['http://a', 'http://b/', 'http://c'];
  const take = (pool: EndpointPool, key?: string) => pool.acquire(key).endpoint.url;
  const round = new EndpointPool(urls, 'round_robin', deps);
  expect(new Set([take(round), take(round), take(round)]).size).toBe(3);
  const least = new EndpointPool(urls, 'least_connections', deps);
  const first = least.acquire();
  expect(new Set([first.endpoint.url, take(least), take(least)]).size).toBe(3);
  first.release();
  first.release();
  expect(take(least)).toBe(first.endpoint.url);
  const random = new EndpointPool(urls, 'random', deps);
  expect(['http://a', 'http://b', 'http://c']).toContain(take(random));
  expect(take(random, 'jupyter')).toBe(take(random, 'jupyter'));
});

test('probing goes on by itself and stops with the server', async () => {
  let probes = 0;
  const upstream = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: () => {
      probes += 1;
      return new Response(null);
    },
  });
  stops.push(() => upstream.stop(true));
  const timers: (() => void)[] = [];
  const clock = {
    ...systemClock,
    timer: (_ms: number, run: () => void) => {
      timers.push(run);
      return { cancel: () => timers.splice(timers.indexOf(run), 1) };
    },
  };
  const pool = new EndpointPool([upstream.url.href], 'round_robin', { ...deps, clock });
  pool.start();
  await eventually('the next probe is planned', () => timers.length === 1);
  timers.splice(0).forEach((run) => {
    run();
  });
  await eventually('the next but one is planned', () => timers.length === 1);
  expect(probes).toBe(2);
  pool.stop();
  expect(timers).toEqual([]);
});
