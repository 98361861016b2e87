/** One exchange where the client takes nothing yet, and connections that break off in the middle. */
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
import type { TCPSocketListener } from 'bun';
import { freePorts, testFrontend } from '../../../testing/app-proxy.ts';
import { until } from '../../../testing/until.ts';
import { listenForWires, type Wire } from '../wire.ts';
import { Exchange, type ExchangeClient } from './exchange.ts';
import { requestHeadFor } from './forward.ts';
import { parseRequestHead } from './head.ts';

setDefaultTimeout(60_000);
const MIB = 1024 * 1024;
let app: Server;
let serve: (socket: Socket) => void = () => {};
let worker: ReturnType<typeof testFrontend>;
let tcp: ReturnType<typeof testFrontend>;
const ports = { http: 0, tcp: 0 };
const sockets: Socket[] = [];
const listeners: TCPSocketListener<Wire>[] = [];

beforeAll(async () => {
  app = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.once('data', () => serve(socket));
  });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  const appPort = Number(Object(app.address()).port);
  const [first, second] = [await freePorts(1), await freePorts(1)];
  [ports.http, ports.tcp] = [first[0], second[0]];
  worker = testFrontend({ appPort, ports: first });
  tcp = testFrontend({ appPort, ports: second, circuit: { protocol: 'tcp' } });
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const listener of listeners.splice(0)) listener.stop(true);
});
afterAll(() => {
  worker.frontend.stop();
  tcp.frontend.stop();
  app.close();
});

/** A client that does not read, with as much on the way to it as there is room for. */
async function stuffedClient() {
  const accepted = Promise.withResolvers<Wire>();
  const listener = listenForWires({ hostname: '127.0.0.1', port: 0, tls: null }, accepted.resolve);
  listeners.push(listener);
  const socket = dial(listener.port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => {});
  socket.pause();
  const wire = await accepted.promise;
  const filler = Buffer.alloc(MIB, 'f');
  let filled = 0;
  while (wire.isDrained) {
    wire.write(filler);
    filled += filler.length;
  }
  const circuit = worker.frontend.circuit(worker.info.id);
  if (circuit === null) throw new Error('the circuit is not served');
  const head = parseRequestHead('GET / HTTP/1.1\r\nHost: h');
  const facts = { scheme: 'http', clientAddress: '', app: '', hidesAuthorization: false } as const;
  let isStalled = false;
  const client: ExchangeClient = {
    wire,
    malformed() {},
    unanswered() {},
    stalled() {
      isStalled = true;
    },
    broken() {},
    answered() {},
    upgraded() {},
  };
  const exchange = new Exchange(client, circuit, head, requestHeadFor(head, facts));
  wire.owner = {
    received() {},
    drained: () => exchange.clientDrained(),
    ended() {},
    closed: () => exchange.abort(),
  };
  exchange.start(() => {});
  return { socket, filled, isStalled: () => isStalled };
}

describe('a client that does not read', () => {
  test('loses nothing of an answer whose first part comes with its head', async () => {
    const part = Buffer.alloc(100_000, 'p');
    serve = (socket) =>
      void socket.write(
        Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n'), part]),
      );
    const { socket, filled, isStalled } = await stuffedClient();
    await until(isStalled, 'the answer has begun');
    let [fillers, parts] = [0, 0];
    socket.on('data', (chunk) => {
      for (const byte of chunk) {
        if (byte === 0x66) fillers += 1;
        else if (byte === 0x70) parts += 1;
      }
    });
    socket.resume();
    // Heads have a "p" or two of their own, and no "f".
    await until(() => fillers >= filled && parts >= part.length, 'all has come');
  });

  test('slows down an application that hints without end', async () => {
    const hints = Buffer.from('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(10_000));
    let written = 0;
    let app: Socket | null = null;
    serve = (socket) => {
      app = socket;
      const flood = () => {
        while (written < 512 * MIB && socket.write(hints)) written += hints.length;
      };
      socket.on('drain', flood);
      flood();
    };
    await stuffedClient();
    let [before, stillness] = [-1, 0];
    await until(() => {
      stillness = written === before && app?.writableNeedDrain ? stillness + 1 : 0;
      before = written;
      return stillness > 20;
    }, 'the flood stands still');
    expect(written).toBeLessThan(64 * MIB);
  });
});

describe('an application that breaks off', () => {
  /** How a client's connection ends. */
  const ending = (port: number) =>
    new Promise<string>((resolve) => {
      const socket = dial(port, '127.0.0.1', () =>
        socket.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n'),
      );
      sockets.push(socket);
      socket.resume();
      socket.on('end', () => resolve('end'));
      socket.on('error', (error) => resolve(String(Object(error).code)));
    });

  test.each([
    ['after little', 100],
    // Moved past the runtime, by which the end is noticed as well.
    ['after much', 300_000],
  ])(
    '%s has not ended: the client is told, also where only the end tells how long it is',
    async (_what, bytes) => {
      serve = (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        socket.write(Buffer.alloc(bytes), () => socket.resetAndDestroy());
      };
      expect(await ending(ports.http)).toBe('ECONNRESET');
      expect(await ending(ports.tcp)).toBe('ECONNRESET');
    },
  );

  test('and one that ends has ended', async () => {
    serve = (socket) => void socket.end(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(300_000)}`);
    expect(await ending(ports.http)).toBe('end');
    expect(await ending(ports.tcp)).toBe('end');
  });
});
