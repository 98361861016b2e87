/** The data of before a move is deleted: by a command that is killed in the middle of it. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectClearFailure, mustRun, Program, runCli } from '../../testing/faults/programs.ts';
import { until } from '../../testing/until.ts';

setDefaultTimeout(120_000);
const FOLDERS = 40;
const FILES = 30;
const home = mkdtempSync(join(tmpdir(), 'bai-forget-'));
const folder = join(home, 'moved');
const own = join(folder, 'postgres');
const at = { cwd: home, env: { BACKEND_DATA_DIR: home }, timeoutMs: 60_000 };
const args = (what: string) => ['servers', what, '--env-id', 'moved'];

afterAll(() => rmSync(home, { recursive: true, force: true }));

/** How many of the data's folders are still there, whatever it is called by now. */
function foldersLeft(): number {
  try {
    return readdirSync(own).reduce((sum, name) => sum + readdirSync(join(own, name)).length, 0);
  } catch {
    // It has just gone.
    return 0;
  }
}

test('data that is deleted in part is never gone back to', async () => {
  // Also as root it lies in the folder, which PostgreSQL's account can enter.
  chmodSync(home, 0o755);
  for (let n = 0; n < FOLDERS; n += 1) {
    mkdirSync(join(own, 'data', `${n}`), { recursive: true });
    for (let m = 0; m < FILES; m += 1) writeFileSync(join(own, 'data', `${n}`, `${m}`), '');
  }
  writeFileSync(join(folder, 'manager.toml'), '');
  const forgetting = new Program(args('forget'), at);
  await until(() => foldersLeft() < FOLDERS, 'it has begun');
  await forgetting.kill();
  expectClearFailure(await runCli(args('back'), at), 'of its own was deleted');
  expect(existsSync(join(folder, 'manager.toml'))).toBe(true);
  // Once more finishes it.
  await mustRun(args('forget'), at);
  expect(existsSync(own)).toBe(false);
});
