/** A cluster of one machine, whose installation and removal are killed at every step and run again. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { killAtEveryStep } from '../testing/faults/interrupted.ts';
import { runCli } from '../testing/faults/programs.ts';
import { requireOrSkip } from '../testing/services.ts';

setDefaultTimeout(240_000);
const home = mkdtempSync(join(tmpdir(), 'bai-standalone-'));
const target = join(home, 'local');
const data = join(home, 'data');
const at = { cwd: home, env: { BACKEND_DATA_DIR: data }, timeoutMs: 60_000 };
const place = ['--non-interactive', '--target-path', target, '--env-id', 'killed'];
const isLinux = requireOrSkip(
  process.platform === 'linux' ? null : 'sessions of the process backend need Linux',
);

afterAll(async () => {
  if (existsSync(data)) await runCli(['down', '--purge', '--env-id', 'killed'], at);
  rmSync(home, { recursive: true, force: true });
});

test.if(isLinux)('an installation that is killed gets to a session all the same', async () => {
  const { killedAt, last } = await killAtEveryStep(
    ['install', '--mode', 'standalone', ...place],
    at,
  );
  expect(killedAt.at(-1)).toBe('Run a session that prints hello world');
  expect(killedAt).toHaveLength(3);
  expect(last.stdout).toContain('admin@lablup.com');
});

test.if(isLinux)('a removal that is killed leaves nothing all the same', async () => {
  const { killedAt } = await killAtEveryStep(
    ['install', '--mode', 'maintain', '--action', 'uninstall', '--purge', ...place],
    at,
  );
  // The last step, one file to remove, may be over before anybody can interrupt it.
  expect(killedAt[0]).toBe('End sessions, stop the cluster, delete its data');
  expect(existsSync(join(target, 'bin/backend.ai'))).toBe(false);
  expect(readdirSync(data).filter((name) => name === 'killed')).toEqual([]);
  expect(Bun.spawnSync(['pgrep', '-f', data]).stdout.toString()).toBe('');
});
