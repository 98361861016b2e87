/** A server behind the front: GET bodies of real clients, mixed connections, TLS, large and slow bodies. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRandom } from '../random.ts';
import { type FrontListener, type FrontOptions, type SocketEvents, serveFront } from './front.ts';

const LIMITS = { idleSec: 30, maxBodyBytes: 64 * 1024 * 1024, maxMessageBytes: 1024 * 1024 };

/** Says what it got; `/large` answers 8 MiB, a WebSocket what it is sent. */
const fetchBehind: FrontOptions['fetch'] = async (request, front) => {
  const { pathname } = new URL(request.url);
  if (pathname === '/large') return new Response(new Uint8Array(8 * 1024 * 1024).fill(7));
  if (pathname === '/socket') {
    let answer: (message: string | Uint8Array<ArrayBuffer>) => void = () => {};
    const data: SocketEvents = {
      opened(socket) {
        answer = (message) => void socket.send(message);
      },
      received: (message) => answer(message),
      drained() {},
      disconnected() {},
      close() {},
    };
    if (front.upgrade(request, { data })) return undefined;
    return new Response('no upgrade', { status: 400 });
  }
  const carrier = front.carrier(request);
  const body = Buffer.from(await carrier.arrayBuffer());
  return Response.json({
    method: request.method,
    body: body.length > 1000 ? createHash('sha256').update(body).digest('hex') : body.toString(),
    from: front.requestIP(request)?.address,
  });
};

let plain: FrontListener;
let secure: FrontListener;
let folder: string;
const certFile = () => join(folder, 'cert.pem');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'front-'));
  const keyFile = join(folder, 'key.pem');
  const made = Bun.spawn(
    [
      ...['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2'],
      ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
      ...['-keyout', keyFile, '-out', certFile()],
    ],
    { stdout: 'ignore', stderr: 'ignore' },
  );
  expect(await made.exited).toBe(0);
  const options = {
    ...{ hostname: '127.0.0.1', port: 0, random: systemRandom, fetch: fetchBehind },
    ...LIMITS,
  };
  plain = await serveFront(options);
  secure = await serveFront({ ...options, tls: { certFile: certFile(), keyFile } });
});
afterAll(async () => {
  await Promise.all([plain.close(), secure.close()]);
  await rm(folder, { recursive: true });
});

async function output(command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return text;
}

const echoed = (method: string, body: string) => ({ method, body, from: '127.0.0.1' });

describe('the body of a GET arrives', () => {
  test('from curl, by http and https, with and without a length', async () => {
    for (const [url, ...more] of [
      [`http://127.0.0.1:${plain.port}/`],
      [
        `https://localhost:${secure.port}/`,
        '--cacert',
        certFile(),
        '--resolve',
        `localhost:${secure.port}:127.0.0.1`,
      ],
      [`http://127.0.0.1:${plain.port}/`, '-H', 'Transfer-Encoding: chunked'],
    ]) {
      const text = await output(['curl', '-s', '-X', 'GET', '-d', '{"a":1}', ...more, url ?? '']);
      expect(JSON.parse(text)).toEqual(echoed('GET', '{"a":1}'));
    }
  });

  test("from Python's http.client, mixed with others on one connection", async () => {
    const script = `
import http.client, json, sys
c = http.client.HTTPConnection('127.0.0.1', ${plain.port})
for method, body in [('GET', None), ('GET', '{"name": "x"}'), ('POST', 'p'), ('GET', 'y' * 100), ('HEAD', None), ('GET', None)]:
    c.request(method, '/', body=body, headers={'Content-Type': 'application/json'})
    r = c.getresponse()
    text = r.read().decode()
    print(text if method != 'HEAD' else json.dumps(r.status))
`;
    const lines = (await output(['python3', '-c', script])).trim().split('\n');
    expect(lines.map((line): unknown => JSON.parse(line))).toEqual([
      echoed('GET', ''),
      echoed('GET', '{"name": "x"}'),
      echoed('POST', 'p'),
      echoed('GET', 'y'.repeat(100)),
      200,
      echoed('GET', ''),
    ]);
  });

  test('when it is large and comes slowly', async () => {
    const body = Buffer.from(systemRandom.bytes(3_000_000));
    const answer = await new Promise<string>((resolve, reject) => {
      const request = http.request(
        {
          host: '127.0.0.1',
          port: plain.port,
          method: 'GET',
          path: '/',
          headers: { 'Content-Length': body.length },
        },
        (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => {
            text += chunk.toString();
          });
          response.on('end', () => resolve(text));
        },
      );
      request.on('error', reject);
      for (let at = 0; at < body.length; at += 100_000)
        request.write(body.subarray(at, at + 100_000));
      request.end();
    });
    expect(JSON.parse(answer)).toEqual(
      echoed('GET', createHash('sha256').update(body).digest('hex')),
    );
  });
});

