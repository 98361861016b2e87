/** Who gets to an application: every kind of circuit × every kind of visitor. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { connect } from 'node:net';
import type { TCPSocketListener } from 'bun';
import { SignJWT } from 'jose';
import { systemRandom } from '../common/random.ts';
import { type OpenedApp, PROXY_SECRETS, TestProxy, testSession } from '../testing/app-proxy.ts';
import { type GrpcApp, GrpcClient, startGrpcApp } from '../testing/grpc.ts';
import { Permits } from './shared/permits.ts';

setDefaultTimeout(60_000);

let proxy: TestProxy;
let app: ReturnType<typeof Bun.serve>;
let echo: TCPSocketListener;
let grpc: GrpcApp;
const owner = testSession();
const stranger = testSession();

beforeAll(async () => {
  proxy = await TestProxy.start();
  await proxy.addWorker();
  await proxy.addWorker({ authority: 'worker-tcp', protocol: 'tcp' });
  await proxy.addWorker({ authority: 'worker-h2', protocol: 'h2' });
  grpc = await startGrpcApp();
  app = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request, server) {
      if (server.upgrade(request, { data: null })) return;
      return new Response(`cookies: ${request.headers.get('Cookie')}`);
    },
    websocket: {
      open: (socket) => void socket.send('open'),
      message() {},
    },
  });
  echo = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: { open: (socket) => void socket.write('hello'), data() {} },
  });
});
afterAll(async () => {
  await proxy.close();
  await app.stop(true);
  echo.stop(true);
  grpc.stop();
});

const appPort = () => app.port ?? 0;
/** Where an application of a protocol listens. */
const portFor = (protocol: string) => (protocol === 'grpc' ? grpc.port : appPort());

type Visit = (origin: string, cookie: string | null) => Promise<string>;

const byHttp: Visit = async (origin, cookie) => {
  const response = await fetch(origin, { headers: cookie === null ? {} : { Cookie: cookie } });
  if (response.ok) return 'in';
  const { error_code, msg } = Object(await response.json());
  return `${response.status} ${error_code} ${String(msg).slice(0, 6)}`;
};

/** The answer to an upgrade, by hand: clients hide why it was refused. */
const byWebSocket: Visit = (origin, cookie) =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(origin);
    const socket = connect(Number(port), hostname, () =>
      socket.write(
        `GET /ws HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: keep-alive, Upgrade\r\n` +
          'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n' +
          `${cookie === null ? '' : `Cookie: ${cookie}\r\n`}\r\n`,
      ),
    );
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('open')) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      const status = text.slice(9, 12);
      if (status === '101') return resolve('in');
      const { error_code, msg } = JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4));
      resolve(`${status} ${error_code} ${String(msg).slice(0, 6)}`);
    });
  });

/** What gRPC tells, in the words of HTTP. */
const byGrpc: Visit = async (origin, cookie) => {
  const client = new GrpcClient(new URL(origin).host);
  try {
    await client.metadata(cookie === null ? {} : { cookie });
    return 'in';
  } catch (error) {
    const { code, details } = Object(error);
    const status = code === 16 ? '401 agent_auth_unauthorized' : '403 appproxy_access_forbidden';
    return [16, 7].includes(code) ? `${status} ${details.slice(0, 6)}` : String(error);
  } finally {
    client.close();
  }
};

const NO_COOKIE = '401 agent_auth_unauthorized E20004';
const BAD_COOKIE = '401 agent_auth_unauthorized E20005';
const BAD_ADDRESS = '403 appproxy_access_forbidden E20011';

/** Cookies as visitors might come with them, to a circuit of the owner's. */
async function cookiesFor(opened: OpenedApp, protocol: string) {
  const [name = ''] = opened.cookie.split('=');
  const renamed = (cookie: string) => `${name}=${cookie.split('=')[1]}`;
  const others = await proxy.open(stranger, portFor(protocol), { no_reuse: 'true', protocol });
  const own = await proxy.open(owner, portFor(protocol), { app: 'other', protocol });
  const circuitId = await circuitOf(opened);
  const long = new Date(Date.now() - 8 * 24 * 3_600_000);
  const permit = (secret: string, now: Date) => {
    const clock = { now: () => now, monotonicMs: () => 0, sleep: async () => {}, timer: noTimer };
    const permits = new Permits({ secret, digest: 'sha256' }, clock);
    return `${name}=${permits.issue({ id: circuitId, user_id: owner.user })}`;
  };
  return {
    owner: opened.cookie,
    none: null,
    forged: permit('another secret', new Date()),
    tampered: opened.cookie.replace(/=(\d)/, (_whole, digit) => `=${(Number(digit) + 1) % 10}`),
    expired: permit(PROXY_SECRETS.permit, long),
    strangers: others.cookie,
    strangersRenamed: renamed(others.cookie),
    ownOtherCircuit: renamed(own.cookie),
  };
}
const noTimer = () => ({ cancel() {} });

