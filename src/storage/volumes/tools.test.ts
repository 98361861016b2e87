/** Programs of the system that storages use: what they print, and what keeps them from an end. */
import { expect, test } from 'bun:test';
import { runTool } from './tools.ts';

const shell = (script: string, timeoutMs = 10_000) => runTool(['sh', '-c', script], { timeoutMs });

test('what it prints is told; failures, complaints and programs that are missing are errors', async () => {
  expect(await shell('echo fine')).toBe('fine\n');
  await expect(shell('exit 3')).rejects.toThrow('exit code 3');
  await expect(shell('echo no >&2')).rejects.toThrow('no');
  await expect(runTool(['no-such-program-here'])).rejects.toThrow("Can't run");
});

test('one that does not end is given up, also when what it started holds on to its output', async () => {
  await expect(shell('exec sleep 60', 200)).rejects.toThrow('SIGKILL');
  await expect(shell('sleep 20 & wait', 200)).rejects.toThrow('did not end in 200 ms');
}, 15_000);
