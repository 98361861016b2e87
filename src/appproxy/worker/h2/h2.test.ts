/** HTTP/2 through a worker, with peers that break the rules: what reaches the other side, and what is kept of it. */
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { type Clock, systemClock } from '../../../common/clock.ts';
import { freePorts, testFrontend } from '../../../testing/app-proxy.ts';
import { type GrpcApp, GrpcClient, startGrpcApp } from '../../../testing/grpc.ts';
import { block, data, fill, GET, head, Peer } from '../../../testing/h2-peer.ts';
import { until } from '../../../testing/until.ts';
import { permitCookie } from '../../shared/permits.ts';
import {
  CODE,
  FLAG,
  FRAME,
  type Frame,
  frame,
  headFrames,
  SETTING,
  settingsFrame,
} from './frames.ts';

setDefaultTimeout(60_000);
const MIB = 1024 * 1024;

/** Time that can be moved on; timers come often, so that what is due is noticed soon. */
let offsetMs = 0;
const clock: Clock = {
  now: () => new Date(systemClock.now().getTime() + offsetMs),
  monotonicMs: () => systemClock.monotonicMs() + offsetMs,
  sleep: (ms, signal) => systemClock.sleep(ms, signal),
  timer: (ms, fn) => systemClock.timer(ms === 10_000 ? ms : Math.min(ms, 20), fn),
};

let app: GrpcApp;
/** An application that does what each test says. */
let raw: Server;
let serve: (socket: Socket) => void = () => {};
const workers: ReturnType<typeof testFrontend>[] = [];
const sockets: Socket[] = [];
const clients: GrpcClient[] = [];

type Options = Partial<Parameters<typeof testFrontend>[0]>;

async function startWorker(options: Options = {}) {
  const range = await freePorts(1);
  const worker = testFrontend({
    ...{ appPort: app.port, ports: range, clock },
    ...options,
    circuit: { protocol: 'grpc', ...options.circuit },
  });
  workers.push(worker);
  return { ...worker, port: range[0] };
}
const rawPort = () => Number(Object(raw.address()).port);
const grpcTo = (port: number) => {
  const client = new GrpcClient(`127.0.0.1:${port}`);
  clients.push(client);
  return client;
};

beforeAll(async () => {
  app = await startGrpcApp();
  raw = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => raw.listen(0, '127.0.0.1', resolve));
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  Peer.destroyAll();
  for (const { frontend } of workers.splice(0)) frontend.stop();
});
afterAll(() => {
  app.stop();
  raw.close();
});

/** Short on the wire, long once read. */
const longFields = Array.from({ length: 2_000 }, (_none, at) => [`a${at}`, '']);
/** The application's side of the next connection. */
const nextApp = () =>
  new Promise<Peer>((resolve) => {
    serve = (socket) => resolve(new Peer(socket, true));
  });

test('a client that sends nothing more, before the application is connected, is answered', async () => {
  const worker = await startWorker({ appPort: rawPort() });
  const [asked, client] = [nextApp(), Peer.to(worker.port)];
  client.send(head(1, GET, false), data(1, 'all of it'));
  client.socket.end();
  const served = await asked;
  let hasEnded = false;
  served.socket.on('end', () => {
    hasEnded = true;
  });
  await served.hears(FRAME.DATA, 1);
  // The application learns of it as well, after all that was asked.
  await until(() => hasEnded, 'the end is passed on');
  served.send(headFrames(1, block({ ':status': '200' }), false), data(1, 'the answer'));
  expect((await client.hears(FRAME.DATA, 1)).payload.toString()).toBe('the answer');
});

