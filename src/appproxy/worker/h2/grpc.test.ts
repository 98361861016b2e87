/** gRPC through a worker, with its own client and server; `curl`, which is no gRPC client. */
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { systemClock } from '../../../common/clock.ts';
import { errorMessage } from '../../../common/errors.ts';
import { systemRandom } from '../../../common/random.ts';
import { freePorts, PROXY_SECRETS, testFrontend } from '../../../testing/app-proxy.ts';
import { exec } from '../../../testing/bench/measure.ts';
import { type GrpcApp, GrpcClient, startGrpcApp } from '../../../testing/grpc.ts';
import { missingTool, requireOrSkip } from '../../../testing/services.ts';
import { until } from '../../../testing/until.ts';
import { permitCookie } from '../../shared/permits.ts';

setDefaultTimeout(60_000);
const MIB = 1024 * 1024;
const hasTools =
  requireOrSkip(missingTool('openssl', 'openssl')) && requireOrSkip(missingTool('curl', 'curl'));

const folder = mkdtempSync(join(tmpdir(), 'grpc-'));
const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
let app: GrpcApp;
const workers: ReturnType<typeof testFrontend>[] = [];
const clients: GrpcClient[] = [];

async function startWorker(options: Partial<Parameters<typeof testFrontend>[0]> = {}) {
  const ports = await freePorts(1);
  const worker = testFrontend({
    ...{ appPort: app.port, ports, clock: systemClock },
    ...options,
    circuit: { protocol: 'grpc', ...options.circuit },
  });
  workers.push(worker);
  return { ...worker, port: ports[0] };
}
const grpcTo = (port: number, ca?: Buffer) => {
  const client = new GrpcClient(`127.0.0.1:${port}`, ca);
  clients.push(client);
  return client;
};

/** Why a call failed. `rejects` of the test runner would keep the client's sockets from going on. */
const refusal = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'in',
    (error: unknown) => errorMessage(error),
  );

