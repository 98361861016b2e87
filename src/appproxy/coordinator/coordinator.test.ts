/** The coordinator with real workers: circuits that come and go, and what survives its restart. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { connect } from 'node:net';
import { type Clock, systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { freePorts, TestProxy, testSession } from '../../testing/app-proxy.ts';
import { until } from '../../testing/until.ts';

setDefaultTimeout(60_000);

let proxy: TestProxy;
let app: ReturnType<typeof Bun.serve>;
beforeAll(async () => {
  app = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request) => new Response(`app ${new URL(request.url).pathname}`),
  });
  proxy = await TestProxy.start({ unusedCircuitMs: 3_600_000 });
});
afterAll(async () => {
  await proxy.close();
  await app.stop(true);
});
const appPort = () => app.port ?? 0;
const json = async (method: string, path: string, body?: unknown) =>
  Object(await (await proxy.call(method, path, body)).json());
const visit = async (origin: string, cookie: string) =>
  (await fetch(origin, { headers: { Cookie: cookie } })).status;

test('without a worker nothing is opened', async () => {
  const session = testSession();
  const token = await proxy.configure(session, { host: '127.0.0.1', port: appPort() });
  const { status, document } = await proxy.ask(token, session, {});
  expect(status).toBe(503);
  expect(document.type).toBe('https://api.backend.ai/probs/appproxy/worker-not-available');
  expect(document.error_code).toBe('agent_access_not-found');
});

describe('with a worker', () => {
  beforeAll(async () => {
    await proxy.addWorker({}, 30);
  });

  test('the same application is the same circuit, until it is asked for anew', async () => {
    const session = testSession();
    const first = await proxy.open(session, appPort());
    const again = await proxy.open(session, appPort());
    const fresh = await proxy.open(session, appPort(), { no_reuse: 'true' });
    const isPublic = await proxy.open(session, appPort(), { open_to_public: 'true' });
    expect([first.isReused, again.isReused, fresh.isReused]).toEqual([false, true, false]);
    expect(again.origin).toBe(first.origin);
    expect(new Set([first.origin, fresh.origin, isPublic.origin]).size).toBe(3);
  });

  test('a service that has moved is found at its old address', async () => {
    const session = testSession();
    const opened = await proxy.open(session, 1);
    expect(await visit(opened.origin, opened.cookie)).toBe(502);
    const again = await proxy.open(session, appPort());
    expect(again.origin).toBe(opened.origin);
    await until(
      async () => (await visit(opened.origin, opened.cookie)) === 200,
      'the new place is used',
    );
  });

  test('many at once get ports of their own; then there are none, and the end frees them', async () => {
    const small = await TestProxy.start();
    await small.addWorker({}, 8);
    const session = testSession();
    const opened = await Promise.all(
      Array.from({ length: 8 }, (_none, index) =>
        small.open(session, appPort(), { app: `app-${index}` }),
      ),
    );
    expect(new Set(opened.map(({ origin }) => origin)).size).toBe(8);
    const token = await small.configure(session, { host: '127.0.0.1', port: appPort() });
    expect((await small.ask(token, session, { app: 'more' })).status).toBe(503);
    const sessions = Object(await (await small.call('GET', '/api/session')).json()).session_ids;
    expect(sessions).toEqual([session.id]);
    await small.call('POST', '/api/session/_/ended', { session_ids: [session.id] });
    const other = await small.open(testSession(), appPort());
    expect(await visit(other.origin, other.cookie)).toBe(200);
    await small.close();
  });

  test('a port that is asked for is given, unless somebody has it', async () => {
    const { slots } = await json('GET', '/api/slots');
    const free = slots.find((slot: { in_use: boolean }) => !slot.in_use).port;
    const session = testSession();
    const opened = await proxy.open(session, appPort(), { port: String(free) });
    expect(new URL(opened.origin).port).toBe(String(free));
    const other = testSession();
    const token = await proxy.configure(other, { host: '127.0.0.1', port: appPort() });
    const { status, document } = await proxy.ask(token, other, { port: String(free) });
    expect([status, document.error_code]).toEqual([409, 'agent_setup_already-exists']);
  });

  test('a port that another program has is replaced by one that nobody has', async () => {
    const ports = await freePorts(2);
    const blocker = Bun.listen({
      ...{ hostname: '127.0.0.1', port: ports[0], exclusive: true },
      socket: { data() {} },
    });
    const small = await TestProxy.start();
    await small.addWorker({
      frontend: {
        ...({ mode: 'port', bindHost: '127.0.0.1', advertisedHost: '127.0.0.1' } as const),
        ...{ bindPorts: ports, advertisedPorts: ports },
      },
    });
    const opened = await small.open(testSession(), appPort());
    expect(new URL(opened.origin).port).toBe(String(ports[1]));
    await small.close();
    blocker.stop(true);
  });

  test('what is asked for in a wrong way is told', async () => {
    const session = testSession();
    const token = await proxy.configure(session, { host: '127.0.0.1', port: appPort() });
    const wrong = async (query: Record<string, string>) => {
      const { status, document } = await proxy.ask(token, session, query);
      return [status, String(document.msg)];
    };
    expect(await wrong({ protocol: 'gopher' })).toEqual([400, expect.stringContaining('protocol')]);
    expect(await wrong({ allowed_client_ips: '1.2.3' })).toEqual([
      400,
      expect.stringContaining('allowed_client_ips'),
    ]);
    expect(await wrong({ port: '99999' })).toEqual([400, expect.stringContaining('port')]);
    for (const envs of ['{', '["a"]'])
      expect(await wrong({ envs })).toEqual([400, expect.stringContaining('envs')]);
  });

  test('a browser is led to the application, and to the path it wants', async () => {
    const session = testSession();
    const token = await proxy.configure(session, { host: '127.0.0.1', port: appPort() });
    const query = `app=app&protocol=http&redirect=${encodeURIComponent('//evil.example/@x')}`;
    const added = await fetch(`${proxy.url}/v2/proxy/${token}/${session.id}/add?${query}`);
    const { url } = Object(await added.json());
    const auth = await fetch(url, { redirect: 'manual' });
    expect(auth.status).toBe(308);
    const setup = await fetch(auth.headers.get('Location') ?? '', { redirect: 'manual' });
    const target = new URL(setup.headers.get('Location') ?? '');
    expect([target.hostname, target.pathname]).toEqual(['127.0.0.1', '//evil.example/@x']);
    expect(setup.headers.get('Set-Cookie')).toMatch(
      /^appproxy_permit_\d+=\S+; Path=\/; HttpOnly; SameSite=Lax; Max-Age=604800$/,
    );
    expect(setup.headers.get('Access-Control-Allow-Origin')).toBe('*');
  });

  test('how much a circuit is used is known; one that is removed is closed', async () => {
    const session = testSession();
    const opened = await proxy.open(session, appPort());
    const { slots } = await json('GET', '/api/slots?in_use=true');
    const port = Number(new URL(opened.origin).port);
    const id = slots.find((slot: { port: number }) => slot.port === port).circuit_id;
    for (let index = 0; index < 3; index += 1) await visit(opened.origin, opened.cookie);
    const used = await until(async () => {
      const statistics = await json('GET', `/api/circuit/${id}/statistics`);
      return statistics.requests === 3 ? statistics : null;
    }, 'the uses are told');
    expect(used.ttl).toBeGreaterThan(3_000);
    expect(used.session_ids).toEqual([session.id]);
    expect((await json('DELETE', `/api/circuit/${id}`)).success).toBe(true);
    await until(
      () =>
        visit(opened.origin, opened.cookie).then(
          () => false,
          () => true,
        ),
      'it is closed',
    );
    expect((await proxy.call('GET', `/api/circuit/${id}`)).status).toBe(404);
  });

  test('a restart drops no connection, and new circuits come when it is back', async () => {
    const session = testSession();
    const opened = await proxy.open(session, appPort());
    const { hostname, port } = new URL(opened.origin);
    const socket = connect(Number(port), hostname);
    let heard = '';
    let isClosed = false;
    socket.on('data', (chunk) => {
      heard += chunk.toString();
    });
    socket.on('close', () => {
      isClosed = true;
    });
    const ask = (path: string) => {
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nCookie: ${opened.cookie}\r\n\r\n`,
      );
      return until(() => heard.includes(`app ${path}`), `the answer to ${path}`);
    };
    await ask('/before');
    await proxy.stopCoordinator();
    await ask('/meanwhile');
    await proxy.startCoordinator();
    await ask('/after');
    const other = await proxy.open(testSession(), appPort());
    expect(await visit(other.origin, other.cookie)).toBe(200);
    const again = await proxy.open(session, appPort());
    expect([again.isReused, again.origin]).toEqual([true, opened.origin]);
    expect(isClosed).toBe(false);
    socket.destroy();
  });

  test('figures and health are told', async () => {
    const metrics = await (await fetch(`${proxy.url}/metrics`)).text();
    expect(metrics).toMatch(/appproxy_alive_circuits\{protocol="http"\} \d+/);
    expect(metrics).toContain('appproxy_workers{status="ALIVE"} 1');
    expect(await json('GET', '/health')).toMatchObject({
      ...{ status: 'ok', component: 'appproxy-coordinator', connectivity: { database: 'ok' } },
    });
    expect(await json('GET', '/status')).toEqual({
      ...{ api_version: 'v2', advertise_address: proxy.url },
    });
    expect(await json('GET', '/health/status')).toMatchObject({
      appproxy_api_version: 'v2',
      workers: [{ authority: 'worker-1', available_slots: 30, ha_setup: false }],
    });
    expect((await proxy.call('GET', '/nowhere')).status).toBe(404);
    expect((await proxy.call('POST', '/status')).status).toBe(405);
  });
});

test('a worker that falls silent gets nothing more; one that comes back goes on', async () => {
  const small = await TestProxy.start({ workerTimeoutMs: 30_000 });
  const first = await small.addWorker({ authority: 'first' });
  const session = testSession();
  await small.open(session, appPort());
  await first.stop();
  const workers = async () =>
    Object(await (await small.call('GET', '/api/worker')).json()).workers.map(
      ({ authority, status }: { authority: string; status: string }) => `${authority} ${status}`,
    );
  expect(await workers()).toEqual(['first LOST']);
  await small.addWorker({ authority: 'second' });
  const moved = await small.open(session, appPort());
  expect([moved.isReused, await visit(moved.origin, moved.cookie)]).toEqual([false, 200]);
  expect(await workers()).toEqual(['first LOST', 'second ALIVE']);
  await small.close();
});

test('a circuit that nobody uses for long is removed; one that is used, or carries TCP, stays', async () => {
  let offsetMs = 0;
  const clock: Clock = {
    ...systemClock,
    now: () => new Date(systemClock.now().getTime() + offsetMs),
    sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 50), signal),
  };
  const small = await TestProxy.start({ unusedCircuitMs: 600_000 }, clock);
  await small.addWorker();
  await small.addWorker({ authority: 'tcp', protocol: 'tcp' });
  await small.open(testSession(), appPort());
  await small.open(testSession(), appPort(), { protocol: 'tcp' });
  const used = await small.open(testSession(), appPort());
  const circuits = async () =>
    Object(await (await small.call('GET', '/api/slots?in_use=true')).json()).slots.length;
  expect(await circuits()).toBe(3);
  offsetMs = 590_000;
  await visit(used.origin, used.cookie);
  offsetMs = 610_000;
  // Workers tell of uses by their own clocks; the last one was just now.
  await until(async () => (await circuits()) === 1, 'the unused ones are gone');
  await small.close();
});

test('names below a domain lead to the application of that name', async () => {
  const small = await TestProxy.start();
  const [port] = await freePorts(1);
  await small.addWorker({
    frontend: {
      ...({ mode: 'wildcard', domain: '.apps.test', advertisedPort: port } as const),
      bind: { hostname: '127.0.0.1', port },
    },
  });
  const session = testSession();
  const named = await small.open(session, appPort(), { subdomain: 'Notebook' });
  const other = await small.open(session, appPort(), { app: 'other' });
  expect(new URL(named.origin).hostname).toBe('notebook.apps.test');
  expect(new URL(other.origin).hostname).toMatch(/^app-[0-9a-f]{8}\.apps\.test$/);
  const ask = async (host: string, cookie: string) =>
    (
      await fetch(`http://127.0.0.1:${port}/`, {
        headers: { Host: `${host}:${port}`, Cookie: cookie },
      })
    ).status;
  expect(await ask('notebook.apps.test', named.cookie)).toBe(200);
  expect(await ask('notebook.apps.test', other.cookie)).toBe(401);
  expect(await ask('nobody.apps.test', named.cookie)).toBe(400);
  expect(await ask('notebook.apps.test.evil', named.cookie)).toBe(400);
  const taken = await small.open(testSession(), appPort(), { subdomain: 'notebook' });
  expect(new URL(taken.origin).hostname).toMatch(/^notebook-[0-9a-f]{8}\.apps\.test$/);
  await small.close();
});

test('a worker that comes back with names, or with other ports, serves what is asked for anew', async () => {
  const small = await TestProxy.start();
  const session = testSession();
  const port = appPort();
  const first = await small.addWorker();
  const { origin } = await small.open(session, port);
  await first.stop();
  const second = await small.addWorker();
  const moved = await small.open(session, port);
  expect([moved.isReused, moved.origin]).toEqual([false, expect.not.stringMatching(origin)]);
  await second.stop();
  const [bind] = await freePorts(1);
  await small.addWorker({
    frontend: {
      ...({ mode: 'wildcard', domain: '.apps.test', advertisedPort: bind } as const),
      bind: { hostname: '127.0.0.1', port: bind },
    },
  });
  const named = await small.open(session, port);
  expect([named.isReused, new URL(named.origin).hostname]).toEqual([
    false,
    expect.stringMatching(/^app-[0-9a-f]{8}\.apps\.test$/),
  ]);
  await small.close();
});

test('a worker that another coordinator has forgotten introduces itself again', async () => {
  const small = await TestProxy.start();
  await small.addWorker();
  await small.db.sql`DELETE FROM workers`;
  await small.call('POST', '/api/session/_/ended', { session_ids: [systemRandom.uuid()] });
  await small.stopCoordinator();
  await small.startCoordinator();
  const opened = await until(
    () => small.open(testSession(), appPort()).catch(() => null),
    'the worker is back',
  );
  expect(await visit(opened.origin, opened.cookie)).toBe(200);
  await small.close();
});
