/** What people may change about their own account, and nobody else about it. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import * as v from 'valibot';
import {
  signingClient,
  type TestClient,
  type TestServer,
  testManagerServer,
} from '../../testing/manager.ts';
import { insertProject } from '../../testing/sessions.ts';
import { hashPassword } from '../user/password.ts';
import { passwordProblem } from './password-rules.ts';
import { checkSshKeypair, generateSshKeypair } from './ssh-keypair.ts';

const KINDS = [
  ['rsa', '-b', '2048'],
  ['rsa', '-b', '2048', '-m', 'PEM'],
  ['ecdsa'],
  ['ecdsa', '-m', 'PEM'],
  ['ed25519'],
];

let server: TestServer;
let user: TestClient;
beforeAll(async () => {
  server = await testManagerServer();
  user = signingClient(server.url, server.accounts.user);
});
afterAll(() => server.close());

describe('the password', () => {
  const change = (old: string, wanted: string, again = wanted) =>
    user('POST', '/auth/update-password', {
      old_password: old,
      new_password: wanted,
      new_password2: again,
    });

  test('is changed by who knows the old one', async () => {
    const hash = await hashPassword('first pass 1!', { algorithm: 'argon2id' });
    await server.db.sql`
      UPDATE users SET password = ${hash} WHERE uuid = ${server.accounts.user.userId}`;
    expect((await change('wrong', 'second pass 2!')).status).toBe(401);
    expect((await change('first pass 1!', 'weak')).status).toBe(400);
    const different = await change('first pass 1!', 'second pass 2!', 'third pass 3!');
    expect(different.status).toBe(400);
    expect(await different.json()).toHaveProperty('error_msg');
    expect((await change('first pass 1!', 'second pass 2!')).status).toBe(200);
    expect((await change('first pass 1!', 'third pass 3!')).status).toBe(401);
    expect((await change('second pass 2!', 'third pass 3!')).status).toBe(200);
    const records = await server.db.sql`SELECT * FROM audit_logs`;
    expect(records).toHaveLength(2);
    expect(JSON.stringify(records)).not.toContain('argon2id');
  });

  test('needs a letter, a digit and something else, eight in all', () => {
    expect(passwordProblem('abcdef1!')).toBeNull();
    for (const bad of ['abcde1!', 'abcdefgh!', '12345678!', 'abcdefg1', 'x'.repeat(2000)]) {
      expect(passwordProblem(bad)).toBeString();
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const problem = passwordProblem(text);
        const good = text.length >= 8 && /\p{L}/u.test(text) && /\d/.test(text);
        return problem !== null || good;
      }),
    );
  });
});

test('the full name is changed by its owner only', async () => {
  const name = (email: string) =>
    user('POST', '/auth/update-full-name', { email, full_name: 'New Name' });
  expect((await name(server.accounts.admin.email)).status).toBe(403);
  expect((await name(server.accounts.user.email)).status).toBe(200);
  const [record] = await server.db.sql`SELECT * FROM audit_logs ORDER BY created_at DESC LIMIT 1`;
  expect(JSON.stringify(record)).toContain('New Name');
  expect(record).toMatchObject({ triggered_by: server.accounts.user.userId });
  const rows = await server.db.sql`SELECT email FROM users WHERE full_name = 'New Name'`;
  expect(rows.map((row) => row.email)).toEqual([server.accounts.user.email]);
});

test('roles, in general and in a project', async () => {
  const rolesOf = async (account: 'user' | 'admin' | 'superadmin', query = '') =>
    (await signingClient(server.url, server.accounts[account])('GET', `/auth/role${query}`)).json();
  const none = { group_role: null };
  expect(await rolesOf('user')).toEqual({ global_role: 'user', domain_role: 'user', ...none });
  expect(await rolesOf('admin')).toEqual({ global_role: 'user', domain_role: 'admin', ...none });
  expect(await rolesOf('superadmin')).toEqual({
    global_role: 'superadmin',
    domain_role: 'admin',
    ...none,
  });
  const projectId = await insertProject(server.db.sql);
  await server.db.sql`DELETE FROM association_groups_users WHERE group_id = ${projectId}`;
  const query = `/auth/role?group=${projectId}`;
  expect((await user('GET', query)).status).toBe(404);
  await server.db.sql`INSERT INTO association_groups_users (user_id, group_id)
    VALUES (${server.accounts.user.userId}, ${projectId})`;
  expect(await (await user('GET', query)).json()).toMatchObject({ group_role: 'user' });
  expect((await user('GET', '/auth/role?group=x')).status).toBe(400);
});

test('the address of the client', async () => {
  expect(await (await user('GET', '/auth/my-ip')).json()).toEqual({ client_ip: '127.0.0.1' });
});

describe('the SSH keypair', () => {
  const pair = v.object({ ssh_public_key: v.string(), ssh_private_key: v.string() });

  test('is made, shown without its private half, and replaced', async () => {
    expect(await (await user('GET', '/auth/ssh-keypair')).json()).toEqual({ ssh_public_key: '' });
    const made = v.parse(pair, await (await user('PATCH', '/auth/ssh-keypair')).json());
    expect(made.ssh_public_key).toStartWith('ssh-rsa ');
    expect(made.ssh_private_key).toContain('BEGIN RSA PRIVATE KEY');
    expect(await (await user('GET', '/auth/ssh-keypair')).json()).toEqual({
      ssh_public_key: made.ssh_public_key,
    });
    const other = await generateSshKeypair();
    const upload = (pubkey: string, privkey: string) =>
      user('POST', '/auth/ssh-keypair', { pubkey, privkey });
    expect((await upload(made.ssh_public_key, other.privateKey)).status).toBe(400);
    expect((await upload('nonsense', other.privateKey)).status).toBe(400);
    expect((await upload(other.publicKey, 'nonsense')).status).toBe(400);
    const stored = await upload(other.publicKey, other.privateKey);
    expect(v.parse(pair, await stored.json()).ssh_public_key).toBe(other.publicKey);
  });

  test.skipIf(!Bun.which('ssh-keygen'))(
    'of ssh-keygen is accepted in every kind',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'bai-ssh-'));
      try {
        for (const [kind = '', ...form] of KINDS) {
          const path = join(folder, [kind, ...form].join(''));
          const made = Bun.spawnSync([
            'ssh-keygen',
            '-q',
            '-t',
            kind,
            ...form,
            '-N',
            '',
            '-f',
            path,
          ]);
          expect(made.exitCode).toBe(0);
          const publicKey = readFileSync(`${path}.pub`, 'utf8');
          const privateKey = readFileSync(path, 'utf8');
          expect(checkSshKeypair({ publicKey, privateKey }).publicKey).toBe(publicKey);
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    30_000,
  );

  test('a damaged one is refused, not crashed on', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const publicKey = `ssh-ed25519 ${'A'.repeat(68)}`;
    expect(() => checkSshKeypair({ publicKey, privateKey: pem })).toThrow('does not match');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (noise) => {
        const body = Buffer.concat([Buffer.from('openssh-key-v1\0'), noise]).toString('base64');
        const text = `-----BEGIN OPENSSH PRIVATE KEY-----\n${body}\n-----END OPENSSH PRIVATE KEY-----`;
        expect(() => checkSshKeypair({ publicKey, privateKey: text })).toThrow();
      }),
    );
  });
});
