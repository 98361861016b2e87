/** Dotfiles and the bootstrap script of a real session: stored through the API, found in its home. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { systemClock } from '../common/clock.ts';
import { systemRandom } from '../common/random.ts';
import { signingClient, silentLog, type TestClient } from '../testing/manager.ts';
import { until } from '../testing/until.ts';
import { type RunningCluster, startCluster } from './cluster.ts';

const TIMEOUT_MS = 120_000;

let folder: string;
let cluster: RunningCluster;
let user: TestClient;
let admin: TestClient;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dotfiles-'));
  cluster = await startCluster({
    envId: 'dotfiles',
    folder: join(folder, 'cluster'),
    backend: 'process',
    managerPort: 0,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    progress: () => {},
  });
  const clientOf = async (email: string) => {
    const [row] = await cluster.manager.ctx.sql<{ accessKey: string; secretKey: string }[]>`
      SELECT access_key AS "accessKey", secret_key AS "secretKey" FROM keypairs
       WHERE user_id = ${email} AND is_active ORDER BY created_at LIMIT 1`;
    if (row === undefined) throw new Error(`${email} has no keypair`);
    return signingClient(cluster.manager.url, { ...row, email, userId: '' });
  };
  user = await clientOf('user@lablup.com');
  admin = await clientOf('admin@lablup.com');
}, TIMEOUT_MS);
afterAll(async () => {
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
}, TIMEOUT_MS);

const answer = v.object({
  result: v.object({
    status: v.string(),
    runId: v.string(),
    console: v.array(v.tuple([v.string(), v.unknown()])),
  }),
});
async function run(session: string, code: string): Promise<string> {
  let output = '';
  let body: Record<string, unknown> = { mode: 'query', code };
  for (let turn = 0; turn < 50; turn += 1) {
    const response = await user('POST', `/session/${session}`, body);
    const { result } = v.parse(answer, await response.json());
    output += result.console.map(([kind, text]) => (kind === 'stdout' ? text : '')).join('');
    if (result.status === 'finished') return output;
    body = { mode: 'continue', code: '', run_id: result.runId };
  }
  throw new Error(`'${code}' did not end`);
}

test(
  'files of the user, the project and the domain are there, and the script has seen them',
  async () => {
    const put = async (send: TestClient, target: string, body: Record<string, unknown>) => {
      const response = await send('POST', target, body);
      expect([target, response.status]).toEqual([target, 200]);
    };
    const script = 'chmod +x .tool/run; cat .who .team .place > seen.txt';
    await put(user, '/user-config/bootstrap-script', { script });
    const own = [
      { path: '.who', permission: '600', data: 'me\n' },
      { path: '.tool/run', permission: '644', data: '#!/bin/sh\necho it runs\n' },
    ];
    for (const file of own) await put(user, '/user-config/dotfiles', file);
    const keys = v.parse(
      v.object({ ssh_public_key: v.string() }),
      await (await user('PATCH', '/auth/ssh-keypair')).json(),
    );
    for (const [path, data] of [
      ['.who', 'the project\n'],
      ['.team', 'the team\n'],
    ]) {
      const file = { path, data, permission: '640', group: 'default', domain: 'default' };
      await put(admin, '/group-config/dotfiles', file);
    }
    const place = { path: '.place', permission: '644', data: 'the domain\n', domain: 'default' };
    await put(admin, '/domain-config/dotfiles', place);

    const made = await user('POST', '/session', {
      clientSessionToken: 'with-dotfiles',
      lang: 'bash',
      config: { resources: { cpu: 1, mem: '256m' } },
    });
    expect([made.status, await made.clone().text()]).toMatchObject([201, expect.any(String)]);
    expect(await run('with-dotfiles', 'cat seen.txt')).toBe('me\nthe team\nthe domain\n');
    expect(await run('with-dotfiles', './.tool/run')).toBe('it runs\n');
    const authorized = await run('with-dotfiles', 'cat .ssh/authorized_keys');
    expect(authorized.trim()).toBe(keys.ssh_public_key.trim());
    const half = await run('with-dotfiles', 'ssh-keygen -y -f id_container | cut -d" " -f2');
    expect(authorized).toContain(half.trim());
    const modes = await run('with-dotfiles', 'stat -c "%a %U %n" .who .team .place .tool');
    expect(modes.replaceAll(/ \S+ /g, ' ')).toBe('600 .who\n640 .team\n644 .place\n755 .tool\n');

    await user('DELETE', '/session/with-dotfiles');
    await until(
      async () => (await user('GET', '/session/with-dotfiles')).status === 404,
      'the session has ended',
      TIMEOUT_MS,
    );
  },
  TIMEOUT_MS,
);

test('paths outside the home folder are refused when they are stored', async () => {
  for (const path of [
    '/etc/passwd',
    '../x',
    'a/../../b',
    '',
    '.',
    '/home/work',
    '.ssh',
    './.ssh/',
  ]) {
    const file = { path, permission: '644', data: 'x' };
    expect([path, (await user('POST', '/user-config/dotfiles', file)).status]).toEqual([path, 400]);
  }
});
