/** On a bare machine, too, a cluster can say hello. */
import { afterAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingTool, requireOrSkip } from '../../testing/services.ts';
import { helloArguments, helloLine } from './hello.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-hello-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A folder of programs with these of the machine. */
function machineWith(...names: string[]): string {
  const path = join(folder, names.join('-') || 'nothing');
  mkdirSync(path);
  for (const name of names) symlinkSync(Bun.which(name) ?? '', join(path, name));
  return path;
}

test.if(requireOrSkip(missingTool('python3', 'python3')))(
  'Python says hello where it is',
  async () => {
    const path = machineWith('bash', 'python3');
    expect(await helloArguments({ path })).toEqual([
      'run',
      '--rm',
      'python',
      '-c',
      'print("hello world")',
    ]);
    expect(await helloLine('b', { path })).toBe(`b run --rm python -c 'print("hello world")'`);
  },
);

test('the shell does on a machine with nothing else', async () => {
  const path = machineWith('bash');
  expect(await helloArguments({ path })).toEqual(['run', '--rm', 'bash', '-c', 'echo hello world']);
  expect(await helloLine('b', { path })).toBe(`b run --rm bash -c 'echo hello world'`);
});

test('a machine without anything is told what to install', async () => {
  const path = machineWith();
  await expect(helloArguments({ path })).rejects.toThrow('nothing that a session could run');
  expect(await helloLine('b', { path })).toContain('python');
});
