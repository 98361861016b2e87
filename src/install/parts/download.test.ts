/** Fetching large files: to the end, also after breaks and restarts; never too much, never the wrong one. */
import { afterAll, beforeEach, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { type Download, fetchFile } from './download.ts';

const content = Buffer.from('0123456789'.repeat(30_000));
const sha256 = createHash('sha256').update(content).digest('hex');
const home = mkdtempSync(join(tmpdir(), 'bai-download-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(home, 'one-'));
});

/** Pauses between attempts are none. */
const clock = { ...systemClock, sleep: async () => undefined };

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Buffer;
  /** The connection stays open, and nothing more comes. */
  readonly stalls?: boolean;
}

/** A server that answers each request as it is told, be it with less than it promises. */
function serve(answer: (headers: ReadonlyMap<string, string>, nth: number) => Answer) {
  let count = 0;
  const stalled = new Set<{ end(): void }>();
  const server = Bun.listen({
    ...{ hostname: '127.0.0.1', port: 0 },
    socket: {
      data(socket, data) {
        count += 1;
        const lines = data.toString().split('\r\n').slice(1);
        const headers = new Map(
          lines.map((line) => {
            const [name = '', ...rest] = line.split(': ');
            return [name.toLowerCase(), rest.join(': ')] as const;
          }),
        );
        const { status, headers: own = {}, body, stalls = false } = answer(headers, count);
        const head = Object.entries({ connection: 'close', ...own });
        socket.write(
          `HTTP/1.1 ${status} X\r\n${head.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
        );
        if (body !== undefined) socket.write(body);
        if (stalls) stalled.add(socket);
        else socket.end();
      },
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}/file.tgz`,
    get count() {
      return count;
    },
    /** Ends the connections that stay open. */
    cut() {
      for (const socket of stalled) socket.end();
      stalled.clear();
    },
    [Symbol.dispose]: () => server.stop(true),
  };
}

const whole = { status: 200, headers: { 'content-length': content.length }, body: content };
const tagged = (etag: string) => ({ ...whole.headers, etag });

function wanted(url: string, part: Partial<Download> = {}): Download {
  return {
    ...{ url, path: join(folder, 'file.tgz'), maxBytes: 1_000_000, sha256, silenceMs: 20_000 },
    options: { url: '--place', sha256: '--sum' },
    ...part,
  };
}

function run(download: Download, onProgress: () => void = () => undefined) {
  const progress: string[] = [];
  const tell = (text: string) => {
    progress.push(text);
    onProgress();
  };
  const signal = new AbortController().signal;
  const context = { log: () => undefined, progress: tell, signal };
  return fetchFile(download, clock, context).then(() => progress);
}

/** As an installer that was killed leaves it. */
function leaveAPart(): void {
  writeFileSync(join(folder, 'file.tgz.part'), content.subarray(0, 100_000));
  writeFileSync(join(folder, 'file.tgz.part.of'), '"old"');
}

const files = () => readdirSync(folder).sort();

test('the whole file, with how far it is', async () => {
  using server = serve(() => whole);
  const progress = await run(wanted(server.url));
  expect(readFileSync(join(folder, 'file.tgz')).equals(content)).toBe(true);
  expect(progress.at(-1)).toMatch(/^293\.0K of 293\.0K, 100 %$/);
  expect(files()).toEqual(['file.tgz']);
});

test('a connection that breaks is gone on with, and not from the beginning', async () => {
  const asked: (string | undefined)[] = [];
  using server = serve((headers, nth) => {
    asked.push(headers.get('range'));
    if (nth === 1) {
      const body = content.subarray(0, 100_000);
      return { ...whole, headers: tagged('"a"'), body, stalls: true };
    }
    const from = Number(/=(\d+)-/.exec(headers.get('range') ?? '')?.[1]);
    expect(headers.get('if-range')).toBe('"a"');
    const body = content.subarray(from);
    return { status: 206, headers: { 'content-length': body.length, etag: '"a"' }, body };
  });
  // Cut once something has come.
  await run(wanted(server.url), () => server.cut());
  expect(asked[0]).toBeUndefined();
  expect(Number(/=(\d+)-/.exec(asked[1] ?? '')?.[1])).toBeGreaterThan(0);
  expect(readFileSync(join(folder, 'file.tgz')).equals(content)).toBe(true);
});

test('what a killed installer has left is used, unless the file is another one now', async () => {
  leaveAPart();
  // As a server does that has a new one: all of it, though a part was asked for.
  using server = serve((headers) => {
    expect(headers.get('if-range')).toBe('"old"');
    return { ...whole, headers: tagged('"new"') };
  });
  await run(wanted(server.url));
  expect(readFileSync(join(folder, 'file.tgz')).equals(content)).toBe(true);
});

test('a part that the server cannot go on with is thrown away', async () => {
  leaveAPart();
  using server = serve((headers) => (headers.has('range') ? { status: 416 } : whole));
  await run(wanted(server.url));
  expect(server.count).toBe(2);
});

test('another file than the one that is meant is refused, and not kept', async () => {
  using server = serve(() => whole);
  const wrong = wanted(server.url, { sha256: 'f'.repeat(64) });
  await expect(run(wrong)).rejects.toMatchObject({
    message: expect.stringContaining(`its SHA-256 is ${sha256}`),
    hint: expect.stringContaining('--sum'),
  });
  expect(files()).toEqual([]);
});

test.each([
  ['said', { 'content-length': content.length }],
  ['not said', {}],
])('more than is taken is refused, its size %s', async (_, headers) => {
  using server = serve(() => ({ ...whole, headers }));
  const small = wanted(server.url, { maxBytes: 1000 });
  await expect(run(small)).rejects.toThrow('at most 1000 are taken');
  expect([files(), server.count]).toEqual([[], 1]);
});

test('a place without the file is told at once, one that is ill after some attempts', async () => {
  using server = serve(() => ({ status: 404 }));
  await expect(run(wanted(server.url))).rejects.toMatchObject({
    message: expect.stringContaining('answered 404'),
    hint: expect.stringContaining('--place'),
  });
  expect(server.count).toBe(1);
  using ill = serve(() => ({ status: 503 }));
  await expect(run(wanted(ill.url))).rejects.toThrow('could not be fetched: http://127');
  expect(ill.count).toBe(5);
  await expect(run(wanted('http://127.0.0.1:1/file'))).rejects.toThrow('could not be fetched');
});

test('a server that falls silent is not waited for', async () => {
  using server = serve(() => ({ ...whole, body: content.subarray(0, 10), stalls: true }));
  const impatient = wanted(server.url, { silenceMs: 100 });
  await expect(run(impatient)).rejects.toThrow('sent nothing for 0.1 s');
});