test('answers to requests sent at once come in their order', async () => {
  const text = await new Promise<string>((resolve, reject) => {
    let got = '';
    const socket = connect(plain.port, '127.0.0.1', () =>
      socket.write(
        'GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\nHost: h\r\n\r\n' +
          'GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nthree',
      ),
    );
    socket.on('data', (chunk) => {
      got += chunk.toString();
    });
    socket.on('close', () => resolve(got));
    socket.on('error', reject);
  });
  const bodies = [...text.matchAll(/"body":"(\w*)"/g)].map(([, body]) => body);
  expect(bodies).toEqual(['one', '', 'three']);
});

test('what cannot be framed is refused, and the connection closed', async () => {
  const text = await new Promise<string>((resolve, reject) => {
    let got = '';
    const socket = connect(plain.port, '127.0.0.1', () =>
      socket.write('GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n'),
    );
    socket.on('data', (chunk) => {
      got += chunk.toString();
    });
    socket.on('close', () => resolve(got));
    socket.on('error', reject);
  });
  expect(text).toStartWith('HTTP/1.1 400 ');
});

test('large answers arrive whole at a client that reads slowly', async () => {
  const response = await fetch(`http://127.0.0.1:${plain.port}/large`);
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    // Others get their turn between the parts.
    await new Promise(setImmediate);
  }
  expect(bytes).toBe(8 * 1024 * 1024);
});

test('WebSockets pass both ways, after a refused upgrade too', async () => {
  const refused = await fetch(`http://127.0.0.1:${plain.port}/socket`, {
    headers: { Upgrade: 'nothing' },
  });
  expect(refused.status).toBe(400);
  await refused.text();
  const socket = new WebSocket(`ws://127.0.0.1:${plain.port}/socket`);
  const message = 'GET / HTTP/1.1\r\n\r\n'.repeat(10_000);
  const got = await new Promise((resolve, reject) => {
    socket.addEventListener('open', () => socket.send(message));
    socket.addEventListener('message', ({ data }) => resolve(data));
    socket.addEventListener('error', reject);
  });
  expect(got).toBe(message);
  socket.close();
});

test('more clients than can be let in at once are all served', async () => {
  const answers = await Promise.all(
    Array.from({ length: 400 }, async (_, index) => {
      const response = await fetch(`http://127.0.0.1:${plain.port}/`, {
        ...{ method: 'POST', body: String(index), keepalive: false },
        headers: { Connection: 'close' },
      });
      return response.json();
    }),
  );
  expect(answers).toEqual(answers.map((_, index) => echoed('POST', String(index))));
});

test('an address that is taken is refused', async () => {
  const again = serveFront({
    ...{ hostname: '127.0.0.1', port: plain.port, random: systemRandom, fetch: fetchBehind },
    ...LIMITS,
  });
  await expect(again).rejects.toHaveProperty('code', 'EADDRINUSE');
});
