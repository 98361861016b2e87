/** The command as people run it, and sign-ins that manager and web server share in a real Redis. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { webSessionKey } from '../../common/web-session.ts';
import { hashPassword } from '../../manager/user/password.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import { openRedisLiveStore } from '../../stores/live/redis.ts';
import { silentLog, type TestServer, testManagerServer } from '../../testing/manager.ts';
import {
  eventually,
  freePort,
  missingTool,
  requireOrSkip,
  startRedis,
  type TestService,
} from '../../testing/services.ts';

const PASSWORD = 'correct horse 1!';
const PROGRAM = join(import.meta.dir, '../../../bin/backend.ai.ts');
const canRun = requireOrSkip(missingTool('redis-server', 'redis-server'));

describe.skipIf(!canRun)('a web server beside a manager', () => {
  let redis: TestService;
  let sessions: LiveStore;
  let manager: TestServer;
  let url: string;
  const folder = mkdtempSync(join(tmpdir(), 'bai-web-'));
  const running: Bun.Subprocess[] = [];

  beforeAll(async () => {
    redis = await startRedis({ password: 'redis pass' });
    sessions = await openRedisLiveStore({
      addr: redis.addr,
      password: 'redis pass',
      log: silentLog,
    });
    manager = await testManagerServer({ webSessions: sessions });
    const hash = await hashPassword(PASSWORD, { algorithm: 'argon2id' });
    await manager.db.sql`UPDATE users SET password = ${hash}`;
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    writeFileSync(
      join(folder, 'webserver.conf'),
      `[service]
ip = "127.0.0.1"
port = ${port}
[security]
cookie_secure = false
[api]
endpoint = "${manager.url}"
[session.redis]
addr = "${redis.addr}"
password = "redis pass"
`,
    );
  }, 60_000);
  afterAll(async () => {
    for (const child of running) child.kill('SIGKILL');
    await manager.close();
    await sessions.close();
    await redis.stop();
    rmSync(folder, { recursive: true });
  });

  async function start() {
    const child = Bun.spawn([process.execPath, PROGRAM, 'web', 'start-server'], {
      cwd: folder,
      stdout: 'ignore',
      stderr: 'pipe',
    });
    running.push(child);
    await eventually('the web server answers', async () => {
      if (child.exitCode !== null) throw new Error(await new Response(child.stderr).text());
      return fetch(`${url}/livez`).then(
        (response) => response.ok,
        () => false,
      );
    });
    return child;
  }

  const post = (path: string, json: unknown, id = '') =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: id === '' ? {} : { 'X-BackendAI-SessionID': id },
      body: JSON.stringify(json),
    });
  const isSignedIn = async (id: string) => {
    const answer: unknown = await (await post('/server/login-check', {}, id)).json();
    expect(answer).toHaveProperty('authenticated');
    return JSON.stringify(answer).includes('"authenticated":true');
  };
  const signIn = async () => {
    const body = { username: 'user@test.example', password: PASSWORD };
    const response = await post('/server/login', body);
    expect(response.status).toBe(200);
    return response.headers.get('x-backendai-sessionid') ?? '';
  };

  test('keeps sign-ins through a restart, and takes those that others wrote', async () => {
    const first = await start();
    const id = await signIn();
    first.kill('SIGTERM');
    expect(await first.exited).toBe(0);
    await start();
    expect(await isSignedIn(id)).toBe(true);
    const { accessKey, secretKey } = manager.accounts.admin;
    const token = { type: 'keypair', access_key: accessKey, secret_key: secretKey };
    const written = {
      created: 1_790_000_000,
      session: { authenticated: true, token: { ...token, role: 'admin', status: 'active' } },
      expiration_dt: Math.floor(Date.now() / 1000) + 600,
    };
    const other = crypto.randomUUID().replaceAll('-', '');
    await sessions.set(webSessionKey(other), JSON.stringify(written), { ttlMs: 600_000 });
    const headers = { 'X-BackendAI-SessionID': other };
    const role: unknown = await (await fetch(`${url}/func/auth/role`, { headers })).json();
    expect(role).toMatchObject({ domain_role: 'admin' });
  }, 60_000);

  test('a sign-in that the manager ends is over at once', async () => {
    const id = await signIn();
    const stored: unknown = JSON.parse((await sessions.get(webSessionKey(id))) ?? '');
    expect(stored).toEqual({
      created: expect.any(Number),
      session: {
        authenticated: true,
        token: {
          type: 'keypair',
          access_key: manager.accounts.user.accessKey,
          secret_key: manager.accounts.user.secretKey,
          role: 'user',
          status: 'active',
        },
      },
      expiration_dt: expect.any(Number),
    });
    await fetch(`${manager.url}/auth/logout`, {
      method: 'POST',
      body: JSON.stringify({ session_token: id }),
    });
    expect(await isSignedIn(id)).toBe(false);
  });

  test('without Redis requests fail clearly, and go on when it is back', async () => {
    const id = await signIn();
    await redis.kill();
    expect((await post('/server/login-check', {}, id)).status).toBe(503);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    await redis.start();
    await eventually('the web server has its Redis back', async () => {
      return (await post('/server/login-check', {}, id)).ok;
    });
  }, 60_000);
});

test('a missing configuration is told with what to do', async () => {
  const cwd = mkdtempSync(join(tmpdir(), 'bai-web-'));
  const child = Bun.spawnSync([process.execPath, PROGRAM, 'web', 'start-server', '-f', 'none'], {
    cwd,
  });
  rmSync(cwd, { recursive: true });
  expect(child.exitCode).toBe(1);
  expect(child.stderr.toString()).toContain('There is no configuration file');
  expect(child.stderr.toString()).toContain('config/webserver.conf');
});
