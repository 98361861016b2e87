/** Large bodies and streams through a worker, plain and encrypted: every byte, in order, once. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BunWebSocket } from '../../common/bun-websocket.ts';
import { freePorts, testFrontend } from '../../testing/app-proxy.ts';
import { exec } from '../../testing/bench/measure.ts';
import { missingTool, requireOrSkip } from '../../testing/services.ts';
import { until } from '../../testing/until.ts';

setDefaultTimeout(60_000);
const isReady =
  requireOrSkip(missingTool('openssl', 'openssl')) && requireOrSkip(missingTool('curl', 'curl'));

const MIB = 1024 * 1024;
/** No part of it is like another one. */
const DATA = Buffer.alloc(24 * MIB);
for (let at = 0; at < DATA.length; at += 4) DATA.writeUInt32LE((at * 2_654_435_761) % 2 ** 32, at);
const digest = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
const WHOLE = digest(DATA);

const folder = mkdtempSync(join(tmpdir(), 'bulk-'));
const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
let server: Server;
/** What the application does with a connection. */
let serve: (socket: Socket) => void = () => {};
const workers: ReturnType<typeof testFrontend>[] = [];
const ports = { plain: 0, encrypted: 0, tcp: 0 };

async function startWorker(options: Partial<Parameters<typeof testFrontend>[0]> = {}) {
  const range = await freePorts(2);
  const appPort = Number(Object(server.address()).port);
  workers.push(testFrontend({ appPort, ports: range, ...options }));
  return range[0];
}

