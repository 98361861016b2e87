/** The connection to a runner: long paths, bounds, lost connections, answers that make no sense. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdirSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Socket } from 'bun';
import fc from 'fast-check';
import { systemClock } from '../common/clock.ts';
import { MAX_LINE_BYTES } from '../common/protocol/runner.ts';
import type { RunnerClient } from './backends/backend.ts';
import { connectRunnerSocket, LineReader } from './runner-client.ts';

const STATUS = { protocol: 1, startedAt: new Date(0).toISOString(), languages: [] };

let folder = '';
const cleanups: (() => unknown)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'runner-client-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await rm(folder, { recursive: true });
});

type Answer = (socket: Socket<unknown>, message: { id: number; body: { op: string } }) => void;

const reply = (socket: Socket<unknown>, value: unknown) =>
  socket.write(`${JSON.stringify(value)}\n`);

/** A server that answers `status`, and leaves the rest to `answer`. */
function serve(path: string, answer: Answer): void {
  const lines = new LineReader(2 * MAX_LINE_BYTES);
  const server = Bun.listen({
    unix: path,
    socket: {
      data(socket, data) {
        for (const line of lines.push(data)) {
          const message = JSON.parse(line);
          if (message.body.op === 'status')
            reply(socket, { id: message.id, ok: true, result: STATUS });
          else answer(socket, message);
        }
      },
    },
  });
  cleanups.push(() => server.stop(true));
}

const connect = async (path: string): Promise<RunnerClient> => {
  const client = await connectRunnerSocket(path, systemClock, AbortSignal.timeout(5000));
  cleanups.push(() => client.close());
  return client;
};

test('a path longer than a socket address takes is no obstacle', async () => {
  const deep = join(folder, 'x'.repeat(100), 'y'.repeat(100));
  mkdirSync(deep, { recursive: true });
  const cwd = process.cwd();
  try {
    process.chdir(deep);
    serve('runner.sock', () => {});
  } finally {
    process.chdir(cwd);
  }
  const client = await connect(join(deep, 'runner.sock'));
  expect(await client.call({ op: 'status' })).toEqual(STATUS);
});

test('it waits for the socket to appear, and gives up when told to', async () => {
  const path = join(folder, 'late.sock');
  const connecting = connect(path);
  serve(path, () => {});
  expect(await (await connecting).call({ op: 'status' })).toEqual(STATUS);
  const never = connectRunnerSocket(join(folder, 'never'), systemClock, AbortSignal.timeout(50));
  await expect(never).rejects.toThrow();
});

test('a link in the place of the socket is not followed to somebody else’s', async () => {
  const path = join(folder, 'victim');
  let reached = false;
  const server = Bun.listen({
    unix: path,
    socket: {
      open() {
        reached = true;
      },
      data() {},
    },
  });
  cleanups.push(() => server.stop(true));
  symlinkSync(path, join(folder, 'link'));
  const signal = AbortSignal.timeout(100);
  await expect(connectRunnerSocket(join(folder, 'link'), systemClock, signal)).rejects.toThrow();
  expect(reached).toBe(false);
});

test('answers find their calls in any order; errors carry their meaning', async () => {
  const path = join(folder, 's');
  const waiting: { id: number }[] = [];
  serve(path, (socket, message) => {
    waiting.push(message);
    if (waiting.length < 2) return;
    const [first, second] = waiting;
    reply(socket, { id: second?.id, ok: false, error: { code: 'not-found', message: 'no file' } });
    reply(socket, { id: first?.id, ok: true, result: null });
    reply(socket, { id: 9999, ok: true, result: null });
  });
  const client = await connect(path);
  const first = client.call({ op: 'interrupt' });
  const second = client.call({ op: 'read-file', path: 'x', offset: 0 });
  await expect(second).rejects.toMatchObject({ problem: 'ObjectNotFound', message: 'no file' });
  expect(await first).toBeNull();
});

test('an answer of the wrong shape is an error, and so is none in time', async () => {
  const path = join(folder, 's');
  serve(path, (socket, { id, body }) => {
    if (body.op === 'complete') reply(socket, { id, ok: true, result: { suggestions: 'x' } });
  });
  const client = await connect(path);
  const complete = client.call({ op: 'complete', request: { code: '', options: {} } });
  await expect(complete).rejects.toThrow('unknown shape');
  await expect(client.call({ op: 'interrupt' }, { timeoutMs: 20 })).rejects.toThrow('0.02 seconds');
  const abort = new AbortController();
  const broken = client.call({ op: 'interrupt' }, { signal: abort.signal });
  abort.abort(new Error('not needed'));
  await expect(broken).rejects.toThrow('not needed');
});

test('a lost connection rejects what waits and tells that it is closed', async () => {
  const path = join(folder, 's');
  serve(path, (socket) => socket.end());
  const client = await connect(path);
  await expect(client.call({ op: 'interrupt' })).rejects.toMatchObject({
    problem: 'KernelExecutionFailed',
  });
  await client.closed;
  await expect(client.call({ op: 'interrupt' })).rejects.toThrow('lost');
});

test('nonsense and endless lines end the connection', async () => {
  const path = join(folder, 's');
  serve(path, (socket, { body }) => {
    socket.write(body.op === 'interrupt' ? 'nonsense\n' : 'x'.repeat(MAX_LINE_BYTES + 10));
  });
  const first = await connect(path);
  await expect(first.call({ op: 'interrupt' })).rejects.toThrow();
  await first.closed;
});

test('too many calls at once, and too large ones, are refused', async () => {
  const path = join(folder, 's');
  serve(path, () => {});
  const client = await connect(path);
  const calls = Array.from({ length: 257 }, () => client.call({ op: 'interrupt' }));
  await expect(calls[256]).rejects.toMatchObject({ problem: 'KernelNotReady' });
  client.close();
  await Promise.allSettled(calls);
  const other = await connect(path);
  const data = 'x'.repeat(MAX_LINE_BYTES);
  await expect(other.call({ op: 'write-file', path: 'x', offset: 0, data })).rejects.toMatchObject({
    problem: 'InvalidAPIParameters',
  });
});

test('lines come out the same however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme' }).filter((line) => !line.includes('\n'))),
      fc.array(fc.nat(20)),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const reader = new LineReader(1000);
        const out: string[] = [];
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          out.push(...reader.push(bytes.subarray(at, at + cut)));
          at += cut;
        }
        expect(out).toEqual(lines);
      },
    ),
  );
  expect(() => new LineReader(3).push(Buffer.from('four'))).toThrow();
});

test('a long line sent byte by byte comes out whole', () => {
  const reader = new LineReader(20_000);
  const byte = Buffer.from('x');
  for (let sent = 0; sent < 10_000; sent += 1) expect(reader.push(byte)).toEqual([]);
  expect(reader.push(Buffer.from('\n'))).toEqual(['x'.repeat(10_000)]);
});
