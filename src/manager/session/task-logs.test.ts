/** Logs of batch sessions: read from the owner's folder on a real storage proxy, by nobody else. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { taskLogPath } from '../../kernel/batch/task-log.ts';
import { type TestFolders, testFolders } from '../../testing/folders.ts';
import { signingClient } from '../../testing/manager.ts';
import type { InsertedSession } from '../../testing/sessions.ts';
import { type TenantSessions, tenantSessions } from '../../testing/tenant-sessions.ts';

const MIB = 1024 * 1024;
let t: TestFolders;
let session: InsertedSession;
let sessions: TenantSessions;
let text: string;
beforeAll(async () => {
  t = await testFolders();
  sessions = await tenantSessions(t);
  session = await sessions.insert('user', 'job');
  const id = await t.make('user', '.logs');
  const hex = id.replaceAll('-', '');
  const folder = join(
    ...[t.storage.volumePath, t.people.user.userId.replaceAll('-', '')],
    ...[hex.slice(0, 2), hex.slice(2, 4), hex.slice(4)],
  );
  // Where runners write it, which see the folder as `.logs`.
  const path = taskLogPath('', session.kernelId)?.replace('.logs', folder) ?? '';
  await mkdir(dirname(path), { recursive: true });
  text = 'a line of the job\n'.repeat((3 * MIB) / 18);
  await writeFile(path, text);
});
afterAll(() => t.close());

const ask = (query: string, who: keyof TestFolders['people'] = 'user', method = 'GET') =>
  signingClient(t.url, t.people[who])(method, `/session/_/logs?${query}`);

const isWhole = async (query: string) => (await (await ask(query)).text()) === text;

describe('the log of a batch session', () => {
  test.each(['kernel_id', 'taskId', 'task_id', 'session_name', 'sessionName'])(
    'comes whole, by %s',
    async (name) => {
      const answer = await ask(`${name}=${session.kernelId}`);
      expect(answer.headers.get('content-type')).toStartWith('text/plain');
      expect((await answer.text()) === text).toBe(true);
    },
  );

  test('by the session’s id and its name, also after its end', async () => {
    const { sql } = t.ctx;
    expect(await isWhole(`task_id=${session.sessionId}`)).toBe(true);
    await sql`UPDATE sessions SET status = 'TERMINATED' WHERE id = ${session.sessionId}`;
    expect(await isWhole(`task_id=${session.sessionId}`)).toBe(true);
    expect(await isWhole('session_name=job')).toBe(true);
  });

  test('HEAD tells its length', async () => {
    const answer = await ask(`kernel_id=${session.kernelId}`, 'user', 'HEAD');
    expect([answer.status, answer.headers.get('content-length')]).toEqual([200, `${text.length}`]);
  });

  test('a session without a log', async () => {
    await sessions.insert('user', 'quiet');
    const answer = await ask('session_name=quiet');
    expect([answer.status, (await answer.json()).msg]).toEqual([
      404,
      expect.stringContaining("Session 'quiet' has no log in your folder '.logs'"),
    ]);
  });

  test('one that is not there, and no id at all', async () => {
    const unknown = await ask(`kernel_id=${crypto.randomUUID()}`);
    expect([unknown.status, (await unknown.json()).msg]).toEqual([
      404,
      expect.stringContaining('There is no session or kernel'),
    ]);
    expect((await ask('')).status).toBe(400);
    expect((await ask('kernel_id=..%2F..%2Fetc')).status).toBe(404);
  });

  test.each(['admin', 'superadmin', 'monitor', 'otherUser', 'otherAdmin'] as const)(
    '%s has no such log',
    async (who) => {
      const answer = await ask(`kernel_id=${session.kernelId}`, who);
      expect([answer.status, (await answer.json()).msg]).toEqual([
        404,
        expect.stringContaining('There is no session or kernel'),
      ]);
    },
  );

  test('a storage proxy that is away', async () => {
    const { config } = t.ctx;
    const key = 'volumes/proxies/local/manager_api';
    const address = await config.get(key);
    await config.put(key, 'http://127.0.0.1:1');
    const answer = await ask(`kernel_id=${session.kernelId}`);
    expect([answer.status, (await answer.json()).msg]).toEqual([
      503,
      expect.stringContaining('cannot be reached'),
    ]);
    await config.put(key, address ?? '');
  });
});