beforeAll(async () => {
  if (!isReady) return;
  await exec([
    ...['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj'],
    ...['/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', tls.keyFile, '-out', tls.certFile],
  ]);
  server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ports.plain = await startWorker();
  ports.encrypted = await startWorker({ settings: { tls } });
  ports.tcp = await startWorker({ circuit: { protocol: 'tcp' } });
});
afterAll(() => {
  for (const { frontend } of workers) frontend.stop();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Writes as there is room. */
function pour(socket: Socket, pieces: readonly Uint8Array[], atEnd: () => void = () => {}): void {
  const queue = [...pieces];
  const next = () => {
    for (let piece = queue.shift(); piece !== undefined; piece = queue.shift()) {
      if (!socket.write(piece) && queue.length > 0) return;
    }
    socket.off('drain', next);
    atEnd();
  };
  socket.on('drain', next);
  next();
}

const pieces = (size: number): Buffer[] =>
  Array.from({ length: Math.ceil(DATA.length / size) }, (_none, index) =>
    DATA.subarray(index * size, (index + 1) * size),
  );
const chunks = pieces(5 * MIB + 3).flatMap((part) => [
  ...[Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')],
]);

const HEAD = 'HTTP/1.1 200 OK\r\n';
const answers = {
  counted: (socket: Socket) =>
    pour(socket, [Buffer.from(`${HEAD}Content-Length: ${DATA.length}\r\n\r\n`), DATA]),
  'in chunks': (socket: Socket) =>
    pour(socket, [
      Buffer.from(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`),
      ...[...chunks, Buffer.from('0\r\n\r\n')],
    ]),
  'to the end of the connection': (socket: Socket) =>
    pour(socket, [Buffer.from(`${HEAD}Connection: close\r\n\r\n`), DATA], () => socket.end()),
} as const;

/** Answers each request, which has no body. */
const answering = (answer: (socket: Socket) => void) => (socket: Socket) => {
  let heard = '';
  socket.on('data', (chunk) => {
    heard += chunk.toString('latin1');
    if (!heard.includes('\r\n\r\n')) return;
    heard = '';
    answer(socket);
  });
};

describe.skipIf(!isReady).each(['plain', 'encrypted'] as const)('an answer, %s,', (way) => {
  const origin = () => `${way === 'plain' ? 'http' : 'https'}://127.0.0.1:${ports[way]}`;

  test.each(['counted', 'in chunks', 'to the end of the connection'] as const)(
    '%s, twice in a row',
    async (kind) => {
      serve = answering(answers[kind]);
      const files = [join(folder, 'first'), join(folder, 'second')];
      const told = await exec([
        ...['curl', '-sS', '--cacert', tls.certFile, '-w', '%{num_connects} '],
        ...files.flatMap((file) => ['-o', file, `${origin()}/big`]),
      ]);
      for (const file of files) expect(digest(readFileSync(file))).toBe(WHOLE);
      // Where the end of the answer can be told the connection goes on.
      if (kind !== 'to the end of the connection') expect(told.trim()).toBe('1 0');
    },
  );
});

describe.skipIf(!isReady).each([
  ['plain', null],
  ['encrypted', tls],
] as const)('an upload, %s,', (_way, settings) => {
  test.each([
    ['counted', []],
    ['in chunks', ['-H', 'Transfer-Encoding: chunked']],
  ])('%s, twice in a row', async (_kind, options) => {
    await using digester = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: async (request) => new Response(digest(new Uint8Array(await request.arrayBuffer()))),
    });
    const port = await startWorker({ appPort: digester.port ?? 0, settings: { tls: settings } });
    const origin = `${settings === null ? 'http' : 'https'}://127.0.0.1:${port}`;
    const file = join(folder, 'upload');
    await Bun.write(file, DATA);
    const told = await exec([
      ...['curl', '-sS', '--cacert', tls.certFile, '-w', ' %{num_connects} ', ...options],
      ...['-T', file, `${origin}/one`, '-T', file, `${origin}/two`],
    ]);
    expect(told.trim()).toBe(`${WHOLE} 1 ${WHOLE} 0`);
  });
});

describe.skipIf(!isReady)('encrypted', () => {
  test('what is not encrypted gets no answer', async () => {
    serve = answering((socket) => socket.end(`${HEAD}Content-Length: 2\r\n\r\nno`));
    const url = `http://127.0.0.1:${ports.encrypted}/`;
    await expect(fetch(url, { keepalive: false })).rejects.toThrow();
  });

  test('WebSockets pass both ways', async () => {
    using echo = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response('no')),
      websocket: { message: (socket, message) => void socket.send(`${message}!`) },
    });
    const port = await startWorker({ appPort: echo.port ?? 0, settings: { tls } });
    const socket = new BunWebSocket(`wss://127.0.0.1:${port}/`, {
      tls: { ca: readFileSync(tls.certFile, 'utf8') },
    });
    let heard = '';
    socket.onopen = () => socket.send('hello');
    socket.onmessage = ({ data }) => {
      heard += String(data);
    };
    await until(() => heard === 'hello!', 'it is echoed');
    socket.close();
  });
});

describe.skipIf(!isReady)('a TCP circuit', () => {
  test('to a client that reads in fits and starts', async () => {
    serve = (socket) => pour(socket, [DATA], () => socket.end());
    const client = dial(ports.tcp, '127.0.0.1');
    const hash = createHash('sha256');
    let [sincePause, isOver] = [0, false];
    client.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      sincePause += chunk.length;
      if (sincePause < 2 * MIB) return;
      sincePause = 0;
      client.pause();
      setImmediate(() => client.resume());
    });
    client.on('end', () => {
      isOver = true;
    });
    await until(() => isOver, 'all has come');
    client.end();
    expect(hash.digest('hex')).toBe(WHOLE);
  });

  test('from a client, to an application that answers at the end', async () => {
    serve = (socket) => {
      const hash = createHash('sha256');
      socket.on('data', (chunk: Buffer) => void hash.update(chunk));
      socket.on('end', () => socket.end(hash.digest('hex')));
    };
    const client = dial({ port: ports.tcp, host: '127.0.0.1', allowHalfOpen: true });
    let heard = '';
    client.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
    });
    pour(client, pieces(MIB), () => client.end());
    await until(() => heard.length === WHOLE.length, 'the answer has come');
    expect(heard).toBe(WHOLE);
  });
});
