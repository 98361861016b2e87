/** `mgr backup` and `mgr restore`, from a cluster with everything in it to an empty one. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { generateKeys, loadKeys, type NodeKeys, saveKeys } from '../../common/rpc/keys.ts';
import { openEtcdConfigStore } from '../../stores/config/etcd.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { createMemoryLiveStore } from '../../stores/live/memory.ts';
import { runCommands } from '../../testing/commands.ts';
import { databaseState } from '../../testing/database-state.ts';
import { type TestFolders, testFolders } from '../../testing/folders.ts';
import { signingClient, silentLog } from '../../testing/manager.ts';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import { missingTool, requireOrSkip, sharedEtcd } from '../../testing/services.ts';
import { insertTenantRows } from '../../testing/tenant-rows.ts';
import { mgrCommands } from '../cli/index.ts';
import { startManager } from '../main.ts';
import { MANIFEST } from './manifest.ts';
import { checkBackup, readEntries } from './read.ts';
import { writeBackup } from './write.ts';

setDefaultTimeout(120_000);

const CONFIG: ReadonlyMap<string, string> = new Map([
  ['config/redis/addr', '127.0.0.1:1'],
  ['config/odd', 'two\nlines, a "quote", \\ and ünïcode'],
  ['config/empty', ''],
  ['volumes/proxies/local/secret', 's3cret'],
]);
const NOT_COPIED = { except: ['config_entries', 'schema_migrations'] };
const state = (database: TestDatabase) => databaseState(database.sql, NOT_COPIED);

/** A cluster's database and configuration, and the folder from which `mgr` is run. */
interface TestCluster {
  readonly folder: string;
  readonly db: TestDatabase;
  readonly config: ConfigStore;
  readonly keyPath: string;
  mgr(...argv: string[]): ReturnType<typeof runCommands>;
}