describe('each request is looked at', () => {
  test('one without a permit on a connection with one never reaches the application', async () => {
    const worker = await startWorker({ appPort: rawPort(), circuit: { open_to_public: false } });
    const permit = `${permitCookie(worker.info)}=${worker.permits.issue(worker.info)}`;
    const [asked, client] = [nextApp(), Peer.to(worker.port)];
    client.send(head(1, { ...GET, cookie: permit }, false));
    const served = await asked;
    // Refused, with a body that is dropped; its allowance comes back.
    client.send(head(3, GET, false), data(3, 'x'.repeat(500)));
    expect((await client.hears(FRAME.HEADERS, 3)).flags & FLAG.END_STREAM).not.toBe(0);
    expect((await client.hears(FRAME.WINDOW_UPDATE, 0)).payload.readUInt32BE(0)).toBe(500);
    // Nor does it when what is asked looks like the trailers of a request that was refused, or over.
    client.send(head(3, GET), head(1, { 'x-last': 'word' }), head(1, GET), head(5, GET));
    await client.hears(FRAME.HEADERS, 5);
    expect(served.heads.map(({ streamId }) => streamId)).toEqual([1, 1]);
    expect(served.heads[1]?.fields).toEqual({ 'x-last': 'word' });
    expect(served.heads[0]?.fields).toMatchObject({ ':path': '/', ':scheme': 'http' });
    expect(served.heard.some(({ type }) => type === FRAME.DATA)).toBe(false);
    served.send(headFrames(1, block({ ':status': '200' }), true));
    await client.hears(FRAME.HEADERS, 1);
    expect(worker.counters).toMatchObject({ requests: 1, refusals: 2 });
  });

  test('one for another application has to come on a connection of its own', async () => {
    const [port] = await freePorts(1);
    const domain = '.apps.test';
    const worker = await startWorker({
      appPort: rawPort(),
      circuit: { port: null, subdomain: 'one', frontend_mode: 'wildcard' },
      settings: {
        protocol: 'h2',
        frontend: {
          ...{ mode: 'wildcard', domain, advertisedPort: port },
          bind: { hostname: '127.0.0.1', port },
        },
      },
    });
    worker.frontend.apply([worker.info, { ...worker.info, id: 'two', subdomain: 'two' }]);
    const [asked, client] = [nextApp(), Peer.to(port)];
    client.send(head(1, { ...GET, ':authority': `one${domain}:${port}` }));
    const served = await asked;
    client.send(head(3, { ...GET, ':authority': `two${domain}:${port}` }));
    client.send(head(5, { ...GET, ':authority': `none${domain}` }));
    await client.hears(FRAME.HEADERS, 5);
    expect(client.heads.map(({ fields }) => fields[':status'])).toEqual(['421', '400']);
    await served.hears(FRAME.HEADERS, 1);
    expect(served.heads).toHaveLength(1);
  });

  test.each([
    ['a method that is none', { ':method': 'G T' }, '400'],
    ['CONNECT without a protocol', { ':method': 'CONNECT' }, '405'],
    ['a path that is none', { ':path': 'http://elsewhere/' }, '400'],
    ['a line break in a value', { 'x-own': 'a\r\nb: c' }, '400'],
    ['a name in capitals', { 'X-Own': 'a' }, '400'],
    ['a field of HTTP/1', { 'transfer-encoding': 'chunked' }, '400'],
    ['two hosts', { host: 'elsewhere' }, '400'],
    ['a part of the request that nobody knows', { ':own': 'a' }, '400'],
    ['a head that is too long', Object.fromEntries(longFields), '431'],
  ])('%s is refused', async (_what, fields, status) => {
    const worker = await startWorker({ appPort: rawPort() });
    const client = Peer.to(worker.port);
    client.send(head(1, { ...GET, ...fields }));
    await client.hears(FRAME.HEADERS, 1);
    expect(client.heads[0]?.fields[':status']).toBe(status);
    expect(worker.counters.requests).toBe(0);
  });
});

describe('who does not read', () => {
  const pieces = Buffer.concat(Array(32).fill(frame(FRAME.DATA, 0, 1, Buffer.alloc(16_384))));

  test('slows the other side down, whatever that one’s windows are', async () => {
    const worker = await startWorker({ appPort: rawPort() });
    const [asked, client] = [nextApp(), Peer.to(worker.port)];
    client.send(head(1, GET, false));
    const served = await asked;
    served.send(head(1, { ':status': '200' }, false));
    await client.hears(FRAME.HEADERS, 1);
    client.socket.pause();
    expect(await fill(served.socket, pieces)).toBeLessThan(64 * MIB);
    served.socket.pause();
    expect(await fill(client.socket, pieces)).toBeLessThan(64 * MIB);
    // Others are served meanwhile.
    const [askedToo, other] = [nextApp(), Peer.to(worker.port)];
    other.send(head(1, GET));
    (await askedToo).send(head(1, { ':status': '204' }));
    await other.hears(FRAME.HEADERS, 1);
  });

  test('has windows of its own, which the other side keeps to', async () => {
    const worker = await startWorker({ appPort: rawPort() });
    const [asked, client] = [nextApp(), Peer.to(worker.port)];
    const credit = (streamId: number, bytes: number) => {
      const payload = Buffer.alloc(4);
      payload.writeUInt32BE(bytes);
      return frame(FRAME.WINDOW_UPDATE, 0, streamId, payload);
    };
    client.send(settingsFrame(new Map([[SETTING.INITIAL_WINDOW_SIZE, 77]])), credit(0, 1111));
    client.send(credit(0, 2222), head(1, GET, false));
    const served = await asked;
    await served.hears(FRAME.HEADERS, 1);
    // What was said before the application was there is said to it.
    expect(served.heard[0]?.payload.toString('hex')).toContain('00040000004d');
    expect((await served.hears(FRAME.WINDOW_UPDATE, 0)).payload.readUInt32BE(0)).toBe(3333);
    client.send(credit(1, 4444));
    expect((await served.hears(FRAME.WINDOW_UPDATE, 1)).payload.readUInt32BE(0)).toBe(4444);
    served.send(credit(1, 5555), settingsFrame(new Map([[SETTING.INITIAL_WINDOW_SIZE, 88]])));
    expect((await client.hears(FRAME.WINDOW_UPDATE, 1)).payload.readUInt32BE(0)).toBe(5555);
    const isSaid = ({ type, payload }: Frame) =>
      type === FRAME.SETTINGS && payload.toString('hex').includes('000400000058');
    await until(() => client.heard.some(isSaid), 'the window of the application is known');
  });
});

