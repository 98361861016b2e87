/** The commands against a real manager: what they print, in words and as JSON, and exit codes. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { startTestServer } from '../testing/session-server.ts';
import { exitCodeOf } from './commands/session/events.ts';
import { runCommand } from './testing/program.ts';

let server: Awaited<ReturnType<typeof startTestServer>>;
const folder = mkdtempSync(join(tmpdir(), 'cli-test-'));

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const runAs = (env: Record<string, string>, argv: readonly string[]) =>
  runCommand(argv, { env, cwd: folder });

const run = (...argv: string[]) => runAs(server.environment(server.accounts.user), argv);

test('config', async () => {
  const { exitCode, out } = await run('config');
  expect(exitCode).toBe(0);
  const lines = out.split('\n');
  expect(lines[0]).toBe(`API endpoint: ${server.url} (mode: api)`);
  expect(lines).toContain('Server version: 26.4.4 (API: v9.20250722)');
  expect(lines).toContain("Negotiated API version: (9, '20250722')");
  expect(lines).toContain(`Access key: "${server.accounts.user.accessKey}"`);
  expect(out).not.toContain(server.accounts.user.secretKey);
});

test('config without a server tells all the same, and fails', async () => {
  const env = { BACKEND_ENDPOINT: 'http://127.0.0.1:1', BACKEND_ACCESS_KEY: 'AK' };
  const { exitCode, out, err } = await runAs(env, ['config']);
  expect(exitCode).toBe(1);
  expect(out).toContain('API endpoint: http://127.0.0.1:1 (mode: api)');
  expect(err).toStartWith('✗ Cannot reach http://127.0.0.1:1');
});

test('ps: a table of live sessions', async () => {
  const { exitCode, out, err } = await run('ps');
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  const [header = '', dashes = '', ...rows] = out.trimEnd().split('\n');
  expect(header.split(/ {2,}/)).toEqual([
    ...['Name', 'Priority', 'Session ID', 'Project', 'Type', 'Image', 'Status', 'Status Info'],
    ...['Last Updated', 'Result'],
  ]);
  expect(dashes).toMatch(/^[- ]+$/);
  expect(rows.map((row) => row.split(/ +/)[0]).sort()).toEqual(['doomed', 'work']);
  expect(rows.find((row) => row.startsWith('work'))).toContain(server.sessionId);
});

test('ps as JSON, with chosen fields and statuses', async () => {
  const { out } = await run('--output', 'json', 'ps', '--dead', '-f', 'id,name,status');
  const document = JSON.parse(out);
  expect(document).toMatchObject({ count: 1, total_count: 1 });
  expect(document.items[0]).toMatchObject({ name: 'dead', status: 'TERMINATED' });
  expect(Object.keys(document.items[0])).toEqual(['session_id', 'name', 'status']);
});

test('an unknown field is refused, with the known ones', async () => {
  const { exitCode, err } = await run('ps', '-f', 'nonsense');
  expect(exitCode).toBe(4);
  expect(err).toStartWith("✘ 'nonsense' is not a field of a session list.\n  The fields are: id,");
});

test('an administrator also sees whose session it is', async () => {
  const { out } = await runAs(server.environment(server.accounts.superadmin), [
    'admin',
    'session',
    'list',
  ]);
  expect(out).toContain('Owner Access Key');
});

test('info, by name and by id', async () => {
  const byName = await run('--output', 'json', 'info', 'work');
  expect(byName.exitCode).toBe(0);
  const [item] = JSON.parse(byName.out).items;
  expect(item).toMatchObject({
    session_id: server.sessionId,
    status: 'RUNNING',
    occupying_slots: { cpu: '1', mem: '268435456' },
  });
  expect(item.containers[0]).toMatchObject({ agent: 'i-one', cluster_role: 'main' });
  const byId = await run('info', server.sessionId);
  expect(byId.out).toContain('cpu:1, mem:256.0M');
  const none = await run('info', 'nosuch');
  expect(none).toMatchObject({ exitCode: 1, out: '' });
});

test('logs', async () => {
  expect(await run('session', 'logs', 'work')).toEqual({
    exitCode: 0,
    out: 'a live log\n',
    err: '✓ End of logs.\n',
  });
});

test('upload, ls, download', async () => {
  writeFileSync(join(folder, 'a.txt'), 'hello');
  expect(await run('session', 'upload', 'work', 'a.txt')).toMatchObject({
    exitCode: 0,
    err: '⋯ Uploading files (0/1)...\n✓ Uploaded.\n',
  });
  expect(server.agent.files.get('a.txt')?.toString()).toBe('hello');
  const listing = await run('session', 'ls', 'work');
  expect(listing.out).toBe(
    'File name  Size  Modified              Mode\n---------  ----  --------------------  ----------\n' +
      'a.txt      5     Jan 01 1970 00:00:02  -rw-r--r--\n',
  );
});

test('files that cannot be uploaded', async () => {
  expect((await run('session', 'upload', 'work', 'none.txt')).err).toBe(
    '✘ none.txt: no such file.\n',
  );
  expect((await run('session', 'upload', 'work', '../x')).err).toContain('--basedir');
  writeFileSync(join(folder, 'large.bin'), new Uint8Array(2 * 1024 * 1024));
  expect((await run('session', 'upload', 'work', 'large.bin')).err).toContain('too large: 2.0M');
  expect(await run('session', 'upload', 'work')).toMatchObject({ exitCode: 4 });
});

async function archiveOf(name: string, content: string): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name }, content);
  archive.finalize();
  return await buffer(archive);
}

test('download unpacks the archives below the destination', async () => {
  server.agent.files.set('deep', await archiveOf('deep/b.txt', 'world'));
  const { exitCode } = await run('session', 'download', 'work', 'deep', '--dest', 'out');
  expect(exitCode).toBe(0);
  expect(readFileSync(join(folder, 'out/deep/b.txt'), 'utf8')).toBe('world');
});

test('an archive cannot write outside the destination', async () => {
  server.agent.files.set('evil', await archiveOf('../evil.txt', 'x'));
  const { exitCode, err } = await run('session', 'download', 'work', 'evil', '--dest', 'out');
  expect(exitCode).toBe(1);
  expect(err).toContain('outside the destination');
  await expect(Bun.file(join(folder, 'evil.txt')).exists()).resolves.toBe(false);
});

test('status-history', async () => {
  const { exitCode, out } = await run('--output', 'json', 'session', 'status-history', 'dead');
  expect(exitCode).toBe(0);
  expect(JSON.parse(out).status_history.terminated).toBeString();
});

test('rename, and destroy under the new name', async () => {
  expect(await run('session', 'rename', 'work', 'work2')).toMatchObject({ exitCode: 0 });
  expect((await run('ps', '--name-only')).out).toContain('work2');
  expect(await run('session', 'rename', 'work2', 'work')).toMatchObject({ exitCode: 0 });
});

test('destroy: each session on its own account', async () => {
  const { exitCode, err } = await run('rm', 'nosuch', 'doomed');
  expect(exitCode).toBe(1);
  expect(err).toContain('✘ nosuch: BackendAPIError: 404');
  expect(err).toContain('--owner ACCESS_KEY');
  const { out } = await run('--output', 'json', 'ps', '--dead', '-f', 'name,status');
  expect(JSON.parse(out).items).toContainEqual({ name: 'doomed', status: 'CANCELLED' });
  expect(await run('destroy')).toMatchObject({ exitCode: 4 });
});

test('agents', async () => {
  const admin = server.environment(server.accounts.superadmin);
  const list = await runAs(admin, ['admin', 'agent', 'list']);
  expect(list.err).toBe('');
  expect(list.out).toContain('i-one');
  const info = await runAs(admin, ['--output', 'json', 'admin', 'agent', 'info', 'i-one']);
  expect(JSON.parse(info.out).items[0]).toMatchObject({ id: 'i-one', status: 'ALIVE' });
});

test('a wrong key', async () => {
  const env = { ...server.environment(server.accounts.user), BACKEND_SECRET_KEY: 'wrong' };
  const { exitCode, err } = await runAs(env, ['ps']);
  expect(exitCode).toBe(1);
  expect(err).toStartWith('✘ BackendAPIError: 401 Unauthorized\n  Credential/signature mismatch.');
});

test('settings that make no sense', async () => {
  const badId = await runAs({ BACKEND_DATA_DIR: folder, BACKEND_ENV_ID: '../x' }, ['ps']);
  expect(badId).toMatchObject({ exitCode: 1 });
  expect(badId.err).toStartWith("✘ '../x' is not an environment id");
  const badUrl = await runAs({ BACKEND_ENDPOINT: 'localhost:1' }, ['ps']);
  expect(badUrl.err).toStartWith("✘ BACKEND_ENDPOINT: 'localhost:1' must start with http://");
});

test('without an endpoint or a local cluster nothing is started to look at', async () => {
  const { exitCode, err } = await runAs({ BACKEND_DATA_DIR: folder }, ['ps']);
  expect(exitCode).toBe(1);
  expect(err).toContain('backend.ai up');
});

test.each([
  ['session_started', undefined, null],
  ['session_started', 'session_started', 0],
  ['session_started', 'session_terminated', null],
  ['session_success', 'batch_session_result', 0],
  ['session_failure', 'batch_session_result', 1],
  ['session_started', 'batch_session_result', null],
])('event %s while waiting for %s: exit code %p', (event, wanted, exitCode) => {
  expect(exitCodeOf(event, wanted)).toBe(exitCode);
});

test('info: a name that nobody uses is an error in JSON too', async () => {
  const words = await run('info', 'nobody');
  expect(words).toMatchObject({ exitCode: 1, out: '' });
  expect(words.err).toContain("There is no live session named 'nobody'.");
  const json = await run('--output', 'json', 'info', 'nobody');
  expect(json.exitCode).toBe(1);
  expect(JSON.parse(json.out)).toEqual({ error: "There is no live session named 'nobody'." });
});

test('rename refuses a name that no session could be started with', async () => {
  const { exitCode, err } = await run('session', 'rename', 'work', 'x');
  expect(exitCode).toBe(2);
  expect(err).toContain("'x' is not a session name: use 4 to 64 characters.");
});

test('what only a superadmin may see is refused in one plain sentence', async () => {
  const { exitCode, err } = await run('admin', 'agent', 'list');
  expect(exitCode).toBe(1);
  expect(err).toContain(
    '  Forbidden operation. (superadmin privilege required) (path: agent_list)',
  );
});
