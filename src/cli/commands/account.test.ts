/** Signing in at a web server, and the other commands in the name of who signed in. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, readClientConfig, SignIns } from '../../client/index.ts';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { hashPassword } from '../../manager/user/password.ts';
import { silentLog } from '../../testing/manager.ts';
import { startTestServer } from '../../testing/session-server.ts';
import { startWebServer, type WebServer } from '../../web/main.ts';
import { defaultWebSettings } from '../../web/settings.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

const PASSWORD = 'correct horse 1!';
const EMAIL = 'user@test.example';

let manager: Awaited<ReturnType<typeof startTestServer>>;
let web: WebServer;
const folder = mkdtempSync(join(tmpdir(), 'cli-account-'));
const signIns = join(folder, 'backend.ai/sign-ins.json');

beforeAll(async () => {
  manager = await startTestServer();
  const hash = await hashPassword(PASSWORD, { algorithm: 'argon2id' });
  await manager.sql`UPDATE users SET password = ${hash}`;
  web = await startWebServer({
    // Secure cookies over plain HTTP: what an unchanged configuration gives.
    settings: defaultWebSettings,
    live: manager.webSessions,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    listen: { hostname: '127.0.0.1', port: 0 },
    managerUrl: manager.url,
  });
});
afterAll(async () => {
  await web.stop();
  await manager.close();
  rmSync(folder, { recursive: true });
});

function runAt(endpoint: string, argv: readonly string[], input?: string) {
  const env = {
    BACKEND_ENDPOINT_TYPE: 'session',
    BACKEND_ENDPOINT: endpoint,
    XDG_STATE_HOME: folder,
  };
  return runCommand(argv, { env, cwd: folder, input });
}
const run = (...argv: string[]) => runAt(web.url, argv);
const login = (password = PASSWORD) => runAt(web.url, ['login'], `${EMAIL}\n${password}\n`);

test('without a sign-in: told to sign in', async () => {
  const { exitCode, err } = await run('ps');
  expect(exitCode).toBe(1);
  expect(err).toStartWith('✘ BackendAPIError: 401 Unauthorized');
  expect(err).toContain('run `backend.ai login`');
  expect((await run('config')).out).toContain('Username: (not signed in)');
});

test('a wrong password, and no password', async () => {
  const wrong = await login('wrong');
  expect(wrong.exitCode).toBe(1);
  expect(wrong.err).toStartWith('User ID: Password: ✘ Login failed.\n  ');
  expect(existsSync(signIns)).toBe(false);
  const none = await runAt(web.url, ['login'], EMAIL);
  expect(none).toEqual({ exitCode: 1, out: '', err: 'User ID: Password: Aborted!\n' });
});

test('signed in: the commands act in that name', async () => {
  const { exitCode, err } = await login();
  expect({ exitCode, err }).toEqual({
    exitCode: 0,
    err: 'User ID: Password: ✓ Login succeeded.\n',
  });
  expect(statSync(signIns).mode & 0o777).toBe(0o600);
  const config = await run('config');
  expect(config.out).toContain(`API endpoint: ${web.url} (mode: session)`);
  expect(config.out).toContain(`Username: "${EMAIL}"`);
  expect((await run('ps', '--name-only')).out).toContain('work');
  expect((await run('session', 'logs', 'work')).out).toBe('a live log\n');
  const info = await run('--output', 'json', 'admin', 'user', 'info');
  expect(JSON.parse(info.out).items[0].email).toBe(EMAIL);
  writeFileSync(join(folder, 'a.txt'), 'hello');
  expect((await run('session', 'upload', 'work', 'a.txt')).exitCode).toBe(0);
});

test('code runs over the web server, its output streamed', async () => {
  const config = { BACKEND_ENDPOINT_TYPE: 'session', BACKEND_ENDPOINT: web.url };
  const client = new Client(readClientConfig(config), { signIns: SignIns.load(signIns) });
  let said = '';
  for await (const slice of await client.session.stream('work', {
    mode: 'query',
    code: 'say hello',
  })) {
    for (const [kind, text] of slice.console ?? []) if (kind === 'stdout') said += text;
  }
  expect(said).toBe('hello\n');
});

test('the sign-in is sent to that server only', async () => {
  const cookies: (string | null)[] = [];
  const other = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      cookies.push(request.headers.get('cookie'));
      return Response.json({ version: 'v9.20250722', manager: '26.4.4' });
    },
  });
  try {
    await runAt(other.url.origin, ['ps']);
    expect(cookies.length).toBeGreaterThan(0);
    expect(cookies.every((cookie) => cookie === null)).toBe(true);
    // Of several servers the one that knows us is asked, whatever the order.
    const both = await runAt(`${other.url.origin},${web.url}`, ['ps', '--name-only']);
    expect(both.out).toContain('work');
  } finally {
    await other.stop(true);
  }
});

test('update-password, told by the server when it does not do', async () => {
  const mismatch = await run('update-password', PASSWORD, 'new horse 2!', 'newer horse 2!');
  expect(mismatch.exitCode).toBe(1);
  expect(mismatch.err).toContain('new password mismatch');
  const wrong = await run('update-password', 'not it', 'new horse 2!', 'new horse 2!');
  expect(wrong.exitCode).toBe(1);
  const changed = await run('update-password', PASSWORD, 'new horse 2!', 'new horse 2!');
  expect(changed).toEqual({ exitCode: 0, out: '', err: '✓ Password updated.\n' });
});

test('logout: the sign-in is gone here and there', async () => {
  await login('new horse 2!');
  const kept = readFileSync(signIns, 'utf8');
  expect((await run('logout')).err).toBe('✓ Logout done.\n');
  expect(existsSync(signIns)).toBe(false);
  expect((await run('ps')).exitCode).toBe(1);
  writeFileSync(signIns, kept);
  expect((await run('ps')).exitCode).toBe(1);
  rmSync(signIns);
});

test('update-password-no-auth at the web server: refused while the password is valid', async () => {
  const { exitCode, err } = await run(
    ...['update-password-no-auth', 'default', EMAIL, 'new horse 2!', 'third horse 3!'],
  );
  expect(exitCode).toBe(1);
  expect(err).toStartWith('✘ The password stays as it is.\n  ');
});

/** What an authenticator app shows for the secret of RFC 6238's own examples. */
function oneTimePassword(): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const mac = createHmac('sha1', '12345678901234567890').update(counter).digest();
  const number = mac.readUInt32BE(mac.readUInt8(19) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

test('a one-time password is asked for when the account has one', async () => {
  const email = 'admin@test.example';
  await manager.sql`UPDATE users SET totp_activated = true,
      totp_key = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ' WHERE email = ${email}`;
  const wrong = await runAt(web.url, ['login'], `${email}\n${PASSWORD}\n000000\n`);
  expect(wrong.exitCode).toBe(1);
  expect(wrong.err).toStartWith('User ID: Password: One-time Password: ✘ Login failed.');
  const right = await runAt(web.url, ['login'], `${email}\n${PASSWORD}\n${oneTimePassword()}\n`);
  expect(right.err).toEndWith('✓ Login succeeded.\n');
  expect((await run('logout')).exitCode).toBe(0);
});

test('signing in is for web servers', async () => {
  const env = { ...manager.environment(manager.accounts.user), XDG_STATE_HOME: folder };
  const { exitCode, err } = await runCommand(['login'], { env, cwd: folder });
  expect(exitCode).toBe(1);
  expect(err).toContain('BACKEND_ENDPOINT_TYPE=session');
  const mixedUp = await runAt(manager.url, ['login'], `${EMAIL}\nx\n`);
  expect(mixedUp.err).toContain('is not a Backend.AI web server');
});