async function circuitOf(opened: OpenedApp): Promise<string> {
  const port = Number(new URL(opened.origin).port);
  const { slots } = Object(await (await proxy.call('GET', '/api/slots?in_use=true')).json());
  return String(slots.find((slot: { port: number }) => slot.port === port)?.circuit_id);
}

describe.each([
  ['HTTP', byHttp, 'preopen'],
  ['WebSocket', byWebSocket, 'http'],
  ['gRPC', byGrpc, 'grpc'],
] as const)('%s', (_name, visit, protocol) => {
  const port = () => portFor(protocol);

  test('a private circuit takes its owner and nobody else', async () => {
    const opened = await proxy.open(owner, port(), { protocol });
    const cookies = await cookiesFor(opened, protocol);
    const seen: Record<string, string> = {};
    for (const [who, cookie] of Object.entries(cookies)) {
      seen[who] = await visit(opened.origin, cookie);
    }
    expect(seen).toEqual({
      owner: 'in',
      none: NO_COOKIE,
      forged: BAD_COOKIE,
      tampered: BAD_COOKIE,
      expired: BAD_COOKIE,
      strangers: NO_COOKIE,
      strangersRenamed: BAD_COOKIE,
      ownOtherCircuit: BAD_COOKIE,
    });
  });

  test('a public circuit takes everybody', async () => {
    const opened = await proxy.open(owner, port(), { protocol, open_to_public: 'true' });
    expect(await visit(opened.origin, null)).toBe('in');
    expect(await visit(opened.origin, 'appproxy_permit_1=junk')).toBe('in');
  });

  test('a wrong address is refused, also the owner there and on a public circuit', async () => {
    const elsewhere = { protocol, allowed_client_ips: '10.0.0.0/8, 192.0.2.1' };
    const closed = await proxy.open(owner, port(), elsewhere);
    expect(await visit(closed.origin, closed.cookie)).toBe(BAD_ADDRESS);
    const isPublic = { open_to_public: 'true', ...elsewhere };
    const open = await proxy.open(owner, port(), isPublic);
    expect(await visit(open.origin, null)).toBe(BAD_ADDRESS);
    const here = await proxy.open(owner, port(), {
      protocol,
      allowed_client_ips: '10.0.0.0/8,127.0.0.1',
    });
    expect(await visit(here.origin, here.cookie)).toBe('in');
    expect(await visit(here.origin, null)).toBe(NO_COOKIE);
  });
});

test('an address that the client claims to have is not believed', async () => {
  const opened = await proxy.open(owner, appPort(), { allowed_client_ips: '10.0.0.1' });
  const response = await fetch(opened.origin, {
    headers: { Cookie: opened.cookie, 'X-Forwarded-For': '10.0.0.1' },
  });
  expect(response.status).toBe(403);
});

test('applications see neither permits nor the sign-in', async () => {
  const opened = await proxy.open(owner, appPort(), { app: 'cookies' });
  const response = await fetch(opened.origin, {
    headers: { Cookie: `a=b; ${opened.cookie}; AIOHTTP_SESSION=secret; c=d` },
  });
  expect(await response.text()).toBe('cookies: a=b; c=d');
});

/** What a TCP client gets to read before the connection ends. */
const greeting = (place: readonly [string, number]): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(place[1], place[0]);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });

test.each(['tcp', 'vnc', 'rdp'])(
  '%s circuits take addresses that may come, and no others',
  async (protocol) => {
    const open = await proxy.open(owner, echo.port, { protocol, app: protocol });
    expect(open.isReused).toBe(false);
    expect(await greeting(open.gateway ?? ['', 0])).toBe('hello');
    const elsewhere = { protocol, app: protocol, allowed_client_ips: '192.0.2.0/24' };
    const closed = await proxy.open(owner, echo.port, elsewhere);
    expect(await greeting(closed.gateway ?? ['', 0])).toBe('');
    // The permit of an HTTP circuit of the same worker host changes nothing for TCP.
    await proxy.call('POST', '/api/session/_/ended', { session_ids: [owner.id] });
  },
);

