/** `backend.ai mgr …`: from an empty database to accounts and images, and the keys in etcd. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSchema } from 'graphql';
import { reportFailure } from '../../cli/framework/failures.ts';
import { runProgram } from '../../cli/framework/program.ts';
import type { CommandIo } from '../../common/command.ts';
import { keysFromPem } from '../../common/rpc/keys.ts';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import { missingTool, requireOrSkip, sharedEtcd } from '../../testing/services.ts';
import { resolveImage } from '../image/service.ts';
import { findActiveKeypair } from '../keypair/service.ts';
import { mgrCommands } from './index.ts';

const FIXTURES = join(import.meta.dir, '../../../fixtures/manager');

let db: TestDatabase;
let folder = '';
beforeAll(async () => {
  db = await testDatabase({ migrated: false });
  folder = await mkdtemp(join(tmpdir(), 'mgr-'));
});
afterAll(async () => {
  await db.drop();
  await rm(folder, { recursive: true });
});

async function writeConfig(more = ''): Promise<void> {
  const { hostname, port, username, password, pathname } = new URL(db.url);
  await writeFile(
    join(folder, 'manager.toml'),
    `[db]\naddr = "${hostname}:${port}"\nname = "${pathname.slice(1)}"\n` +
      `user = "${username}"\npassword = "${password}"\n${more}`,
  );
}
beforeEach(() => writeConfig());

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function mgr(...args: string[]): Promise<Outcome> {
  const text = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    write: (chunk: string | Uint8Array) => {
      text[name] += typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk);
    },
    isTTY: false,
    columns: 80,
    rows: 24,
  });
  const io: CommandIo = {
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    env: { PATH: process.env.PATH, HOME: folder },
    cwd: folder,
  };
  const code = await runProgram(
    { name: 'mgr', description: '', version: '0', commands: mgrCommands },
    args,
    io,
    async (error, globals) => reportFailure(error, globals, io),
  );
  return { code, ...text };
}

test('a new installation: schema, fixtures, images', async () => {
  const early = await mgr('fixture', 'populate', join(FIXTURES, 'example-users.json'));
  expect(early.code).toBe(1);
  expect(early.stderr).toContain('mgr schema oneshot');

  expect((await mgr('schema', 'show')).stdout).toStartWith('Current database revision: 0\n');
  expect(await mgr('schema', 'oneshot', '-f', 'alembic.ini')).toMatchObject({ code: 0 });
  expect((await mgr('schema', 'oneshot')).stdout).toStartWith('The schema is up to date');

  const populated = await mgr('fixture', 'populate', join(FIXTURES, 'example-users.json'));
  expect(populated).toMatchObject({ code: 0, stderr: '' });
  expect(populated.stdout).toContain('users: 5\n');
  expect(await findActiveKeypair(db.sql, 'AKIANABBDUSEREXAMPLE')).not.toBeNull();
  const again = await mgr('fixture', 'populate', join(FIXTURES, 'example-users.json'));
  expect(again.stdout).toContain('users: 0 (5 existed already)\n');

  // As an older manager would leave it, which knows nothing of roles.
  const roles = async () => (await db.sql`SELECT id FROM roles ORDER BY id`).map(({ id }) => id);
  const all = await roles();
  await db.sql`DELETE FROM roles WHERE name LIKE 'user-%'`;
  expect((await mgr('schema', 'oneshot')).code).toBe(0);
  expect(await roles()).toEqual(all);

  const scanned = await mgr('image', 'rescan', 'local');
  expect(scanned.code).toBe(0);
  expect(scanned.stdout).toContain('local/bash:');
  const listed = await mgr('image', 'list', '-s');
  expect(listed.stdout).toMatch(/^local\/bash:\d+\s+sha256:[0-9a-f]{64}$/m);

  expect(await mgr('image', 'alias', 'shell', 'bash')).toMatchObject({ code: 0 });
  const shell = await resolveImage(db.sql, {
    reference: 'shell',
    architecture: null,
    viewer: null,
  });
  expect(shell.image).toBe('bash');
  expect(JSON.parse((await mgr('image', 'inspect', 'shell')).stdout).id).toBe(shell.id);
  expect((await mgr('image', 'dealias', 'shell')).code).toBe(0);
  expect((await mgr('image', 'dealias', 'shell')).stderr).toContain("no image alias 'shell'");
  expect((await mgr('image', 'forget', 'bash')).code).toBe(0);
  expect((await mgr('image', 'list', '-s')).stdout).not.toContain('local/bash');
  expect((await mgr('image', 'rescan', 'cr.example.com')).stderr).toContain(
    'no container registry',
  );
});

test('the API is described, without a database', async () => {
  const written = await mgr('api', 'dump-openapi', '--output', 'api.json');
  expect(written).toEqual({ code: 0, stdout: '', stderr: '' });
  const document = JSON.parse(await readFile(join(folder, 'api.json'), 'utf8'));
  expect(document.paths['/session'].post.summary).toBe('Create a session.');
  expect(JSON.parse((await mgr('api', 'dump-openapi')).stdout)).toEqual(document);
  const nowhere = await mgr('api', 'dump-openapi', '-o', 'no/such/folder.json');
  expect(nowhere.code).toBe(1);
  expect(nowhere.stderr).toContain('Cannot write no/such/folder.json');

  const dumped = await mgr('api', 'dump-gql-schema', '--v2');
  expect(buildSchema(dumped.stdout).getQueryType()?.getFields().keypair).toBeDefined();
  const shown = await mgr('gql', 'show');
  expect(shown.stdout).toBe(dumped.stdout);
  expect(shown.stderr).toContain('mgr api dump-gql-schema');
});

test('a fixture that is wrong or absent is refused in words', async () => {
  const path = join(folder, 'bad.json');
  await writeFile(path, '{"no_such_table": []}');
  const refused = await mgr('fixture', 'populate', path);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("There is no table 'no_such_table'");
  expect((await mgr('fixture', 'populate', 'absent.json')).stderr).toContain('Cannot read');
});

test('a database that is not there is named, without its password', async () => {
  await writeFile(
    join(folder, 'manager.toml'),
    '[db]\naddr = "127.0.0.1:1"\nname = "x"\nuser = "y"\npassword = "hush-hush"\n',
  );
  const { code, stderr } = await mgr('schema', 'show');
  expect(code).toBe(1);
  expect(stderr).toContain('127.0.0.1:1/x');
  expect(stderr).toContain('[db]');
  expect(stderr).not.toContain('hush-hush');
});

test('keypairs are made for the API and for the nodes', async () => {
  const { stdout } = await mgr('generate-api-keypair');
  expect(stdout).toMatch(
    /^Access Key: AKIA[A-Z0-9]{16} \(20 bytes\)\nSecret Key: \w{40} \(40 bytes\)\n$/,
  );
  const made = await mgr('generate-rpc-keypair', 'keys', 'manager');
  expect(made.code).toBe(0);
  const secretPath = join(folder, 'keys/manager.key_secret');
  const keys = keysFromPem(await readFile(secretPath, 'utf8'));
  expect(made.stdout).toContain(`Public Key: ${keys.publicKey}`);
  expect((await readFile(join(folder, 'keys/manager.key'), 'utf8')).trim()).toBe(keys.publicKey);
  expect((await stat(secretPath)).mode & 0o777).toBe(0o600);
  expect((await mgr('generate-rpc-keypair', '.', '../x')).code).toBe(1);
});

test('the database shell gets address, password and arguments', async () => {
  if (!requireOrSkip(missingTool('psql', 'postgresql-client'))) return;
  // Its output goes to this process's own streams, so the file it writes is looked at.
  const path = join(folder, 'answer.txt');
  const { code } = await mgr(
    'dbshell',
    '-X',
    '-A',
    '-t',
    '-o',
    path,
    '-c',
    'SELECT current_database()',
  );
  expect(code).toBe(0);
  expect((await readFile(path, 'utf8')).trim()).toBe(new URL(db.url).pathname.slice(1));
});

const etcdIsThere = requireOrSkip(missingTool('etcd', 'etcd-server'));
describe.skipIf(!etcdIsThere)('etcd', () => {
  let server: Awaited<ReturnType<typeof sharedEtcd>>;
  beforeAll(async () => {
    server = await sharedEtcd();
  });
  afterAll(() => server.stop());
  beforeEach(() =>
    writeConfig(`[etcd]\naddr = "${server.addr}"\nnamespace = "${server.namespace}"\n`),
  );

  test('keys are put, read, listed and deleted', async () => {
    expect(await mgr('etcd', 'put', 'config/redis/addr', '127.0.0.1:6379')).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    expect((await mgr('etcd', 'get', 'config/redis/addr')).stdout).toBe('127.0.0.1:6379\n');
    expect(await mgr('etcd', 'get', 'config/redis')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: "There is no key 'config/redis'.\n",
    });
    await mgr('etcd', 'put', 'config/redis', 'at the prefix');
    const tree = await mgr('etcd', 'get', '--prefix', 'config/redis');
    expect(JSON.parse(tree.stdout)).toEqual({ '': 'at the prefix', addr: '127.0.0.1:6379' });
    expect((await mgr('etcd', 'delete', 'config/redis')).code).toBe(0);
    expect((await mgr('etcd', 'delete', 'config/redis')).stderr).toContain('There is no key');
    expect((await mgr('etcd', 'get', 'config/redis/addr')).code).toBe(0);
    expect((await mgr('etcd', 'delete', '--prefix', 'config')).stderr).toContain('Deleted 1');
    expect((await mgr('etcd', 'get', '--prefix', 'config')).stdout).toBe('{}\n');
  });

  test('JSON becomes keys and comes back', async () => {
    const volumes = { proxies: { local: { client_api: 'http://x:6021' } }, 'a/b': '1', _mount: '' };
    await writeFile(join(folder, 'volumes.json'), JSON.stringify(volumes));
    expect(await mgr('etcd', 'put-json', 'volumes', 'volumes.json')).toMatchObject({ code: 0 });
    expect((await mgr('etcd', 'get', 'volumes/a%2Fb')).stdout).toBe('1\n');
    expect(JSON.parse((await mgr('etcd', 'get', '--prefix', 'volumes')).stdout)).toEqual(volumes);
    expect((await mgr('etcd', 'move-subtree', 'volumes', 'archive/volumes')).code).toBe(0);
    expect((await mgr('etcd', 'get', '--prefix', 'volumes')).stdout).toBe('{}\n');
    expect(JSON.parse((await mgr('etcd', 'get', '--prefix', 'archive')).stdout)).toEqual({
      volumes,
    });
    expect((await mgr('etcd', 'move-subtree', 'archive', 'archive/x')).code).toBe(1);
    await writeFile(join(folder, 'list.json'), '["x"]');
    expect((await mgr('etcd', 'put-json', 'x', 'list.json')).stderr).toContain('not a JSON object');
  });

  test('scopes that need a name are refused with what to do', async () => {
    const { code, stderr } = await mgr('etcd', 'put', 'k', 'v', '-s', 'SGROUP');
    expect(code).toBe(1);
    expect(stderr).toContain('sgroup/<name>/');
    expect((await mgr('etcd', 'get', 'k', '-s', 'elsewhere')).code).toBe(2);
  });

  test('parts of keys are quoted', async () => {
    expect((await mgr('etcd', 'quote', 'a/b:c')).stdout).toBe('a%2Fb%3Ac\n');
    expect((await mgr('etcd', 'unquote', 'a%2Fb%3Ac')).stdout).toBe('a/b:c\n');
  });
});
