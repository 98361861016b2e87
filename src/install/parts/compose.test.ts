/** Composes that are too old, or whose daemon is gone, are told before anything is done. */
import { afterAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeEnvironment, missingForCompose } from '../../testing/compose.ts';
import { expectClearFailure, runCli } from '../../testing/faults/programs.ts';
import { requireOrSkip } from '../../testing/services.ts';

const home = mkdtempSync(join(tmpdir(), 'bai-compose-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** An installation that would need a compose. @param env with the PATH to look in. */
const install = (env: Record<string, string>) =>
  runCli(
    [
      ...['install', '--mode', 'package', '--halfstack', 'compose', '--non-interactive'],
      ...['--target-path', join(home, 'cluster')],
    ],
    { cwd: home, env },
  );

/** A folder with a program that says of itself what such a one does. */
function programSaying(name: string, version: string): string {
  const folder = join(home, version.replace(/\W/g, '-'));
  mkdirSync(folder);
  writeFileSync(join(folder, name), `#!/bin/sh\necho '${version}'\n`, { mode: 0o755 });
  return folder;
}

test('none', async () => {
  const outcome = await install({ PATH: join(home, 'nothing') });
  expectClearFailure(outcome, 'No working compose was found.', '--postgres-addr');
});

test('the first version, which knows no such files', async () => {
  const PATH = programSaying('docker-compose', 'docker-compose version 1.29.2, build 5becea4c');
  const outcome = await install({ PATH });
  expectClearFailure(outcome, 'docker-compose is "docker-compose version 1.29.2', 'Compose v2');
});

test('that of Podman alone', async () => {
  const PATH = programSaying('podman', 'podman-compose version 1.0.6');
  const outcome = await install({ PATH });
  expectClearFailure(outcome, 'podman compose is "podman-compose version 1.0.6"', 'Compose v2');
});

test.skipIf(!requireOrSkip(missingForCompose()))('a daemon that is gone', async () => {
  const env = composeEnvironment(join(home, 'docker'), join(home, 'gone.sock'));
  const outcome = await install(env);
  expectClearFailure(outcome, 'cannot reach its daemon: ', 'gone.sock', 'Install Docker');
  expect(outcome.stderr).not.toContain('✓ Docker Compose');
});
