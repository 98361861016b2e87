/** `mgr support-bundle`: what it tells, and that no secret is in it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { openEtcdConfigStore } from '../../stores/config/etcd.ts';
import { runCommands } from '../../testing/commands.ts';
import { silentLog, type TestManagerContext, testManagerContext } from '../../testing/manager.ts';
import { missingTool, requireOrSkip, sharedEtcd } from '../../testing/services.ts';
import { insertAgent, insertProject, insertSession } from '../../testing/sessions.ts';
import { mgrCommands } from '../cli/index.ts';
import { REMOVED, Redactor } from './redact.ts';

setDefaultTimeout(60_000);

const etcdIsThere = requireOrSkip(missingTool('etcd', 'etcd-server'));
const undo = new AsyncDisposableStack();
let manager: TestManagerContext;
let etcd: Awaited<ReturnType<typeof sharedEtcd>>;
let folder = '';

async function configure(addr: string): Promise<void> {
  const { hostname, port, username, password, pathname } = new URL(manager.db.url);
  await writeFile(
    join(folder, 'manager.toml'),
    `[db]\naddr = "${hostname}:${port}"\nname = "${pathname.slice(1)}"\nuser = "${username}"\n` +
      `password = "${password}"\n[etcd]\naddr = "${addr}"\nnamespace = "${etcd.namespace}"\n` +
      `[manager]\nsecret = "jwt-planted-secret"\ninternal-addr = "127.0.0.1:1"\n` +
      `[logging]\ndrivers = ["file"]\n[logging.file]\npath = "logs"\nfilename = "manager.log"\n`,
  );
}

beforeAll(async () => {
  if (!etcdIsThere) return;
  manager = await testManagerContext();
  undo.defer(() => manager.close());
  folder = await mkdtemp(join(tmpdir(), 'support-'));
  undo.defer(() => rm(folder, { recursive: true }));
  etcd = await sharedEtcd();
  undo.defer(() => etcd.stop());
  const { sql } = manager.ctx;
  const projectId = await insertProject(sql);
  await insertAgent(sql, 'i-support');
  const owner = manager.accounts.user;
  const common = { projectId, agentId: 'i-support', owner };
  await insertSession(sql, { ...common, name: 'waits', status: 'PENDING' });
  await sql`INSERT INTO error_logs (severity, source, message, context_lang, context_env)
    VALUES ('error', 'test', ${`it failed with ${owner.secretKey}`}, 'none', '{}')`;
  const store = await openEtcdConfigStore({
    ...{ addrs: [etcd.addr], namespace: etcd.namespace, log: silentLog },
  });
  await store.put('volumes/proxies/local/secret', 'etcd-planted-secret');
  await store.put('volumes/proxies/local/client_api', 'http://127.0.0.1:6021');
  await store.put('config/redis/addr', '127.0.0.1:1');
  await store.close();
  await writeFile(join(folder, 'agent.toml'), '[agent]\nregistration-token = "agent-planted"\n');
  await mkdir(join(folder, 'logs'));
  await writeFile(
    join(folder, 'logs/manager.log'),
    `started\nconnects with jwt-planted-secret and etcd-planted-secret\nkey ${owner.accessKey}\n`,
  );
  await configure(etcd.addr);
});
afterAll(() => undo.disposeAsync());

const bundle = (name: string) =>
  runCommands(mgrCommands, folder, ['support-bundle', join(folder, name)]);
const contentOf = async (name: string) => gunzipSync(await readFile(join(folder, name))).toString();
const check = test.skipIf(!etcdIsThere);

check('tells states, failures, configuration and logs', async () => {
  const { code, stdout, stderr } = await bundle('whole.tar.gz');
  expect(code).toBe(0);
  expect(stdout).toContain('whole.tar.gz with ');
  expect(stderr).toContain('Could not read Redis');
  expect(stderr).toContain('Could not read metrics');
  expect((await stat(join(folder, 'whole.tar.gz'))).mode & 0o777).toBe(0o600);
  const content = await contentOf('whole.tar.gz');
  const told = [
    ...['config/manager.toml', 'config/agent.toml', 'logs/manager.log', 'database/waiting.json'],
    ...['machine.json', 'problems.json', 'i-support', '"status": "PENDING"', 'it failed with'],
    ...['http://127.0.0.1:6021', 'connects with', 'internal-addr = "127.0.0.1:1"'],
  ];
  expect(told.filter((text) => !content.includes(text))).toEqual([]);
});

check('has no secret and no address of anybody in it, wherever it stood', async () => {
  expect((await bundle('clean.tar.gz')).code).toBe(0);
  const content = await contentOf('clean.tar.gz');
  const { user, superadmin } = manager.accounts;
  const secrets = [
    ...['jwt-planted-secret', 'etcd-planted-secret', 'agent-planted'],
    ...[new URL(manager.db.url).password, user.secretKey, superadmin.secretKey],
    ...[user.accessKey, user.email, superadmin.email],
  ];
  expect(secrets.filter((secret) => content.includes(secret))).toEqual([]);
});

check('is made of what there is when servers are down', async () => {
  await configure('127.0.0.1:1');
  try {
    const { code, stderr } = await bundle('broken.tar.gz');
    expect(code).toBe(0);
    expect(stderr).toContain('Could not read configuration store');
    const content = await contentOf('broken.tar.gz');
    expect(content.includes('database/sessions.json')).toBe(true);
  } finally {
    await configure(etcd.addr);
  }
});

test.each([
  ['password = "hunter2"', `password = "${REMOVED}"`],
  ['{"secret_key": "a\\"b", "size": 3}', `{"secret_key": "${REMOVED}", "size": 3}`],
  ["api_token: 'x'", `api_token: '${REMOVED}'`],
  ['postgresql://me:pw@db/x', `postgresql://me:${REMOVED}@db/x`],
  ['Authorization: Bearer abcdefgh12345', `Authorization: Bearer ${REMOVED}`],
  ['-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----', REMOVED],
  ['AKIAIOSFODNN7EXAMPLE ran', `${REMOVED} ran`],
  ['service-addr = "0.0.0.0:8080"', 'service-addr = "0.0.0.0:8080"'],
  ['tokens are nice', 'tokens are nice'],
  [
    '{"msg":"login with password=hunter2 failed"}',
    `{"msg":"login with password=${REMOVED} failed"}`,
  ],
  [
    '{"msg":"refused: {\\"password\\":\\"hun ter2\\",\\"n\\":1}"}',
    `{"msg":"refused: {\\"password\\":\\"${REMOVED}\\",\\"n\\":1}"}`,
  ],
  ['a=b=token=x1', `a=b=token=${REMOVED}`],
])('%p becomes %p', (before, after) => {
  expect(new Redactor().text(before)).toBe(after);
});

test('a value that a secret name had is taken out elsewhere too, the longer one first', () => {
  const redactor = new Redactor();
  redactor.learnAll({ db: { password: 'abcdef' }, proxies: { one: { secret: 'abcdef123' } } });
  expect(redactor.text('x abcdef123 y abcdef z')).toBe(`x ${REMOVED} y ${REMOVED} z`);
});

test.each([
  ['there is no user@example.com.', `there is no ${REMOVED}.`],
  [
    'GET /users/user@example.com/keys?of=user@example.com&n=1',
    `GET /users/${REMOVED}/keys?of=${REMOVED}&n=1`,
  ],
  [
    'the hash pbkdf2:100:c2FsdHNhbHQ:aGFzaGhhc2hoYXNoaGFzaA',
    `the hash pbkdf2:100:c2FsdHNhbHQ:${REMOVED}`,
  ],
  ["login of o'hara@example.com and with a=b:c!d", `login of o'${REMOVED} and with ${REMOVED}`],
  ['other.user@example.com stays', 'other.user@example.com stays'],
])(
  'words that are secrets are taken out where marks are beside and in them: %p',
  (before, after) => {
    const redactor = new Redactor();
    const hash = 'pbkdf2:100:c2FsdHNhbHQ:aGFzaGhhc2hoYXNoaGFzaA';
    for (const word of ['user@example.com', hash, "o'hara@example.com", 'a=b:c!d']) {
      redactor.learnWord(word);
    }
    expect(redactor.text(before)).toBe(after);
  },
);
