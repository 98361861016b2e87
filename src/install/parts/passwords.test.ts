/** Passwords of existing servers: tried before anything is written, then kept where the components read them. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRandom } from '../../common/random.ts';
import { loadManagerConfig } from '../../manager/config-file.ts';
import { installRequest } from '../../testing/install-request.ts';
import { startTestPostgres } from '../../testing/postgres.ts';
import {
  missingTool,
  requireOrSkip,
  startRedis,
  type TestService,
} from '../../testing/services.ts';
import { loadWebConfig } from '../../web/config-file.ts';
import { layoutOf, loadOrCreateSecrets } from '../layout.ts';
import { type InstallRequest, NO_PASSWORDS } from '../request.ts';
import { storedSettings, writeConfigFiles } from './config-files.ts';
import { keptPasswords, withKeptPasswords } from './kept-passwords.ts';
import { signInChecks } from './sign-in.ts';

setDefaultTimeout(60_000);
const home = mkdtempSync(join(tmpdir(), 'bai-passwords-'));
const layout = layoutOf(join(home, 'cluster'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const passwords = { redis: 'of redis', sentinel: 'of "them"', etcdUser: 'root', etcd: 'of etcd' };
const watched: InstallRequest = installRequest({
  targetPath: layout.root,
  halfstack: 'existing',
  existing: {
    ...{ postgres: '10.0.0.1:5432', redis: '10.0.0.2:26379,10.0.0.3:26379', etcd: '10.0.0.4:2379' },
    redisService: 'mymaster',
  },
  database: { name: 'backend', user: 'postgres', password: 'of postgres' },
  passwords,
});

test('they lie in files of their owner, as the components read them, and are found there again', () => {
  const secrets = loadOrCreateSecrets(layout, systemRandom);
  writeConfigFiles(watched, layout, secrets);
  const place = (name: string) => ({
    explicitPath: join(layout.config, name),
    ...{ places: { cwd: layout.config, home }, env: {} },
  });
  const manager = loadManagerConfig(place('manager.toml'));
  expect(manager.db.password).toBe('of postgres');
  expect(manager.etcd).toMatchObject({ user: 'root', password: 'of etcd' });
  expect(loadWebConfig(place('webserver.conf')).redis).toMatchObject({
    ...{ serviceName: 'mymaster', password: 'of redis', sentinelPassword: 'of "them"' },
  });
  expect(storedSettings(watched, secrets).config.redis).toMatchObject({
    ...{ password: 'of redis', sentinel_password: 'of "them"' },
  });
  expect(statSync(join(layout.config, 'webserver.conf')).mode & 0o077).toBe(0);
  expect(keptPasswords(layout)).toEqual({ database: 'of postgres', servers: passwords });
  const other = { ...watched, passwords: { ...NO_PASSWORDS, redis: 'a new one' } };
  expect(withKeptPasswords(other, layout).passwords).toEqual({ ...passwords, redis: 'a new one' });
});

describe.if(requireOrSkip(missingTool('redis-server', 'redis-server')))('with servers', () => {
  let postgres: Awaited<ReturnType<typeof startTestPostgres>>;
  let redis: TestService;
  beforeAll(async () => {
    [postgres, redis] = await Promise.all([startTestPostgres(), startRedis({ password: 'right' })]);
  });
  afterAll(async () => {
    await Promise.all([postgres?.discard(), redis?.stop()]);
  });

  const problemsWith = async (word: string, database: string): Promise<string[]> => {
    const { hostname, port, username, password } = new URL(postgres.url('postgres'));
    const request = installRequest({
      targetPath: layout.root,
      halfstack: 'existing',
      // Nobody is at etcd's address: that is told by another check.
      existing: { postgres: `${hostname}:${port}`, redis: redis.addr, etcd: '127.0.0.1:1' },
      database: { name: database, user: username, password: decodeURIComponent(password) },
      passwords: { ...NO_PASSWORDS, redis: word },
    });
    const findings = await Promise.all(signInChecks(request).map(({ run }) => run()));
    return findings
      .flatMap((finding) => finding ?? [])
      .map(({ problem, remedy }) => `${problem} ${remedy}`);
  };

  test('right ones are taken', async () => {
    expect(await problemsWith('right', 'postgres')).toEqual([]);
  });

  test('of wrong ones each is told with what to correct', async () => {
    const [ofPostgres, ofRedis, ...more] = await problemsWith('wrong', 'missing');
    expect(ofPostgres).toContain('database "missing" does not exist');
    expect(ofPostgres).toContain('--db-name');
    expect(ofRedis).toMatch(/WRONGPASS|password/);
    expect(ofRedis).toContain('BACKEND_REDIS_PASSWORD');
    expect(more).toEqual([]);
  });
});
