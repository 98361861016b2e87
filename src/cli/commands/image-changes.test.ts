/** `admin image` and `image` on a real manager: names, removal, and a scan in the background. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestServer } from '../../testing/session-server.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

let server: Awaited<ReturnType<typeof startTestServer>>;
const folder = mkdtempSync(join(tmpdir(), 'cli-image-'));
const mine = crypto.randomUUID();

beforeAll(async () => {
  server = await startTestServer();
  const { sql, accounts } = server;
  const registry = crypto.randomUUID();
  await sql`UPDATE domains SET allowed_docker_registries = '{local,cr.example}'
            WHERE name = 'default'`;
  await sql`INSERT INTO container_registries (id, url, registry_name, type, project, is_global)
    VALUES (${registry}, 'http://127.0.0.1:1', 'cr.example', 'docker', 'team', true)`;
  const labels = {
    'ai.backend.customized-image.owner': `user:${accounts.user.userId}`,
    'ai.backend.customized-image.name': 'my own',
    'ai.backend.customized-image.user.email': accounts.user.email,
  };
  const insert = (id: string, name: string, owned: boolean) =>
    sql`INSERT INTO images (id, name, project, image, tag, registry, registry_id, architecture,
        config_digest, size_bytes, type, labels, resources)
      VALUES (${id}, ${`cr.example/team/${name}:1.0`}, 'team', ${`team/${name}`}, '1.0',
        'cr.example', ${registry}, 'x86_64', 'sha256:00', 1048576, 'COMPUTE',
        ${sql.json(owned ? labels : {})}, '{}')`;
  await insert(mine, 'mine', true);
  await insert(crypto.randomUUID(), 'tool', false);
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

function runAs(role: 'superadmin' | 'user', ...argv: string[]) {
  const env = { ...server.environment(server.accounts[role]), XDG_STATE_HOME: folder };
  return runCommand(argv, { env, cwd: folder });
}
const TOOL = 'cr.example/team/tool:1.0';

test('alias and dealias', async () => {
  const named = await runAs('superadmin', 'admin', 'image', 'alias', 'hammer', TOOL);
  expect(named).toEqual({
    exitCode: 0,
    out: '',
    err: `✓ An alias has been created: hammer -> ${TOOL}\n`,
  });
  const list = await runAs('superadmin', '--output', 'json', 'admin', 'image', 'list');
  const tool = JSON.parse(list.out).items.find((item: { name: string }) =>
    item.name.endsWith('tool'),
  );
  expect(tool.aliases).toEqual(['hammer']);
  const dealias = ['admin', 'image', 'dealias', 'hammer'];
  expect((await runAs('superadmin', ...dealias)).exitCode).toBe(0);
  const again = await runAs('superadmin', ...dealias);
  expect(again.exitCode).toBe(1);
  expect(again.err).toContain("There is no image alias 'hammer'");
  const refused = await runAs('user', 'admin', 'image', 'alias', 'nail', TOOL);
  expect(refused.exitCode).toBe(1);
  expect(refused.err).toStartWith('✘ ');
});

test('image list --customized: whose it is and what it is called', async () => {
  const { out } = await runAs('user', 'image', 'list', '--customized');
  const [header = '', , ...rows] = out.trimEnd().split('\n');
  expect(header).toEndWith('Customized Image Info');
  expect(rows).toHaveLength(1);
  expect(rows[0]).toEndWith('my own (Owner: user@test.example)');
});

test('image forget and purge: of what one has made oneself', async () => {
  const others = await runAs('user', 'image', 'forget', TOOL);
  expect(others.exitCode).toBe(1);
  const unknown = await runAs('user', 'image', 'purge', 'cr.example/team/none:1.0');
  expect(unknown.exitCode).toBe(1);
  expect(unknown.err).toContain('cr.example/team/none:1.0');
  const forgotten = await runAs('user', 'image', 'forget', 'cr.example/team/mine:1.0');
  expect(forgotten).toMatchObject({
    exitCode: 0,
    err: '✓ Image forgotten: cr.example/team/mine:1.0\n',
  });
  const [row] = await server.sql`SELECT status FROM images WHERE id = ${mine}`;
  expect(row?.status).toBe('DELETED');
  const purged = await runAs('superadmin', '--output', 'json', 'image', 'purge', mine);
  expect(JSON.parse(purged.out)).toEqual({ ok: true, id: mine });
  expect(await server.sql`SELECT FROM images WHERE id = ${mine}`).toHaveLength(0);
});

test('rescan: watched to its end', async () => {
  const local = await runAs('superadmin', 'admin', 'image', 'rescan', '-r', 'local');
  expect(local.exitCode).toBe(0);
  expect(local.err).toStartWith('✓ Started updating the image metadata');
  expect(local.err).toMatch(/✓ Finished registry scanning\. Found \d+ images/);
  const away = ['admin', 'image', 'rescan', '-r', 'cr.example', '-p', 'team'];
  const failed = await runAs('superadmin', ...away);
  expect(failed.exitCode).toBe(1);
  expect(failed.err).toContain('✗ Error occurred: ');
  const json = await runAs('superadmin', '--output', 'json', ...away);
  expect(json).toMatchObject({ exitCode: 1, err: '' });
  expect(JSON.parse(json.out)).toMatchObject({ ok: false, state: 'failed' });
  const refused = await runAs('user', ...away);
  expect(refused.exitCode).toBe(1);
});
