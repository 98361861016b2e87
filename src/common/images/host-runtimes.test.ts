/** Discovery of interpreters: real ones of this host, made-up ones, and what must not be offered. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { discoverHostRuntimes, findHostRuntimes } from './host-runtimes.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'runtimes-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function script(path: string, body: string): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
}

test('the shell of this host is found, with its labels', async () => {
  const images = await discoverHostRuntimes({ path: '/usr/bin:/bin' });
  const bash = images.find((image) => image.canonical.startsWith('local/bash:'));
  expect(bash?.canonical).toMatch(/^local\/bash:\d+$/);
  expect(bash?.aliases).toEqual(['bash']);
  expect(bash?.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(bash?.labels['ai.backend.runtime-path']).toMatch(/\/bash$/);
  expect(bash?.labels['ai.backend.features']).toContain('query');
  expect(
    Bun.spawnSync([bash?.labels['ai.backend.runtime-path'] ?? '', '-c', 'exit 7']).exitCode,
  ).toBe(7);
});

test('broken interpreters, Python 2 and Bun in disguise are not offered', async () => {
  await script(join(folder, 'bash'), 'exit 1');
  await script(join(folder, 'python3'), `echo '["/bin/bash","/usr","/usr",2,7]'`);
  await symlink(process.execPath, join(folder, 'node'));
  expect(await discoverHostRuntimes({ path: folder })).toEqual([]);
});

test('the first on the path is the default; the same version further on is not repeated', async () => {
  const answer = (minor: number) => `echo noise; echo '["/bin/bash","/usr","/usr",3,${minor}]'`;
  await script(join(folder, 'a', 'python3'), answer(9));
  await script(join(folder, 'b', 'python3'), answer(12));
  await script(join(folder, 'c', 'python3'), answer(9));
  const path = ['a', 'b', 'c'].map((name) => join(folder, name)).join(':');
  const images = await discoverHostRuntimes({ path });
  expect(images.map(({ canonical, aliases }) => [canonical, aliases])).toEqual([
    ['local/python:3.9', ['python']],
    ['local/python:3.12', []],
  ]);
});

test('a shim folder stands for the version chosen in it', async () => {
  await script(join(folder, 'shims', 'python3'), 'exit 3');
  await script(
    join(folder, 'versions', '3.13.1', 'bin', 'python3'),
    `echo '["/bin/bash","/usr","/usr",3,13]'`,
  );
  await writeFile(join(folder, 'version'), '3.13.1\n');
  const runtimes = await findHostRuntimes({ path: join(folder, 'shims') });
  expect(runtimes.map(({ version }) => version)).toEqual(['3.13']);
});

test('answers are kept in the cache file until the interpreter changes', async () => {
  const cacheFile = join(folder, 'cache', 'runtimes.json');
  const log = join(folder, 'asked');
  const python = join(folder, 'bin', 'python3');
  const write = (minor: number, pad: string) =>
    script(python, `echo x >> ${log}; echo '["/bin/bash","/usr","/usr",3,${minor}]' ${pad}`);
  const discover = async () =>
    (await discoverHostRuntimes({ path: join(folder, 'bin'), cacheFile })).map((i) => i.canonical);
  await write(8, '');
  expect(await discover()).toEqual(['local/python:3.8']);
  expect(await discover()).toEqual(['local/python:3.8']);
  expect(await readFile(log, 'utf8')).toBe('x\n');
  expect(JSON.parse(await readFile(cacheFile, 'utf8'))).toBeObject();
  await write(10, '#');
  expect(await discover()).toEqual(['local/python:3.10']);
});