describe('clients', () => {
  const broken: [string, Buffer[], number][] = [
    ['say something before their settings', [head(1, GET)], CODE.PROTOCOL_ERROR],
    [
      'send a frame that is too large',
      [frame(0, 0, 1, Buffer.alloc(16_385))],
      CODE.FRAME_SIZE_ERROR,
    ],
    ['send data that nothing was said about', [data(1, 'x')], CODE.PROTOCOL_ERROR],
    ['open even streams', [head(2, GET)], CODE.PROTOCOL_ERROR],
    ['break a head off', [frame(1, 0, 1, block(GET)), data(1, 'x')], CODE.PROTOCOL_ERROR],
    ['send a head that is none', [frame(1, 5, 1, Buffer.from([0xff]))], CODE.COMPRESSION_ERROR],
    [
      'send a head in more bytes than anybody reads',
      [headFrames(1, Buffer.alloc(70_000, 0x82), true)],
      CODE.ENHANCE_YOUR_CALM,
    ],
    [
      'never end a head',
      [frame(1, 0, 1, block(GET)), ...Array(70).fill(frame(9, 0, 1, Buffer.alloc(0)))],
      CODE.ENHANCE_YOUR_CALM,
    ],
    ['push', [frame(5, 4, 1, Buffer.alloc(4))], CODE.PROTOCOL_ERROR],
    ['have endless settings', settings(80), CODE.ENHANCE_YOUR_CALM],
  ];
  function settings(count: number): Buffer[] {
    return Array.from({ length: count }, (_none, key) => settingsFrame(new Map([[100 + key, 1]])));
  }
  test.each(broken)('that %s are sent away', async (what, frames, code) => {
    const worker = await startWorker();
    const client = Peer.to(worker.port, what.includes('before') ? 'no settings' : 'settings');
    client.send(...frames);
    expect(await client.goesAway()).toBe(code);
    client.socket.end();
    await client.closes();
  });

  test('that ask and never read are not read from either', async () => {
    const worker = await startWorker();
    const client = Peer.to(worker.port);
    client.socket.pause();
    const pings = Buffer.concat(Array(10_000).fill(frame(FRAME.PING, 0, 0, Buffer.alloc(8))));
    expect(await fill(client.socket, pings)).toBeLessThan(64 * MIB);
  });

  test('that are refused and never read are not read from either', async () => {
    const worker = await startWorker({ circuit: { open_to_public: false } });
    const client = Peer.to(worker.port);
    client.socket.pause();
    // Of answers without a body there may be any number on a connection.
    const call = block({ ...GET, ':method': 'POST', 'content-type': 'application/grpc' });
    let last = -1;
    const calls = () =>
      Buffer.concat(
        Array.from({ length: 1_000 }, () => {
          last += 2;
          return headFrames(last, call, true);
        }),
      );
    expect(await fill(client.socket, calls)).toBeLessThan(64 * MIB);
    expect(worker.counters.requests).toBe(0);
  });

  test('that are silent, or ask for nothing for long, are let go; a silent stream is not', async () => {
    const worker = await startWorker();
    const silent = dial(worker.port, '127.0.0.1');
    sockets.push(silent);
    const silentEnds = new Promise((resolve) => silent.once('close', resolve));
    const idle = Peer.to(worker.port);
    await idle.hears(FRAME.SETTINGS, 0);
    const echo = grpcTo(worker.port).echo();
    echo.on('error', () => {});
    const said = new Promise((resolve) => echo.once('data', resolve));
    echo.write(Buffer.from('here'));
    await said;
    offsetMs += 400_000;
    await silentEnds;
    expect(await idle.goesAway()).toBe(CODE.NO_ERROR);
    const saidAgain = new Promise<Buffer>((resolve) => echo.once('data', resolve));
    echo.write(Buffer.from('still here'));
    expect(String(await saidAgain)).toBe('still here');
    echo.cancel();
  });
});

