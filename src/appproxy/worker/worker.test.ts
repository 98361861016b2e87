/** A worker between real connections: good clients, hostile ones, and applications that misbehave. */
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
import { type Clock, systemClock } from '../../common/clock.ts';
import { freePorts, testFrontend } from '../../testing/app-proxy.ts';
import { until } from '../../testing/until.ts';

setDefaultTimeout(60_000);

/** Time that can be moved on; timers come often, so that what is due is noticed soon. */
let offsetMs = 0;
const clock: Clock = {
  now: () => new Date(systemClock.now().getTime() + offsetMs),
  monotonicMs: () => systemClock.monotonicMs() + offsetMs,
  sleep: (ms, signal) => systemClock.sleep(ms, signal),
  timer: (ms, fn) => systemClock.timer(ms === CONNECT_MS ? ms : Math.min(ms, 20), fn),
};
const CONNECT_MS = 10_000;

interface App {
  readonly server: Server;
  readonly port: number;
  /** What connections of the worker do; set by each test. */
  serve: (socket: Socket) => void;
  connections: number;
}

async function startApp(): Promise<App> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    app.connections += 1;
    socket.on('error', () => {});
    app.serve(socket);
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const app: App = { server, port, serve: () => {}, connections: 0 };
  return app;
}

let app: App;
let worker: ReturnType<typeof testFrontend>;
let port: number;
const clients: Client[] = [];

beforeAll(async () => {
  app = await startApp();
  const ports = await freePorts(2);
  port = ports[0];
  worker = testFrontend({ appPort: app.port, ports, clock });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.socket.destroy();
  app.serve = () => {};
  app.connections = 0;
  worker.frontend.circuit(worker.info.id)?.idle.closeAll();
});
afterAll(() => {
  worker.frontend.stop();
  app.server.close();
});

/** A client that speaks for itself, and keeps what it hears. */
class Client {
  readonly socket: Socket;
  heard = '';
  isEnded = false;
  isClosed = false;

  constructor(to = port) {
    this.socket = dial({ port: to, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk) => {
      this.heard += chunk.toString('latin1');
    });
    this.socket.on('end', () => {
      this.isEnded = true;
    });
    this.socket.on('close', () => {
      this.isClosed = true;
    });
    this.socket.on('error', () => {});
    clients.push(this);
  }

