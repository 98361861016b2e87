/** One owner per cluster folder, among processes that are killed. */
import { afterEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../common/errors.ts';
import { lockFolder, lockOwner } from './lock.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bai-lock-'));
  folders.push(folder);
  return folder;
}

/** A process that tries to take the folder, says whether it did, and stays until it is let go. */
function rival(folder: string) {
  const program = `
    import { lockFolder } from ${JSON.stringify(join(import.meta.dir, 'lock.ts'))};
    try { lockFolder(${JSON.stringify(folder)}); console.log('mine'); } catch { console.log('not mine'); }
    await Bun.stdin.text();`;
  const child = Bun.spawn([process.execPath, '-e', program], { stdin: 'pipe', stdout: 'pipe' });
  const answer = async () => {
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    return new TextDecoder().decode(value).trim();
  };
  return { child, answer: answer() };
}

test('a folder has one owner, until it is released', () => {
  const folder = newFolder();
  const lock = lockFolder(folder);
  expect(lockOwner(folder)).toBe(process.pid);
  expect(() => lockFolder(folder)).toThrow(UserError);
  expect(() => lockFolder(folder)).toThrow(`process ${process.pid}`);
  lock.release();
  expect(lockOwner(folder)).toBeNull();
  lockFolder(folder).release();
});

test('of many processes at once one gets it; killed, it leaves the folder to others', async () => {
  const folder = newFolder();
  const rivals = Array.from({ length: 5 }, () => rival(folder));
  // All answer before any of them ends.
  const answers = await Promise.all(rivals.map(({ answer }) => answer));
  expect(answers.toSorted()).toEqual(['mine', ...Array(4).fill('not mine')]);
  const winner = rivals[answers.indexOf('mine')]?.child;
  expect(lockOwner(folder)).toBe(winner?.pid ?? 0);
  for (const { child } of rivals) child.kill('SIGKILL');
  await Promise.all(rivals.map(({ child }) => child.exited));
  expect(lockOwner(folder)).toBeNull();
  const lock = lockFolder(folder);
  expect(lockOwner(folder)).toBe(process.pid);
  lock.release();
});

test.each([
  ['another process with a reused id', `${process.pid} 1`],
  ['a note cut off by a full disk', ''],
])('%s is no owner', (_name, note) => {
  const folder = newFolder();
  writeFileSync(join(folder, 'owner.pid'), note);
  expect(lockOwner(folder)).toBeNull();
  lockFolder(folder).release();
});

test('a place that cannot be written is told with a remedy', () => {
  const attempt = () => lockFolder('/dev/null/cluster');
  expect(attempt).toThrow('Cannot write to /dev/null/cluster');
  expect(attempt).toThrow(UserError);
});
