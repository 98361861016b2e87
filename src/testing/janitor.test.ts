/** Servers of tests that were killed. */
import { expect, test } from 'bun:test';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isProcessAlive } from '../common/processes.ts';
import { until } from './until.ts';

const module = JSON.stringify(join(import.meta.dir, 'janitor.ts'));

/** A process that starts another one, hires a janitor for it, and waits for its own end. */
function employer(folder: string, more = '') {
  const program = `
    import { hireJanitor } from ${module};
    const child = Bun.spawn(['sleep', '1000'], { stdin: 'ignore', stdout: 'ignore' });
    const janitor = hireJanitor(child.pid, ${JSON.stringify(folder)}, 'TERM');
    ${more}
    console.log(child.pid);
    await Bun.stdin.text();`;
  return Bun.spawn([process.execPath, '-e', program], { stdin: 'pipe', stdout: 'pipe' });
}

async function pidOf(child: ReturnType<typeof employer>): Promise<number> {
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return Number(new TextDecoder().decode(value));
}

test('a killed process leaves neither its server nor its folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bai-janitor-'));
  const child = employer(folder);
  const pid = await pidOf(child);
  expect(isProcessAlive(pid)).toBe(true);
  child.kill('SIGKILL');
  await child.exited;
  await until(async () => !isProcessAlive(pid) && !existsSync(folder), 'all is gone');
});

test('a dismissed janitor touches nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bai-janitor-'));
  const child = employer(folder, 'janitor.dismiss();');
  const pid = await pidOf(child);
  const again = employer(folder);
  const other = await pidOf(again);
  for (const one of [child, again]) one.kill('SIGKILL');
  // The second janitor is through, and so had the first its time.
  await until(async () => !isProcessAlive(other) && !existsSync(folder), 'the other is gone');
  expect(isProcessAlive(pid)).toBe(true);
  process.kill(pid, 'SIGKILL');
});