  send(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  async hears(text: string): Promise<string> {
    await until(() => this.heard.includes(text), `the client hears ${JSON.stringify(text)}`);
    return this.heard;
  }

  async ends(): Promise<string> {
    await until(() => this.isEnded || this.isClosed, 'the connection ends');
    return this.heard;
  }
}

const GET = 'GET / HTTP/1.1\r\nHost: h\r\n\r\n';
const answer = (body: string, ...fields: string[]) =>
  `HTTP/1.1 200 OK\r\n${[...fields, `Content-Length: ${body.length}`].join('\r\n')}\r\n\r\n${body}`;

/** An application that answers each request with what `reply` says to its bytes. */
const replying = (reply: (request: string) => string | null) => (socket: Socket) => {
  let heard = '';
  socket.on('data', (chunk) => {
    heard += chunk.toString('latin1');
    const text = reply(heard);
    if (text === null) return;
    heard = '';
    socket.write(text, 'latin1');
  });
};
const whole = (request: string) => (request.includes('\r\n\r\n') ? request : null);

describe('requests', () => {
  test('that come together are answered one after the other, over one connection', async () => {
    const seen: string[] = [];
    app.serve = replying((request) => {
      if (whole(request) === null) return null;
      seen.push(request.split(' ')[1] ?? '');
      return answer(`<${seen.at(-1)}>`);
    });
    const client = new Client();
    client.send(['/1', '/2', '/3'].map((path) => GET.replace('/', path)).join(''));
    const heard = await client.hears('</3>');
    expect(heard.indexOf('</1>')).toBeLessThan(heard.indexOf('</2>'));
    expect(seen).toEqual(['/1', '/2', '/3']);
    expect(app.connections).toBe(1);
  });

  test('with bodies, in chunks and counted, arrive byte by byte', async () => {
    app.serve = replying((request) =>
      request.endsWith('0\r\n\r\n') || request.endsWith('12345') ? answer('taken') : null,
    );
    const client = new Client();
    const head = 'POST / HTTP/1.1\r\nHost: h\r\n';
    client.send(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    for (const byte of '3\r\nabc\r\n0\r\n\r\n') client.send(byte);
    await client.hears('taken');
    client.heard = '';
    client.send(`${head}Content-Length: 5\r\n\r\n`);
    for (const byte of '12345') client.send(byte);
    await client.hears('taken');
  });

  test('wait for leave to send their body', async () => {
    app.serve = replying((request) => {
      if (request.endsWith('body')) return answer('taken');
      return whole(request) && 'HTTP/1.1 100 Continue\r\n\r\n';
    });
    const client = new Client();
    client.send('PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
    await client.hears('100 Continue\r\n\r\n');
    client.send('body');
    await client.hears('taken');
  });

  test('without a body in the answer do not wait for one', async () => {
    app.serve = replying((request) => {
      if (request.startsWith('HEAD')) return 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n';
      return whole(request) && 'HTTP/1.1 204 No Content\r\n\r\n';
    });
    const client = new Client();
    client.send(GET.replace('GET', 'HEAD')).send(GET);
    expect(await client.hears('204')).toContain('Content-Length: 9');
  });

  test('are answered to the end of the connection where no length is told', async () => {
    app.serve = (socket) => void socket.end('HTTP/1.0 200 OK\r\n\r\nuntil the end');
    const client = new Client().send(GET);
    expect(await client.ends()).toContain('until the end');
    expect(client.heard).toContain('Connection: close');
  });

  test('find another connection when the idle one is over', async () => {
    app.serve = (socket) => {
      socket.once('data', () => {
        socket.write(answer('once'));
        // The next request on this connection finds it closed.
        socket.once('data', () => socket.destroy());
      });
    };
    const client = new Client().send(GET);
    await client.hears('once');
    client.heard = '';
    client.send(GET);
    await client.hears('once');
    expect(app.connections).toBe(2);
  });
});

describe('hostile clients', () => {
  test.each([
    [
      'both lengths',
      'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
    ],
    ['a folded encoding', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n'],
    ['a bare line feed', 'GET / HTTP/1.1\nHost: h\n\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n'],
  ])('with %s reach no application, and neither does what they hide', async (_what, head) => {
    const seen: string[] = [];
    app.serve = replying((request) => {
      seen.push(request);
      return answer('in');
    });
    const client = new Client().send(`${head}0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n`);
    expect(await client.ends()).toStartWith('HTTP/1.1 400');
    expect(client.heard.match(/^HTTP\/1\.1/gm)).toHaveLength(1);
    expect(seen).toEqual([]);
  });

  test('with a body that is not what it says are cut off', async () => {
    const closed = Promise.withResolvers<void>();
    app.serve = (socket) => void socket.on('close', () => closed.resolve()).resume();
    const client = new Client();
    client.send('POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n');
    expect(await client.ends()).toStartWith('HTTP/1.1 400');
    await closed.promise;
  });

  test('with an endless head are refused', async () => {
    const client = new Client().send(`GET / HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(70_000)}`);
    expect(await client.ends()).toStartWith('HTTP/1.1 431');
  });

  test('that take their time with a head or a body lose the connection, others do not', async () => {
    app.serve = replying((request) =>
      whole(request) && request.includes('GET') ? answer('in') : null,
    );
    const slowHead = new Client().send('GET / HTTP/1.1\r\nHo');
    const slowBody = new Client().send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx');
    const silent = new Client();
    const waiting = new Client().send(GET);
    await waiting.hears('in');
    await until(() => worker.frontend.openConnections >= 4, 'all are connected');
    await until(() => app.connections >= 2, 'the body is on its way');
    offsetMs += 61_000;
    await Promise.all([slowHead.ends(), slowBody.ends(), silent.ends()]);
    // A client between two requests may take 75 seconds.
    waiting.heard = '';
    await waiting.send(GET).hears('in');
  });

  test('that ask for what the application never answers can be waited for', async () => {
    let answerNow = () => {};
    app.serve = (socket) => {
      socket.once('data', () => {
        answerNow = () => void socket.write(answer('late'));
      });
    };
    const client = new Client().send(GET);
    await until(() => app.connections === 1, 'the application is asked');
    offsetMs += 3_600_000;
    await new Client().send('nonsense\r\n\r\n').ends();
    answerNow();
    await client.hears('late');
  });
});

describe('applications', () => {
  test('that are away, say nothing, or talk nonsense: the client is told', async () => {
    app.serve = (socket) => void socket.destroy();
    expect(await new Client().send(GET).ends()).toStartWith('HTTP/1.1 502');
    app.serve = replying((request) => whole(request) && 'SSH-2.0-x\r\n\r\n');
    expect(await new Client().send(GET).ends()).toStartWith('HTTP/1.1 502');
    app.serve = replying(
      (request) => whole(request) && `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`,
    );
    expect(await new Client().send(GET).ends()).toStartWith('HTTP/1.1 502');
    const page = await new Client()
      .send('GET / HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n')
      .ends();
    expect(page).toContain('<h1>Cannot connect to Backend.AI kernel.</h1>');
  });

  test('that break off in the middle of an answer: the client notices', async () => {
    app.serve = replying(
      (request) => whole(request) && 'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx',
    );
    const client = new Client().send(GET);
    await client.hears('\r\n\r\nx');
    app.server.getConnections(() => {});
    worker.frontend.circuit(worker.info.id)?.close();
    await client.ends();
  });

  test('cannot answer a request that was not made yet', async () => {
    app.serve = replying((request) => whole(request) && answer('one') + answer('poison'));
    const first = new Client().send(GET);
    await first.hears('one');
    app.serve = replying((request) => whole(request) && answer('two'));
    const second = new Client().send(GET);
    expect(await second.hears('two')).not.toContain('poison');
    expect(first.heard).not.toContain('poison');
  });
});

const UPGRADE =
  'GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Protocol: tty\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n';
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Protocol: tty\r\n\r\n';

describe('WebSockets', () => {
  test('pass bytes both ways, the subprotocol, and the end of either half', async () => {
    const ended = Promise.withResolvers<string>();
    app.serve = (socket) => {
      let heard = '';
      socket.on('data', (chunk) => {
        heard += chunk.toString('latin1');
        if (heard.endsWith('\r\n\r\n')) socket.write(`${SWITCHED}early`);
      });
      socket.on('end', () => {
        ended.resolve(heard);
        socket.end('bye');
      });
    };
    const client = new Client().send(UPGRADE);
    expect(await client.hears('early')).toContain('Sec-WebSocket-Protocol: tty');
    client.socket.end('\x00\xff last words', 'latin1');
    expect(await ended.promise).toEndWith('\x00\xff last words');
    expect(await client.ends()).toEndWith('bye');
  });

  test('that flood a reader who sleeps are slowed down, and others go on', async () => {
    const MiB = 1024 * 1024;
    const chunk = Buffer.alloc(MiB, 'f');
    let written = 0;
    app.serve = (socket) => {
      socket.on('data', (request) => {
        if (!request.toString().startsWith('GET /ws')) {
          socket.write(answer('others'));
          return;
        }
        socket.write(SWITCHED);
        const flood = () => {
          while (written < 1024 * MiB && socket.write(chunk)) written += MiB;
        };
        socket.on('drain', flood);
        flood();
      });
    };
    const sleeper = new Client();
    sleeper.socket.pause();
    sleeper.send(UPGRADE);
    let before = -1;
    await until(async () => {
      // Nothing moves any more once every buffer on the way is full.
      const isStill = written > 0 && written === before;
      before = written;
      await new Client().send(GET).hears('others');
      return isStill;
    }, 'the flood stands still');
    expect(written).toBeLessThan(64 * MiB);
  });

  test('that nobody asked for are not taken up', async () => {
    app.serve = replying((request) => whole(request) && SWITCHED);
    expect(await new Client().send(GET).ends()).toStartWith('HTTP/1.1 502');
  });
});

test('a circuit that is removed closes its port and what is open', async () => {
  app.serve = replying((request) => whole(request) && answer('in'));
  const ports = await freePorts(1);
  const other = testFrontend({ appPort: app.port, ports, clock });
  const client = new Client(ports[0]).send(GET);
  await client.hears('in');
  other.frontend.apply([]);
  await client.ends();
  expect(await new Client(ports[0]).ends()).toBe('');
  other.frontend.stop();
});

test('behind a proxy that is known its word about the client is believed', async () => {
  app.serve = replying((request) => whole(request) && answer(request));
  const ports = await freePorts(1);
  const other = testFrontend({
    ...{ appPort: app.port, ports, clock },
    circuit: { allowed_client_ips: '10.0.0.0/8' },
    settings: { trustedProxies: ['127.0.0.1', '192.0.2.1'] },
  });
  const from = (hops: string) =>
    new Client(ports[0]).send(`GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: ${hops}\r\n\r\n`);
  expect(await from('10.1.1.1, 192.0.2.1').hears('X-Forwarded-For: 10.1.1.1')).toContain('200 OK');
  expect(await from('10.1.1.1, 203.0.113.9').ends()).toStartWith('HTTP/1.1 403');
  expect(await new Client(ports[0]).send(GET).ends()).toStartWith('HTTP/1.1 403');
  other.frontend.stop();
});
