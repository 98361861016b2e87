/** What options do nothing is said at once, and what they will do is shown. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectClearFailure, mustRun, runCli } from '../../testing/faults/programs.ts';

setDefaultTimeout(60_000);
const home = mkdtempSync(join(tmpdir(), 'bai-options-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const dryRun = (...args: string[]) => [
  ...['install', '--dry-run', '--target-path', join(home, 'cluster'), ...args],
];

test('accelerators are named before anything is done', async () => {
  const args = dryRun('--mode', 'package', '--accelerator', 'ROCM_MOCK');
  const { stdout } = await mustRun(args, { cwd: home });
  expect(stdout).toContain('Sessions of the agent: process, with simulated AMD GPUs.');
  expect(readdirSync(home)).toEqual([]);
});

test.each([
  ['standalone', 'backend.ai up --mock-accelerator FILE'],
  ['join', '--accelerator is for --mode develop and package.'],
  ['maintain', '--accelerator is for --mode develop and package.'],
])('with --mode %s no accelerator is chosen', async (mode, reason) => {
  const outcome = await runCli(dryRun('--mode', mode, '--accelerator', 'cuda'), { cwd: home });
  expectClearFailure(outcome, reason);
});