beforeAll(async () => {
  app = await startGrpcApp();
  if (!hasTools) return;
  await exec([
    ...['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj'],
    ...['/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
    ...['-keyout', tls.keyFile, '-out', tls.certFile],
  ]);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  for (const { frontend } of workers.splice(0)) frontend.stop();
});
afterAll(() => {
  app.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('gRPC', () => {
  test('metadata, trailers and messages of every kind of call pass', async () => {
    const worker = await startWorker();
    const client = grpcTo(worker.port);
    const { text, trailers } = await client.metadata({
      'x-own': 'yes',
      'x-bytes-bin': Buffer.from([0, 1]),
      'x-forwarded-for': '203.0.113.9',
      cookie: `a=b; ${permitCookie(worker.info)}=secret; c=d`,
    });
    expect(JSON.parse(text)).toMatchObject({
      ...{ 'x-own': ['yes'], cookie: ['a=b; c=d'], 'x-forwarded-for': ['127.0.0.1'] },
      ...{ 'x-forwarded-proto': ['http'], 'x-forwarded-port': [String(worker.port)] },
    });
    expect(trailers.get('x-last')).toEqual(['word']);
    expect(await client.count(8 * MIB)).toBe(8 * MIB);
    expect(worker.counters).toMatchObject({ requests: 2, answers: 2, pending: 0, refusals: 0 });
    expect(worker.frontend.circuit(worker.info.id)?.held).toBe(0);
  });

  test('both sides of a stream speak when they like', async () => {
    const worker = await startWorker();
    const echo = grpcTo(worker.port).echo();
    const heard: string[] = [];
    echo.on('data', (bytes: Buffer) => heard.push(bytes.toString()));
    for (const word of ['one', 'two', 'three']) {
      echo.write(Buffer.from(word));
      await until(() => heard.at(-1) === word, `'${word}' comes back`);
    }
    expect(worker.frontend.circuit(worker.info.id)?.held).toBe(1);
    echo.end();
    await new Promise((resolve) => echo.once('end', resolve));
    await until(() => worker.counters.pending === 0, 'the stream is over');
  });

  test('a long answer passes whole, and one that is cancelled ends for the application', async () => {
    const worker = await startWorker();
    const client = grpcTo(worker.port);
    let bytes = 0;
    const whole = client.flood(8 * MIB);
    whole.on('data', (piece: Buffer) => {
      bytes += piece.length;
    });
    await new Promise((resolve) => whole.once('end', resolve));
    expect(bytes).toBe(8 * MIB);
    const endless = client.flood(2 ** 50);
    endless.on('error', () => {});
    await new Promise((resolve) => endless.once('data', resolve));
    endless.cancel();
    await until(() => worker.counters.pending === 0, 'the stream is over');
    expect((await client.metadata()).trailers.get('x-last')).toEqual(['word']);
  });

  test('a visitor without a permit is told in gRPC; one with it gets in', async () => {
    const worker = await startWorker({ circuit: { open_to_public: false } });
    const client = grpcTo(worker.port);
    expect(await refusal(client.metadata())).toStartWith('16 UNAUTHENTICATED: E20004');
    const cookie = `${permitCookie(worker.info)}=${worker.permits.issue(worker.info)}`;
    const { text } = await client.metadata({ cookie });
    expect(JSON.parse(text)).not.toHaveProperty('cookie');
    // The connection is let in, the next request on it is not.
    expect(await refusal(client.metadata({ cookie: `${cookie}x` }))).toContain('E20005');
    expect((await client.metadata({ cookie })).text).toContain('x-forwarded-for');
  });

  test('a served model wants a token, and only for itself; it does not see it', async () => {
    const worker = await startWorker({ circuit: { open_to_public: false, app_mode: 'inference' } });
    const client = grpcTo(worker.port);
    const sign = (secret: string, id: string) =>
      new SignJWT({ id }).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.from(secret));
    const good = await sign(PROXY_SECRETS.jwt, worker.info.id);
    for (const [why, fields] of [
      ['E20006', {}],
      ['E20007', { authorization: `Basic ${good}` }],
      ['E20008', { authorization: `Bearer ${await sign('another secret', worker.info.id)}` }],
      ['E20009', { authorization: `Bearer ${await sign(PROXY_SECRETS.jwt, systemRandom.uuid())}` }],
    ] as const) {
      expect(await refusal(client.metadata({ ...fields }))).toStartWith(
        `16 UNAUTHENTICATED: ${why}`,
      );
    }
    // All at once: what comes while the first token is looked at waits.
    const authorization = `Bearer ${good}`;
    const all = await Promise.all([1, 2, 3].map(() => client.metadata({ authorization })));
    for (const { text } of all) expect(JSON.parse(text)).not.toHaveProperty('authorization');
    expect(worker.counters).toMatchObject({ requests: 3, refusals: 4 });
  });

  test('an application that is away is unavailable', async () => {
    const [port] = await freePorts(1);
    const worker = await startWorker({ appPort: port });
    expect(await refusal(grpcTo(worker.port).metadata())).toStartWith('14 UNAVAILABLE: The app');
  });

  test.skipIf(!hasTools)('TLS agrees on HTTP/2', async () => {
    const worker = await startWorker({ settings: { tls } });
    const client = grpcTo(worker.port, readFileSync(tls.certFile));
    const { text } = await client.metadata();
    expect(JSON.parse(text)).toMatchObject({ 'x-forwarded-proto': ['https'] });
  });
});

/** What `curl` gets: head and body. */
const curl = async (...args: string[]) => {
  const run = Bun.spawn(['curl', '-sS', '-D', '-', '--cacert', tls.certFile, ...args], {
    stdout: 'pipe',
    stderr: 'inherit',
  });
  return await new Response(run.stdout).text();
};

describe.skipIf(!hasTools)('visitors that are no gRPC clients', () => {
  test('get a page or a document, in HTTP/2', async () => {
    const worker = await startWorker({ settings: { tls }, circuit: { open_to_public: false } });
    const url = `https://127.0.0.1:${worker.port}/`;
    const document = await curl(url);
    expect(document).toStartWith('HTTP/2 401');
    expect(document).toContain('E20004');
    expect(await curl('-H', 'Accept: text/html', url)).toContain('<h1>Authentication');
  });

  test('that speak HTTP/1.1 are told so', async () => {
    const plain = await startWorker();
    expect(await curl(`http://127.0.0.1:${plain.port}/`)).toMatch(
      /^HTTP\/1.1 505[\s\S]*HTTP\/2 only/,
    );
    const encrypted = await startWorker({ settings: { tls } });
    const url = `https://127.0.0.1:${encrypted.port}/`;
    expect(await curl('--http1.1', url)).toStartWith('HTTP/1.1 505');
  });
});