test('gRPC needs a worker that speaks HTTP/2, of whichever of its two names', async () => {
  for (const protocol of ['grpc', 'h2']) {
    const opened = await proxy.open(owner, grpc.port, { protocol, app: protocol });
    expect(await byGrpc(opened.origin, opened.cookie)).toBe('in');
  }
});

describe('tokens', () => {
  const tokenOf = async () => await proxy.configure(owner, { host: '127.0.0.1', port: appPort() });

  test('of another session, unknown or of an ended session open nothing', async () => {
    const token = await tokenOf();
    const wrong = await proxy.ask(token, stranger, {});
    expect([wrong.status, String(wrong.document.msg)]).toEqual([
      401,
      expect.stringContaining('E20007'),
    ]);
    expect((await proxy.ask(systemRandom.uuid(), owner, {})).status).toBe(401);
    expect((await proxy.ask(token, owner, {})).status).toBe(200);
    await proxy.call('POST', '/api/session/_/ended', { session_ids: [owner.id] });
    expect((await proxy.ask(token, owner, {})).status).toBe(401);
  });

  test('that are too old open nothing', async () => {
    const token = await tokenOf();
    await proxy.db.sql`
      UPDATE tokens SET created_at = now() - interval '25 hours' WHERE id = ${token}`;
    expect((await proxy.ask(token, owner, {})).status).toBe(401);
  });

  test('a setup address that is forged, over or for something else sets nobody up', async () => {
    const { document } = await proxy.ask(await tokenOf(), owner, {});
    const url = new URL(String(document.redirect_url));
    expect((await fetch(url, { redirect: 'manual' })).status).toBe(302);
    const [header, payload = '', seal] = (url.searchParams.get('token') ?? '').split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const sign = (secret: string, more: object) =>
      new SignJWT({ ...claims, ...more })
        .setProtectedHeader({ alg: 'HS256' })
        .sign(new TextEncoder().encode(secret));
    const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`;
    const bad = [
      await sign('another secret', {}),
      await sign(PROXY_SECRETS.jwt, { exp: Math.floor(Date.now() / 1000) - 1 }),
      await sign(PROXY_SECRETS.jwt, { version: 'v1' }),
      `${header}.${payload}x.${seal}`,
      unsigned,
      'nonsense',
    ];
    for (const token of bad) {
      url.searchParams.set('token', token);
      const response = await fetch(url, { redirect: 'manual' });
      expect([token, response.status]).toEqual([token, 401]);
      expect(response.headers.get('Set-Cookie')).toBeNull();
    }
    const unknown = await sign(PROXY_SECRETS.jwt, { circuit: systemRandom.uuid() });
    url.searchParams.set('token', unknown);
    expect((await fetch(url, { redirect: 'manual' })).status).toBe(404);
  });

  test('the secret is needed for everything but opening', async () => {
    const id = systemRandom.uuid();
    const closed: [string, string][] = [
      ['POST', '/v2/conf'],
      ['GET', '/api/worker'],
      ['PUT', '/api/worker'],
      ['GET', `/api/worker/${id}`],
      ['PATCH', `/api/worker/${id}`],
      ['DELETE', `/api/worker/${id}`],
      ['GET', `/api/worker/${id}/circuits`],
      ['POST', `/api/worker/${id}/sync`],
      ['GET', `/api/circuit/${id}`],
      ['GET', `/api/circuit/${id}/statistics`],
      ['DELETE', `/api/circuit/${id}`],
      ['DELETE', '/api/circuit/_/bulk'],
      ['GET', '/api/slots'],
      ['GET', '/api/session'],
      ['POST', '/api/session/_/ended'],
      ['POST', '/api/session/_/moved'],
      ['GET', '/health/status'],
    ];
    const conf = {
      kernel_host: '127.0.0.1',
      kernel_port: 1,
      session: { id, user_uuid: id, project_id: id, domain_name: 'default' },
    };
    for (const [method, path] of closed) {
      for (const secret of [null, 'wrong']) {
        const response = await fetch(new URL(path, proxy.url), {
          method,
          headers: secret === null ? {} : { 'X-BackendAI-Token': secret },
          ...(method === 'GET' ? {} : { body: JSON.stringify(conf) }),
        });
        expect([method, path, response.status]).toEqual([method, path, 401]);
      }
    }
  });
});