describe.skipIf(!requireOrSkip(missingTool('etcd', 'etcd-server')))('a backup', () => {
  const undo = new AsyncDisposableStack();
  let etcd: Awaited<ReturnType<typeof sharedEtcd>>;
  let home = '';
  let source: TestFolders;
  let first: TestCluster;
  let keys: NodeKeys;
  let file = '';
  let clusters = 0;

  async function cluster(db: TestDatabase): Promise<TestCluster> {
    clusters += 1;
    const folder = join(home, `cluster-${clusters}`);
    await mkdir(folder);
    const namespace = `${etcd.namespace}-${clusters}`;
    const config = await openEtcdConfigStore({ addrs: [etcd.addr], namespace, log: silentLog });
    undo.defer(() => config.close());
    const { hostname, port, username, password, pathname } = new URL(db.url);
    const keyPath = join(folder, 'manager.key_secret');
    await writeFile(
      join(folder, 'manager.toml'),
      `[db]\naddr = "${hostname}:${port}"\nname = "${pathname.slice(1)}"\nuser = "${username}"\n` +
        `password = "${password}"\n[etcd]\naddr = "${etcd.addr}"\nnamespace = "${namespace}"\n` +
        `[manager]\nid = "i-backup"\nrpc-auth-manager-keypair = "${keyPath}"\n`,
    );
    const mgr = (...argv: string[]) => runCommands(mgrCommands, folder, argv);
    return { folder, db, config, keyPath, mgr };
  }

  async function emptyCluster(): Promise<TestCluster> {
    const db = await testDatabase({ migrated: false });
    undo.defer(() => db.drop());
    return cluster(db);
  }

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'backup-'));
    undo.defer(() => rm(home, { recursive: true }));
    etcd = await sharedEtcd();
    undo.defer(() => etcd.stop());
    source = await testFolders();
    undo.defer(() => source.close());
    await insertTenantRows(source);
    await source.db
      .sql`INSERT INTO error_logs (severity, source, message, context_lang, context_env)
      VALUES ('error', 'test', ${'a tab\t, a line\n, a \\ and \\N'}, 'none', '{}')`;
    first = await cluster(source.db);
    await first.config.putMany(CONFIG);
    keys = generateKeys();
    await saveKeys(first.keyPath, keys);
    file = join(home, 'whole.backup.tar.gz');
    const alive = await first.config.putEphemeral('nodes/manager/i-backup', 'up', 60_000);
    const written = await first.mgr('backup', file);
    await alive.close();
    expect(written).toMatchObject({ code: 0 });
    expect(written.stdout).toContain(`Wrote ${file}: `);
  });
  afterAll(() => undo.disposeAsync());

  test('is a file for its owner only, and can be checked without a cluster', async () => {
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const checked = await first.mgr('restore', '--check', file);
    expect(checked).toMatchObject({ code: 0, stderr: '' });
    expect(checked.stdout).toMatch(/is whole: [1-9]\d* rows of \d+ tables, 4 entries/);
  });

  test('does not go into a file that somebody put in its way', async () => {
    const [lured, other] = [join(home, 'lured'), join(home, 'other')];
    await writeFile(other, 'of somebody else');
    await symlink(other, `${lured}.partial`);
    expect((await first.mgr('backup', lured)).code).toBe(0);
    expect((await stat(lured)).mode & 0o777).toBe(0o600);
    expect(await readFile(other, 'utf8')).toBe('of somebody else');
  });

  test('does not replace a file unless told to', async () => {
    const refused = await first.mgr('backup', file);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('--force');
    expect((await first.mgr('backup', '--force', file)).code).toBe(0);
  });

  test('that cannot be written leaves nothing', async () => {
    const refused = await first.mgr('backup', join(home, 'missing', 'file'));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('Cannot write');
    expect((await readdir(home)).filter((name) => name.endsWith('.partial'))).toEqual([]);
  });

  test('restored into an empty cluster is the same cluster, for people and for agents', async () => {
    const second = await emptyCluster();
    const restored = await second.mgr('restore', file);
    expect(restored).toMatchObject({ code: 0 });
    expect(await state(second.db)).toEqual(await state(source.db));
    expect(await second.config.list('')).toEqual(new Map(CONFIG));
    expect((await loadKeys(second.keyPath)).publicKey).toBe(keys.publicKey);

    const { settings } = source.ctx;
    const manager = await startManager({
      ...{ id: 'i-backup', settings, sql: second.db.sql, config: second.config },
      live: createMemoryLiveStore({ clock: systemClock }),
      managerKeys: await loadKeys(second.keyPath),
      ...{ clock: systemClock, random: systemRandom, log: silentLog },
      listen: { hostname: '127.0.0.1', port: 0 },
      internalListen: { hostname: '127.0.0.1', port: 0 },
    });
    try {
      const call = signingClient(manager.url, source.people.user);
      const answer = await call('POST', '/admin/gql', { query: '{ keypair { user_id } }' });
      expect(await answer.json()).toMatchObject({
        data: { keypair: { user_id: source.people.user.email } },
      });
      // Numbers that the database gives go on after those that were restored.
      const made = await call('POST', '/folders', { name: 'after-restore' });
      expect(made.status).toBeLessThan(500);
    } finally {
      await manager.stop();
    }
  });

  test('is not restored over a cluster in use', async () => {
    const before = await state(source.db);
    const refused = await first.mgr('restore', file);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('an empty one only');
    expect(await state(source.db)).toEqual(before);
  });

  test('asks which configuration counts, then takes the one that was named', async () => {
    const other = await emptyCluster();
    await other.config.put('config/redis/addr', '127.0.0.1:2');
    const asked = await other.mgr('restore', file);
    expect(asked.code).toBe(1);
    expect(asked.stderr).toContain('config/redis/addr');
    expect(asked.stderr).toContain('--prefer');
    expect((await other.config.list('')).size).toBe(1);

    expect((await other.mgr('restore', '--prefer', 'present', file)).code).toBe(0);
    expect(await other.config.get('config/redis/addr')).toBe('127.0.0.1:2');
    expect(await other.config.get('config/empty')).toBe('');

    const third = await emptyCluster();
    await third.config.put('config/redis/addr', '127.0.0.1:2');
    expect((await third.mgr('restore', '--prefer', 'backup', file)).code).toBe(0);
    expect(await third.config.get('config/redis/addr')).toBe('127.0.0.1:1');
  });

  test('does not replace another key of the manager, and goes on where it stopped', async () => {
    const other = await emptyCluster();
    const present = generateKeys();
    await saveKeys(other.keyPath, present);
    const refused = await other.mgr('restore', file);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('--replace-key');
    expect((await loadKeys(other.keyPath)).publicKey).toBe(present.publicKey);

    expect((await other.mgr('restore', '--replace-key', file)).code).toBe(0);
    expect((await loadKeys(other.keyPath)).publicKey).toBe(keys.publicKey);
    expect(await state(other.db)).toEqual(await state(source.db));
  });

  test('whose rows the database refuses is told of, and leaves an empty database', async () => {
    const wrong = join(home, 'wrong.backup.tar.gz');
    const manifest = await checkBackup(file);
    await writeBackup(wrong, new Date(), async (writer) => {
      await readEntries(file, async (name, content) => {
        const isRows = name.startsWith('database/users/');
        if (name !== MANIFEST) await writer.add(name, isRows ? `one column\n${content}` : content);
      });
      const { entries: _, ...contents } = manifest;
      return contents;
    });
    const empty = await emptyCluster();
    const refused = await empty.mgr('restore', wrong);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/refuses the rows of table 'users'|missing data for column/);
    expect(refused.stderr).not.toMatch(/^ +at /m);
    const [users] = await empty.db.sql`SELECT count(*)::int AS count FROM users`;
    expect(users?.count).toBe(0);
    expect((await empty.mgr('restore', file)).code).toBe(0);
  });

  describe('that is damaged is refused before anything is changed:', () => {
    /** The archive with one byte of the content altered. */
    const altered = (archive: Buffer): Buffer => {
      const content = gunzipSync(archive);
      const at = content.indexOf(Buffer.from('s3cret'));
      content[at] = 0x53;
      return gzipSync(content);
    };
    test.each<[string, (archive: Buffer) => Buffer, string]>([
      ['cut off', (archive) => archive.subarray(0, archive.length - 2000), 'not a whole backup'],
      ['altered', altered, 'was altered'],
      ['empty', () => Buffer.alloc(0), 'not a whole backup'],
      ['another file', () => Buffer.from('no archive at all'), 'not a whole backup'],
    ])('%s', async (_, damage, complaint) => {
      const broken = join(home, 'broken.backup.tar.gz');
      await writeFile(broken, damage(await readFile(file)));
      const empty = await emptyCluster();
      const refused = await empty.mgr('restore', broken);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain(complaint);
      expect(await empty.config.list('')).toEqual(new Map());
      const tables = await empty.db.sql`SELECT FROM pg_tables WHERE schemaname = 'public'`;
      expect(tables).toHaveLength(0);
    });
  });
});
