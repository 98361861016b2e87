/** The folder commands on a real manager and a real storage proxy. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOST, type TestFolders, testFolders } from '../../testing/folders.ts';
import { mountExpression } from '../session/mounts.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

let t: TestFolders;
const here = mkdtempSync(join(tmpdir(), 'cli-folders-'));
beforeAll(async () => {
  t = await testFolders();
});
afterAll(async () => {
  await t.close();
  rmSync(here, { recursive: true });
});

type Who = keyof TestFolders['people'];
async function runAs(who: Who, argv: readonly string[], input?: string) {
  const { accessKey, secretKey } = t.people[who];
  const env = {
    BACKEND_ENDPOINT: t.url,
    BACKEND_ACCESS_KEY: accessKey,
    BACKEND_SECRET_KEY: secretKey,
    XDG_STATE_HOME: join(here, 'state'),
  };
  return runCommand(argv, { env, cwd: here, ...(input !== undefined && { input }) });
}
const run = (...argv: string[]) => runAs('user', ['vfolder', ...argv]);
const json = async (...argv: string[]) => {
  const { out } = await runAs('user', ['--output', 'json', 'vfolder', ...argv]);
  return JSON.parse(out);
};

test('a folder is made, described, renamed, and listed', async () => {
  expect(await run('create', 'first', HOST)).toMatchObject({
    exitCode: 0,
    out: 'Virtual folder "first" is created.\n',
  });
  expect((await run('list-hosts')).out).toBe(
    `Default vfolder host: ${HOST}\nUsable hosts: ${HOST}\n`,
  );
  expect((await run('list-allowed-types')).out).toBe('user\ngroup\n');
  expect((await run('rename', 'first', 'data')).exitCode).toBe(0);
  expect((await run('update-options', 'data', '--set-cloneable', 'true')).exitCode).toBe(0);
  expect((await run('update-options', 'data')).exitCode).toBe(4);
  const { out } = await run('info', 'data');
  expect(out).toStartWith('Virtual folder "data" (ID: ');
  expect(out).toContain('- Cloneable: true\n');
  expect((await run('list')).out).toMatch(/^Host +Name +Status +Created At/);
  expect(await json('list-own')).toMatchObject({ total_count: 1, items: [{ name: 'data' }] });
  expect(await json('list-project')).toMatchObject({ total_count: 0 });
  const wrong = await run('info', 'nothing');
  expect([wrong.exitCode, wrong.err]).toEqual([1, expect.stringContaining('nothing')]);
  expect((await run('create', 'third', '--unmanaged')).exitCode).toBe(2);
  const taken = await run('create', 'data');
  expect([taken.exitCode, taken.err]).toEqual([1, expect.stringContaining('already exists')]);
});

describe('files', () => {
  beforeAll(async () => {
    await run('create', 'files', HOST);
    mkdirSync(join(here, 'tree', 'deep'), { recursive: true });
    mkdirSync(join(here, 'tree', 'hollow'));
    writeFileSync(join(here, 'tree', 'one.txt'), 'one');
    writeFileSync(join(here, 'tree', 'none'), '');
    // Several parts of the smallest size.
    writeFileSync(join(here, 'tree', 'deep', 'big'), Buffer.alloc(300_000, 'data of mine '));
  });

  test('go up and come down again, directories too', async () => {
    expect((await run('upload', 'files', 'tree')).err).toContain('is a directory');
    const up = await run('upload', 'files', '-r', 'tree', '--chunk-size', '64k');
    expect([up.exitCode, up.err]).toEqual([0, expect.stringContaining('✓ Done.')]);
    expect(up.err).toContain(`via ${t.storage.clientUrl}/upload ...`);
    const listed = await json('ls', 'files', 'tree');
    expect(listed.items.map(({ name }: { name: string }) => name).sort()).toEqual([
      'deep',
      'hollow',
      'none',
      'one.txt',
    ]);
    const away = join(here, 'away');
    mkdirSync(away);
    expect((await run('download', 'files', 'tree', '-b', away)).err).toContain('Use -r');
    expect((await run('download', 'files', 'tree', '-r', '-b', away)).exitCode).toBe(0);
    for (const name of ['one.txt', 'none', 'deep/big']) {
      expect(readFileSync(join(away, 'tree', name))).toEqual(
        readFileSync(join(here, 'tree', name)),
      );
    }
    expect(existsSync(join(away, 'tree', 'hollow'))).toBe(true);
    const again = await run('download', 'files', 'tree/one.txt', '-b', away);
    expect([again.exitCode, again.err]).toEqual([1, expect.stringContaining('exists already')]);
    expect((await run('download', 'files', 'missing', '-b', away)).exitCode).toBe(1);
  });

  test('are copied by cp in either direction', async () => {
    expect((await run('cp', 'tree/one.txt', 'files:copies')).exitCode).toBe(0);
    mkdirSync(join(here, 'back'));
    expect((await run('cp', 'files:copies/tree/one.txt', 'back')).exitCode).toBe(0);
    expect(readFileSync(join(here, 'back/copies/tree/one.txt'), 'utf8')).toBe('one');
    expect((await run('cp', 'files:a', 'data:b')).exitCode).toBe(4);
    expect((await run('cp', 'tree')).exitCode).toBe(4);
  });

  test('are listed, made, moved, renamed and removed', async () => {
    const made = await run('mkdir', 'files', 'new', 'copies');
    expect([made.exitCode, made.err]).toEqual([
      1,
      expect.stringContaining('✓ Successfully created:'),
    ]);
    expect(made.err).toContain('✗ Failed to create:\n  copies');
    expect((await run('mkdir', 'files', 'copies')).exitCode).toBe(1);
    expect((await run('mkdir', '-e', 'files', 'copies')).exitCode).toBe(0);
    expect((await run('mv', 'files', 'copies', 'new/copies')).exitCode).toBe(0);
    expect((await run('rename-file', 'files', 'new/copies', 'old')).exitCode).toBe(0);
    expect((await run('ls', 'files', 'new')).out).toContain('old/');
    const kept = await runAs('user', ['vfolder', 'rm', '-r', 'files', 'new'], 'n\n');
    expect(kept.exitCode).toBe(1);
    const removed = await runAs('user', ['vfolder', 'rm', '-r', 'files', 'new'], 'y\n');
    expect(removed.exitCode).toBe(0);
    expect((await json('ls', 'files')).items.map(({ name }: { name: string }) => name)).toEqual([
      'tree',
    ]);
    const { out } = await run('request-download', 'files', 'tree/one.txt');
    expect(await (await fetch(out.trim())).text()).toBe('one');
  });
});

test('sync copies what changed, either way, and tells of conflicts', async () => {
  await run('create', 'synced', HOST);
  const local = join(here, 'work');
  mkdirSync(join(local, 'in'), { recursive: true });
  writeFileSync(join(local, 'a'), 'first');
  writeFileSync(join(local, 'in', 'b'), 'b');
  const sync = async (directory: string, ...more: string[]) =>
    json('sync', directory, 'synced', ...more);
  expect(await sync('work')).toMatchObject({ uploaded: ['a', 'in/b'], downloaded: [] });
  const nothing = { uploaded: [], downloaded: [], deleted: [], conflicts: [] };
  expect(await sync('work')).toEqual(nothing);
  expect(await sync('other')).toMatchObject({ downloaded: ['a', 'in/b'] });
  writeFileSync(join(here, 'other', 'a'), 'second');
  expect(await sync('other')).toMatchObject({ uploaded: ['a'] });
  expect(await sync('work')).toMatchObject({ downloaded: ['a'] });
  expect(readFileSync(join(local, 'a'), 'utf8')).toBe('second');
  writeFileSync(join(local, 'a'), 'mine, longer');
  writeFileSync(join(here, 'other', 'a'), 'theirs');
  await sync('other');
  expect(await sync('work')).toEqual({ ...nothing, conflicts: ['a'] });
  expect(readFileSync(join(local, 'a'), 'utf8')).toBe('mine, longer');
  expect(await sync('work', '--prefer', 'local')).toMatchObject({ uploaded: ['a'] });
  rmSync(join(local, 'in', 'b'));
  expect(await sync('work')).toEqual(nothing);
  expect(await sync('work', '--delete')).toMatchObject({ deleted: ['in/b'] });
  expect(await sync('other', '--delete')).toMatchObject({ downloaded: ['a'], deleted: ['in/b'] });
  expect(existsSync(join(here, 'other', 'in', 'b'))).toBe(false);
});

test('a directory of more than one page is listed and copied whole', async () => {
  await run('create', 'crowd', HOST);
  const names = Array.from({ length: 1001 }, (_, index) => `d${index}`).sort();
  for (let at = 0; at < names.length; at += 50) {
    await run('mkdir', 'crowd', ...names.slice(at, at + 50));
  }
  const { items } = await json('ls', 'crowd');
  expect(items.map(({ name }: { name: string }) => name)).toEqual(names);
  expect((await run('download', 'crowd', '.', '-r', '-b', 'crowd')).exitCode).toBe(0);
  expect(readdirSync(join(here, 'crowd')).sort()).toEqual(names);
});

test('an invitation is answered at the prompt', async () => {
  await run('create', 'lent', HOST);
  const { email } = t.people.monitor;
  expect((await run('invite', 'lent', email, '-p', 'ro')).err).toContain(
    `Invitations are sent to:`,
  );
  const ask = (input: string) => runAs('monitor', ['vfolder', 'invitations'], input);
  expect((await ask('1\nc\n')).err).toContain('Nothing is answered.');
  const accepted = await ask('1\na\n');
  expect(accepted.out).toContain('lent');
  expect(accepted.err).toContain("You can now use folder 'lent'.");
  expect((await ask('')).out).toBe('No invitations.\n');
  expect((await runAs('monitor', ['vfolder', 'mkdir', 'lent', 'x'])).exitCode).toBe(1);
  expect((await runAs('monitor', ['vfolder', 'list-invited'])).out).toContain('lent');
  const shared = await runAs('superadmin', ['admin', 'vfolder', 'list-shared-vfolders']);
  expect(shared.out).toContain(email);
  expect((await runAs('monitor', ['vfolder', 'leave', 'lent'])).exitCode).toBe(0);
  expect((await runAs('monitor', ['vfolder', 'info', 'lent'])).exitCode).toBe(1);
});

test('clone, trash, restore, delete for good and purge', async () => {
  await run('create', 'source', HOST, '--cloneable');
  const cloned = await run('clone', 'source', 'copy', HOST);
  expect([cloned.exitCode, cloned.err]).toEqual([
    0,
    expect.stringContaining("Cloned into 'copy'."),
  ]);
  expect((await run('delete', 'copy')).exitCode).toBe(0);
  expect((await run('restore', 'copy')).exitCode).toBe(0);
  expect((await run('delete-trash', 'copy')).exitCode).toBe(1);
  expect((await run('delete', 'copy')).exitCode).toBe(0);
  const [row] = await t.ctx.sql`SELECT id FROM vfolders WHERE name = 'copy'`;
  const id = String(row?.id);
  expect((await run('delete-trash', 'copy')).exitCode).toBe(0);
  await t.reached(id, 'delete-complete');
  expect((await run('purge', id)).exitCode).toBe(1);
  expect((await runAs('superadmin', ['vfolder', 'purge', id])).exitCode).toBe(0);
});

test('administrators look after volumes and quotas', async () => {
  const admin = (...argv: string[]) => runAs('superadmin', ['admin', ...argv]);
  expect((await admin('storage', 'list')).out).toContain(HOST);
  expect((await admin('storage', 'info', HOST)).out).toContain('vfs');
  expect((await admin('vfolder', 'list-hosts')).out).toContain(`Mounted hosts: ${HOST}`);
  expect((await admin('vfolder', 'list')).out).toContain('files');
  const { email } = t.people.user;
  const quota = await admin('quota-scope', 'get', HOST, email);
  expect(quota.out).toContain(`user:${t.people.user.userId}`);
  // The volume has no quotas, and says so.
  expect((await admin('quota-scope', 'set', HOST, email, '1000000')).exitCode).toBe(1);
  expect((await runAs('user', ['admin', 'storage', 'list'])).exitCode).toBe(1);
});

test('mount expressions', () => {
  expect(mountExpression('data')).toEqual({ source: 'data' });
  expect(mountExpression('data:/x')).toEqual({ source: 'data', target: '/x' });
  expect(mountExpression('data=x')).toEqual({ source: 'data', target: 'x' });
  expect(mountExpression('a\\:b:/x')).toEqual({ source: 'a:b', target: '/x' });
  expect(mountExpression('type=bind,source=data,target=/x,perm=ro')).toEqual({
    source: 'data',
    target: '/x',
    permission: 'ro',
  });
  for (const wrong of ['', ':x', 'a:b:c', 'source=', 'source=a,perm=x', 'type=tmpfs,source=a']) {
    expect(() => mountExpression(wrong)).toThrow('is no mount');
  }
});
