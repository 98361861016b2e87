/** Uploads and downloads over connections that break in the middle, on a real storage proxy. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { type TestFolders, testFolders } from '../testing/folders.ts';
import { Client } from './client.ts';
import { readClientConfig } from './config.ts';

let t: TestFolders;
let client: Client;
let id: string;
let line: net.Server;
let addresses: Map<string, string>;
/** How many bytes a connection carries before it is cut; infinite: it is left alone. */
let carries = Number.POSITIVE_INFINITY;
let cuts = 0;
const here = mkdtempSync(join(tmpdir(), 'transfer-'));

beforeAll(async () => {
  t = await testFolders();
  const { accessKey, secretKey } = t.people.user;
  client = new Client(
    readClientConfig({
      BACKEND_ENDPOINT: t.url,
      BACKEND_ACCESS_KEY: accessKey,
      BACKEND_SECRET_KEY: secretKey,
    }),
  );
  id = await t.make('user', 'files');
  const { port } = new URL(t.storage.clientUrl);
  line = net.createServer((near) => {
    const far = net.connect(Number(port), '127.0.0.1');
    let left = carries;
    const count = (chunk: Buffer) => {
      left -= chunk.length;
      if (left > 0) return;
      cuts += 1;
      carries = Math.ceil(carries * 1.5);
      near.destroy();
      far.destroy();
    };
    near.on('data', count).on('error', () => far.destroy());
    far.on('data', count).on('error', () => near.destroy());
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => line.listen(0, '127.0.0.1', resolve));
  const { port: linePort } = v.parse(v.object({ port: v.number() }), line.address());
  const through = `http://127.0.0.1:${linePort}`;
  addresses = new Map(
    ['upload', 'download'].map((name) => [`${t.storage.clientUrl}/${name}`, `${through}/${name}`]),
  );
});
afterAll(async () => {
  line.close();
  await t.close();
  rmSync(here, { recursive: true });
});

const content = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => (index * 31) % 251));
const settings = { chunkBytes: 128 * 1024, maxRetries: 20 };

test('what is broken off goes on, and is whole in the end', async () => {
  const ticket = await client.folder.uploadTicket(id, 'big', content.length);
  carries = 20_000;
  cuts = 0;
  const seen: number[] = [];
  await client.folder.transfer.upload(ticket, new Blob([content]), {
    ...settings,
    addresses,
    report: (done) => seen.push(done),
  });
  expect(cuts).toBeGreaterThan(2);
  expect(seen.at(-1)).toBe(content.length);
  carries = 20_000;
  cuts = 0;
  const path = join(here, 'big');
  const from = await client.folder.downloadTicket(id, 'big');
  await client.folder.transfer.download(from, path, { ...settings, addresses });
  expect(cuts).toBeGreaterThan(2);
  expect(readFileSync(path).equals(content)).toBe(true);
}, 60_000);

test('breaks without end, and refusals, are told', async () => {
  const ticket = await client.folder.uploadTicket(id, 'never', 10);
  const gone = new Map([[ticket.url, 'http://127.0.0.1:9/upload']]);
  const options = { ...settings, maxRetries: 1, addresses: gone };
  await expect(
    client.folder.transfer.upload(ticket, new Blob(['0123456789']), options),
  ).rejects.toThrow();
  const stale = { ...(await client.folder.downloadTicket(id, 'big')), token: 'wrong' };
  await expect(
    client.folder.transfer.download(stale, join(here, 'stale'), settings),
  ).rejects.toThrow(/400|token|parameters/i);
  await expect(
    client.folder.transfer.upload(ticket, new Blob(['x']), { ...settings, addresses: new Map() }),
  ).rejects.toThrow('No other address');
});