describe('applications', () => {
  const ask = async () => {
    const worker = await startWorker({ appPort: rawPort() });
    const client = Peer.to(worker.port);
    client.send(head(1, GET), head(3, GET));
    return { worker, client };
  };
  const status = async (client: Peer, streamId: number) => {
    await client.hears(FRAME.HEADERS, streamId);
    return client.heads.find((one) => one.streamId === streamId)?.fields[':status'];
  };

  test.each([
    ['speak HTTP/1.1', (socket: Socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['say nothing', (socket: Socket) => void socket.once('data', () => socket.end())],
  ])('that %s: the client is told', async (_what, act) => {
    serve = act;
    const { client } = await ask();
    expect(await status(client, 1)).toBe('502');
    await client.goesAway();
  });

  test('send heads, interim ones too, and trailers; what is the proxy’s own is not passed', async () => {
    const asked = nextApp();
    const { client } = await ask();
    const served = await asked;
    await served.hears(FRAME.HEADERS, 3);
    served.send(
      head(1, { ':status': '103', link: '</a>' }, false),
      head(1, { ':status': '200', 'set-cookie': 'appproxy_permit_1=x', 'x-own': 'y' }, false),
      data(1, 'body', false),
      head(1, { 'x-last': 'word' }),
    );
    await until(() => client.heads.length >= 3, 'all heads');
    expect(client.heads.map(({ fields }) => fields)).toEqual([
      { ':status': '103', link: '</a>' },
      { ':status': '200', 'x-own': 'y', 'access-control-allow-origin': '*' },
      { 'x-last': 'word' },
    ]);
  });

  test('may end an answer before the request; what still comes is given back', async () => {
    const asked = nextApp();
    const worker = await startWorker({ appPort: rawPort() });
    const client = Peer.to(worker.port);
    client.send(head(1, GET, false));
    const served = await asked;
    await served.hears(FRAME.HEADERS, 1);
    served.send(head(1, { ':status': '413' }), frame(FRAME.RST_STREAM, 0, 1, Buffer.alloc(4)));
    await client.hears(FRAME.RST_STREAM, 1);
    client.send(data(1, 'too late'));
    expect((await client.hears(FRAME.WINDOW_UPDATE, 0)).payload.readUInt32BE(0)).toBe(8);
    expect(worker.counters).toMatchObject({ answers: 1, pending: 0 });
  });

  test.each([
    ['push', (served: Peer) => served.send(frame(FRAME.PUSH_PROMISE, 4, 1, Buffer.alloc(4)))],
    ['send no valid head', (served: Peer) => served.send(frame(1, 4, 1, Buffer.from([0x80])))],
    ['are gone', (served: Peer) => served.socket.destroy()],
  ])('that %s after they began: the connection ends', async (_what, act) => {
    const asked = nextApp();
    const { client, worker } = await ask();
    const served = await asked;
    served.send(head(1, { ':status': '200' }, false));
    expect(await status(client, 1)).toBe('200');
    act(served);
    client.socket.end();
    await client.closes();
    await until(() => worker.counters.pending === 0, 'nothing is pending');
  });

  test('that answer what was not asked are not believed', async () => {
    const asked = nextApp();
    const { client } = await ask();
    const served = await asked;
    await served.hears(FRAME.HEADERS, 3);
    served.send(head(7, { ':status': '200' }), data(7, 'x'), head(1, { ':status': '9' }));
    await client.hears(FRAME.RST_STREAM, 1);
    served.send(head(3, { ':status': '204' }));
    expect(await status(client, 3)).toBe('204');
    expect(client.heard.some(({ streamId }) => streamId === 7)).toBe(false);
  });

  test('that answer with a body only: the request is broken off, others are not', async () => {
    const asked = nextApp();
    const { client, worker } = await ask();
    const served = await asked;
    await served.hears(FRAME.HEADERS, 3);
    served.send(data(1, 'body'));
    await client.hears(FRAME.RST_STREAM, 1);
    await served.hears(FRAME.RST_STREAM, 1);
    served.send(head(3, { ':status': '204' }));
    expect(await status(client, 3)).toBe('204');
    expect(client.heard.some(({ type }) => type === FRAME.DATA)).toBe(false);
    await until(() => worker.counters.pending === 0, 'nothing is pending');
  });
});
