/** `admin vfolder list-mounts|get-fstab-contents|mount-host|umount-host` on a real manager with an agent that is asked. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestServer } from '../../testing/session-server.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

let server: Awaited<ReturnType<typeof startTestServer>>;
const folder = mkdtempSync(join(tmpdir(), 'cli-mounts-'));
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const runAs = (role: 'superadmin' | 'user', ...argv: string[]) =>
  runCommand(['--output', 'console', 'admin', 'vfolder', ...argv], {
    env: { ...server.environment(server.accounts[role]), XDG_STATE_HOME: folder },
    cwd: folder,
  });
const run = (...argv: string[]) => runAs('superadmin', ...argv);

test('what every node has mounted', async () => {
  const { out, exitCode } = await run('list-mounts');
  expect(exitCode).toBe(0);
  expect(out).toMatch(/^manager\n {2}success: \w+\n/);
  expect(out).toContain('storage proxies\n  success: true\n  mounts:\n  message:\n');
  expect(out).toEndWith('agent i-one\n  success: true\n  mounts: /mnt/scripted\n  message:\n');
});

test('what an agent mounts when it starts, and the manager', async () => {
  expect((await run('get-fstab-contents', '-a', 'i-one')).out).toBe('# /etc/fstab\n');
  const own = await run('get-fstab-contents');
  if (existsSync('/etc/fstab')) expect(own.out).toStartWith(readFileSync('/etc/fstab', 'utf8'));
  else expect(own.err).toContain('There is no /etc/fstab');
  const unknown = await run('get-fstab-contents', '-a', 'i-none');
  expect([unknown.exitCode, unknown.err]).toEqual([1, expect.stringContaining('i-none')]);
});

test('an agent that does not answer is told of, and does not hide the others', async () => {
  server.agent.away = true;
  try {
    const { out, exitCode } = await run('list-mounts');
    expect([exitCode, out]).toEqual([
      0,
      expect.stringMatching(/agent i-one\n {2}success: false\n {2}mounts:\n {2}message: .+\n$/),
    ]);
    expect((await run('get-fstab-contents', '-a', 'i-one')).exitCode).toBe(1);
  } finally {
    server.agent.away = false;
  }
  await server.sql`UPDATE agents SET status = 'LOST'`;
  expect((await run('list-mounts')).out).not.toContain('i-one');
  expect((await run('get-fstab-contents', '-a', 'i-one')).err).toContain('LOST');
  await server.sql`UPDATE agents SET status = 'ALIVE'`;
});

test('a file system is mounted on the agents and unmounted, and both are recorded', async () => {
  const mounted = await run('mount-host', 'server:/export', 'data', '-o', 'ro');
  expect([mounted.exitCode, mounted.out]).toEqual([
    0,
    expect.stringContaining('message: server:/export is mounted at /mnt/data.'),
  ]);
  expect([...server.agent.volumes]).toEqual([['/mnt/data', 'server:/export']]);
  const mounts = JSON.stringify([{ host_path: '/mnt/data/ab/cd' }]);
  await server.sql`UPDATE kernels SET vfolder_mounts = ${mounts}::text::jsonb, status = 'RUNNING'`;
  const used = await run('umount-host', 'data');
  expect([used.exitCode, used.err]).toEqual([1, expect.stringContaining('End these sessions')]);
  await server.sql`UPDATE kernels SET vfolder_mounts = NULL`;
  expect((await run('umount-host', 'data')).exitCode).toBe(0);
  expect(server.agent.volumes.size).toBe(0);
  const again = await run('umount-host', 'data', '--edit-fstab');
  expect([again.exitCode, again.out]).toEqual([1, expect.stringContaining('Nothing is mounted')]);
  const rows = await server.sql`
    SELECT operation, entity_id FROM audit_logs WHERE entity_type = 'storage_mount' ORDER BY created_at`;
  expect(rows.map((row) => [row.operation, row.entity_id])).toEqual([
    ['create', 'data'],
    ['delete', 'data'],
    ['delete', 'data'],
  ]);
});

test('is for superadmins', async () => {
  for (const command of [
    ['list-mounts'],
    ['get-fstab-contents'],
    ['mount-host', 'server:/x', 'x'],
    ['umount-host', 'x'],
  ]) {
    expect((await runAs('user', ...command)).exitCode).toBe(1);
  }
  expect(server.agent.volumes.size).toBe(0);
});
