/** The pure parts of the docker backend. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import type { Clock } from '../../../common/clock.ts';
import { HostPorts } from '../host-ports.ts';
import { withGroup, withUser } from './accounts.ts';
import { containerName } from './container-spec.ts';
import { ExitWatch } from './exit-watch.ts';
import { FrameTail } from './log-stream.ts';
import { loadedLibraries } from './runner-files.ts';

const frame = (text: string | Uint8Array, stream = 1): Buffer => {
  const content = Buffer.from(text);
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(content.length, 4);
  return Buffer.concat([header, content]);
};

describe('the tail of a log', () => {
  test('joins frames and keeps whole characters only', () => {
    const tail = new FrameTail(4);
    tail.push(Buffer.concat([frame('abc'), frame('é', 2), frame('xyz')]));
    expect(tail.text()).toBe('xyz');
  });

  test('does not depend on how the bytes arrive', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 20 }), { maxLength: 20 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 60 }),
        (texts, step, maxBytes) => {
          const bytes = Buffer.concat(texts.map((text) => frame(text)));
          const tail = new FrameTail(maxBytes);
          for (let at = 0; at < bytes.length; at += step) tail.push(bytes.subarray(at, at + step));
          const whole = texts.join('');
          expect(whole.endsWith(tail.text())).toBe(true);
          const kept = Buffer.byteLength(tail.text());
          expect(kept).toBeLessThanOrEqual(maxBytes);
          expect(kept).toBeGreaterThan(Math.min(maxBytes, Buffer.byteLength(whole)) - 4);
        },
      ),
    );
  });
});

describe('accounts', () => {
  const owner = { uid: 1000, gid: 1000 };

  test('the user of the same id becomes work, others stay', () => {
    const text = 'root:x:0:0::/root:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash';
    expect(withUser(text, owner)).toBe(
      'root:x:0:0::/root:/bin/sh\nwork:x:1000:1000:work:/home/work:/bin/sh\n',
    );
  });

  test('root stays root', () => {
    expect(withUser('root:x:0:0::/root:/bin/sh\n', { uid: 0, gid: 0 })).toBe(
      'root:x:0:0::/root:/bin/sh\n',
    );
  });

  test('a group that has a name keeps it', () => {
    expect(withGroup('users:x:1000:\n', 1000)).toBe('users:x:1000:\n');
    expect(withGroup('root:x:0:\nwork:x:5:\n', 1000)).toBe('root:x:0:\nwork:x:1000:\n');
  });
});

describe('host ports', () => {
  const clockAt = (state: { nowMs: number }): Clock => ({
    now: () => new Date(state.nowMs),
    monotonicMs: () => state.nowMs,
    sleep: () => Promise.resolve(),
    timer: () => ({ cancel() {} }),
  });
  const make = (state: { nowMs: number }, taken: readonly number[] = []) =>
    new HostPorts({
      range: [100, 104],
      cooldownMs: 1000,
      bindHost: '127.0.0.1',
      clock: clockAt(state),
      isFree: async (port) => !taken.includes(port),
    });

  test('are given once, skip what others use, and rest before they are used again', async () => {
    const state = { nowMs: 0 };
    const ports = make(state, [101]);
    expect(await ports.take('a', 2)).toEqual([100, 102]);
    ports.restore('b', [103]);
    expect(await ports.take('c', 1)).toEqual([104]);
    await expect(ports.take('d', 1)).rejects.toThrow('only 0 are free in 100-104');
    ports.release('a');
    await expect(ports.take('d', 1)).rejects.toThrow('port-range');
    state.nowMs = 1001;
    expect((await ports.take('d', 2)).sort()).toEqual([100, 102]);
  });

  test('two kernels at the same time get different ones', async () => {
    const ports = make({ nowMs: 0 });
    const [one, two] = await Promise.all([ports.take('a', 2), ports.take('b', 2)]);
    expect(new Set([...one, ...two]).size).toBe(4);
  });

  test('none is kept when there are too few', async () => {
    const ports = make({ nowMs: 0 });
    await expect(ports.take('a', 6)).rejects.toThrow('needs 6 host ports');
    expect(await ports.take('b', 5)).toHaveLength(5);
  });
});

test('an end is told once, and not when it was asked for', () => {
  const told: string[] = [];
  const watch = new ExitWatch(({ kernelId, exitCode }) => told.push(`${kernelId} ${exitCode}`));
  watch.expect('a');
  watch.watch('a', 'container-a');
  watch.watch('b', 'container-b');
  watch.forget('b');
  for (const id of ['a', 'a', 'b']) watch.ended(id, 3);
  expect(told).toEqual(['a 3']);
  expect(watch.endOf('a')).toEqual({ exitCode: 3 });
  watch.forget('a');
  expect(watch.endOf('a')).toBeUndefined();
});

test('containers are named after the image and the kernel', () => {
  const kernelId = 'k1';
  expect(containerName({ image: 'host:5000/some/python:3-x', kernelId })).toBe('kernel.python.k1');
  expect(containerName({ image: 'bare', kernelId })).toBe('kernel.bare.k1');
});

test('the C library in use is recognised by its name in memory', () => {
  const line = (path: string) => `7f0000000000-7f0000001000 r--p 00000000 fe:00 123    ${path}\n`;
  const glibc = line('/usr/lib/libc.so.6') + line('/usr/lib/ld-linux-x86-64.so.2') + line('[heap]');
  expect(loadedLibraries(glibc)).toMatchObject({
    loader: '/usr/lib/ld-linux-x86-64.so.2',
    folder: '/usr/lib',
  });
  const old = line('/lib/x/libc-2.31.so') + line('/lib/x/ld-2.31.so');
  expect(loadedLibraries(old)).toMatchObject({ loader: '/lib/x/ld-2.31.so', folder: '/lib/x' });
  const musl = line('/lib/ld-musl-x86_64.so.1') + line('/usr/lib/libstdc++.so.6.0.30');
  expect(loadedLibraries(musl)).toMatchObject({
    loader: '/lib/ld-musl-x86_64.so.1',
    names: ['libstdc++.so.6', 'libgcc_s.so.1'],
  });
  expect(loadedLibraries(line('/usr/bin/static'))).toBeNull();
});
