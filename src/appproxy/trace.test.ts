/** What coordinator and worker tell a collector of traces, and what applications are told of them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { connect, createServer } from 'node:http2';
import { BunWebSocket } from '../common/bun-websocket.ts';
import { systemClock } from '../common/clock.ts';
import type { Tracer } from '../common/tracing.ts';
import { type OpenedApp, TestProxy, type TestSession, testSession } from '../testing/app-proxy.ts';
import {
  type CollectedSpan,
  type Collector,
  startCollector,
  tracerTo,
} from '../testing/observability/collector.ts';
import { until } from '../testing/until.ts';

setDefaultTimeout(120_000);
const PATIENCE_MS = 60_000;

let collector: Collector;
let proxy: TestProxy;
let app: ReturnType<typeof Bun.serve>;
let session: TestSession;
let opened: OpenedApp;
const tracers: Tracer[] = [];

function tracerOf(service: string): Tracer {
  const tracer = tracerTo(collector, service);
  tracers.push(tracer);
  return tracer;
}

beforeAll(async () => {
  collector = startCollector();
  proxy = await TestProxy.start({}, systemClock, tracerOf);
  await proxy.addWorker();
  await proxy.addWorker({ authority: 'worker-tcp', protocol: 'tcp' });
  await proxy.addWorker({ authority: 'worker-h2', protocol: 'h2' });
  app = Bun.serve({
    ...{ hostname: '127.0.0.1', port: 0 },
    fetch(request, server) {
      if (request.headers.get('upgrade') && server.upgrade(request, { data: null })) return;
      return Response.json({ traceparent: request.headers.get('traceparent') });
    },
    websocket: { message: (socket, message) => void socket.send(message) },
  });
  session = testSession();
  opened = await proxy.open(session, app.port ?? 0);
});
afterAll(async () => {
  await app.stop(true);
  await proxy.close();
  await Promise.all(tracers.map((tracer) => tracer.close()));
  await collector.stop();
});

const ask = async (traceparent: string | null, path = '/page?password=x') => {
  const response = await fetch(`${opened.origin}${path}`, {
    headers: { Cookie: opened.cookie, ...(traceparent !== null && { traceparent }) },
  });
  const document: unknown = await response.json();
  return document;
};

const span = (what: string, is: (span: CollectedSpan) => boolean) =>
  until(() => collector.spans.find(is), what, PATIENCE_MS);

test("a client's trace goes on through the worker to the application", async () => {
  const trace = { traceId: 'e'.repeat(32), spanId: 'f'.repeat(16) };
  const said = await ask(`00-${trace.traceId}-${trace.spanId}-01`);
  const told = await span('the request is told of', ({ traceId }) => traceId === trace.traceId);
  expect(said).toEqual({ traceparent: `00-${trace.traceId}-${told.spanId}-01` });
  expect(told).toMatchObject({
    ...{ service: 'worker', name: 'proxy GET', parentSpanId: trace.spanId, error: null },
    attributes: {
      'http.request.method': 'GET',
      'http.response.status_code': '200',
      'url.path': '/page',
      'backendai.app': 'app',
      'backendai.session_id': session.id,
    },
  });
});

test('an application is told of no trace by a client that has none', async () => {
  expect(await ask(null, '/untraced')).toEqual({ traceparent: null });
  const told = await span(
    'the request is told of',
    ({ attributes }) => attributes['url.path'] === '/untraced',
  );
  expect(told.parentSpanId).toBeUndefined();
});

test('what is no traceparent passes as it is, and nobody gets in by one', async () => {
  expect(await ask('nonsense', '/nonsense')).toEqual({ traceparent: 'nonsense' });
  const trace = 'd'.repeat(32);
  const refused = await fetch(`${opened.origin}/refused`, {
    headers: { traceparent: `00-${trace}-${'1'.repeat(16)}-01` },
  });
  expect(refused.status).toBe(401);
  // A request that came later has been told of, and this one has not.
  await ask(null, '/after-refusal');
  await span('a later request', ({ attributes }) => attributes['url.path'] === '/after-refusal');
  expect(collector.spans.filter(({ traceId }) => traceId === trace)).toEqual([]);
});

test('WebSockets and TCP connections are told of once, when they are set up', async () => {
  const socket = new BunWebSocket(`${opened.origin.replace('http', 'ws')}/socket`, {
    headers: { Cookie: opened.cookie },
  });
  const echoed = Promise.withResolvers<unknown>();
  socket.onmessage = ({ data }) => echoed.resolve(data);
  socket.onerror = () => echoed.reject(new Error('no WebSocket'));
  socket.onopen = () => socket.send('hello');
  expect(await echoed.promise).toBe('hello');
  const told = await span('it is set up', ({ name }) => name === 'open WebSocket');
  expect(told.attributes['http.response.status_code']).toBe('101');
  socket.close();
  const tcp = await proxy.open(session, app.port ?? 0, { app: 'tcp-app', protocol: 'tcp' });
  const [host, port] = tcp.gateway ?? ['', 0];
  const answer = await fetch(`http://${host}:${port}/`);
  expect(answer.status).toBe(200);
  const connected = await span('it is set up', ({ name }) => name === 'open TCP connection');
  expect(connected).toMatchObject({ error: null, attributes: { 'backendai.app': 'tcp-app' } });
});

test('each request on an HTTP/2 connection is told of', async () => {
  const server = createServer((request, response) => {
    response.end(String(request.headers.traceparent));
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const h2 = await proxy.open(testSession(), port, { app: 'h2-app', protocol: 'h2' });
  const client = connect(h2.origin);
  const trace = { traceId: 'c'.repeat(32), spanId: '2'.repeat(16) };
  const stream = client.request({
    ...{ ':path': '/two', cookie: h2.cookie },
    traceparent: `00-${trace.traceId}-${trace.spanId}-01`,
  });
  let said = '';
  for await (const part of stream) said += String(part);
  const told = await span('it is told of', ({ traceId }) => traceId === trace.traceId);
  expect(told).toMatchObject({ name: 'proxy GET', parentSpanId: trace.spanId, error: null });
  expect(said).toBe(`00-${trace.traceId}-${told.spanId}-01`);
  client.close();
  server.close();
});

test('an application that is away is why a span fails', async () => {
  const away = await proxy.open(testSession(), 1, { app: 'away' });
  const response = await fetch(`${away.origin}/`, { headers: { Cookie: away.cookie } });
  expect(response.status).toBe(502);
  const told = await span(
    'it is told of',
    ({ attributes }) => attributes['backendai.app'] === 'away',
  );
  expect(told.error).toContain('The application does not answer');
});

test('requests to the coordinator are told of, but for what workers say all the time', async () => {
  const told = await span(
    'the start of the service is told of',
    ({ service, name }) => service === 'coordinator' && name === 'POST /v2/conf',
  );
  expect(told).toMatchObject({ error: null, attributes: { 'http.response.status_code': '200' } });
  const names = collector.spans.map(({ name }) => name);
  expect(names.filter((name) => /worker|health/.test(name))).toEqual([]);
});
