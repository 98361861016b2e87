/** Uploads by unmodified clients over a network that breaks them off, again and again, in their bodies. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Upload } from 'tus-js-client';
import { seeded } from '../../testing/seeded.ts';
import { startTestStorage, type TestStorage } from '../../testing/storage.ts';

const TIMEOUT_MS = 120_000;
const BREAKS = 50;
/** The earliest point of a break: behind the head of any request, which carries a token. Bytes. */
const FIRST_POINT = 2_000;
const LAST_POINT = 100_000;
/** More than can get through in all of the breaks. */
const FILE_BYTES = BREAKS * LAST_POINT + 1_000_000;

let storage: TestStorage;
beforeAll(async () => {
  storage = await startTestStorage();
});
afterAll(() => storage.discard());

interface Network {
  readonly port: number;
  /** How many connections were broken off so far. */
  breaks(): number;
  close(): Promise<void>;
}

/** Leads to a port of this machine; breaks `BREAKS` connections off, each at a point of its own. */
async function breakingNetwork(port: number, random: () => number): Promise<Network> {
  let breaks = 0;
  const open = new Set<Socket>();
  const pass = (client: Socket): void => {
    const server = connect(port, '127.0.0.1');
    const point = FIRST_POINT + Math.floor(random() * (LAST_POINT - FIRST_POINT));
    // One end may hear of it in order, or not: the network sends a reset, or just ends.
    const isReset = random() < 0.5;
    let passed = 0;
    for (const socket of [client, server]) {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
    }
    client.on('data', (data) => {
      const left = point - passed;
      passed += data.length;
      if (breaks < BREAKS && passed >= point) {
        breaks += 1;
        server.end(Buffer.from(data).subarray(0, left), () => server.destroy());
        if (isReset) client.resetAndDestroy();
        else client.destroy();
      } else if (!server.write(data)) {
        client.pause();
        server.once('drain', () => client.resume());
      }
    });
    server.pipe(client);
    client.on('end', () => server.end());
    client.on('error', () => server.destroy());
    server.on('error', () => client.destroy());
  };
  const listener = createServer(pass);
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('not on a port');
  return {
    port: address.port,
    breaks: () => breaks,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

/** The same bytes for the same seed. */
function contentOf(random: () => number): Buffer {
  const words = new Uint32Array(FILE_BYTES / 4);
  for (let i = 0; i < words.length; i++) words[i] = random() * 4_294_967_296;
  return Buffer.from(words.buffer);
}

/** Has a client upload over the network, and checks what there is in the end. */
async function uploadBy(
  client: (url: string, content: Buffer) => Promise<void>,
  seed: number,
): Promise<void> {
  const random = seeded(seed);
  const content = contentOf(random);
  const folder = await storage.newFolder();
  const url = await storage.clientAddress('upload', {
    ...{ ...folder, relpath: 'x', size: content.length },
  });
  const network = await breakingNetwork(Number(url.port), random);
  try {
    url.port = String(network.port);
    await client(String(url), content);
    expect(network.breaks()).toBe(BREAKS);
  } finally {
    await network.close();
  }
  expect(sha256(readFileSync(join(folder.path, 'x')))).toBe(sha256(content));
  expect(readdirSync(folder.path)).toEqual(['x']);
}

function byTusJsClient(uploadUrl: string, content: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const upload = new Upload(content, {
      uploadUrl,
      // Without progress, however unlikely, each break takes another one of these.
      retryDelays: new Array(BREAKS + 1).fill(1),
      storeFingerprintForResuming: false,
      onSuccess: () => resolve(),
      onError: reject,
    });
    upload.start();
  });
}

async function curl(args: readonly string[], input: Uint8Array | null = null) {
  const command = ['curl', '--silent', '--max-time', '60', '-H', 'Tus-Resumable: 1.0.0', ...args];
  const child = Bun.spawn(command, { stdin: input ?? 'ignore', stdout: 'pipe' });
  const out = await new Response(child.stdout).text();
  return { exitCode: await child.exited, out };
}

async function byCurl(url: string, content: Buffer): Promise<void> {
  for (let tries = 0; tries <= BREAKS; tries++) {
    const head = await curl(['--head', '--fail', url]);
    expect(head.exitCode).toBe(0);
    const offset = Number(/^upload-offset: (\d+)\r$/im.exec(head.out)?.[1]);
    const type = 'Content-Type: application/offset+octet-stream';
    const { exitCode } = await curl(
      [
        ...['--request', 'PATCH', '--fail', '-H', type, '-H', `Upload-Offset: ${offset}`],
        ...['--data-binary', '@-', url],
      ],
      content.subarray(offset),
    );
    if (exitCode === 0) return;
  }
  throw new Error('curl could not finish, though no connection broke any more');
}

test(
  'tus-js-client, broken off at fifty points, leaves the right file',
  () => uploadBy(byTusJsClient, 20_261),
  TIMEOUT_MS,
);

test(
  'curl, broken off at fifty points, leaves the right file',
  () => uploadBy(byCurl, 20_262),
  TIMEOUT_MS,
);
