/** Password hashes of every format that a database may hold. */
import { expect, test } from 'bun:test';
import { pbkdf2Sync } from 'node:crypto';
import fc from 'fast-check';
import { hashPassword, verifyPassword } from './password.ts';

test('both formats verify their password and no other', async () => {
  for (const algorithm of ['pbkdf2_sha256', 'argon2id'] as const) {
    const hash = await hashPassword('correct horse', { algorithm });
    expect(await verifyPassword('correct horse', hash)).toBe(true);
    expect(await verifyPassword('correct horse ', hash)).toBe(false);
    expect(await verifyPassword('', hash)).toBe(false);
    expect(await hashPassword('correct horse', { algorithm })).not.toBe(hash);
  }
});

test('the default is what upstream stores', async () => {
  const hash = await hashPassword('pässwörd');
  const [algorithm, rounds, salt = '', digest] = hash.split('$');
  expect([algorithm, rounds, salt.length]).toEqual(['pbkdf2_sha256', '600000', 64]);
  const expected = pbkdf2Sync('pässwörd', Buffer.from(salt, 'hex'), 600_000, 32, 'sha256');
  expect(digest).toBe(expected.toString('hex'));
});

test('hashes of other settings, SHA3 and bcrypt are read', async () => {
  const salt = Buffer.from('00112233445566778899', 'hex');
  const sha3 = pbkdf2Sync('secret', salt, 1000, 32, 'sha3-256').toString('hex');
  expect(
    await verifyPassword('secret', `pbkdf2_sha3_256$1000$${salt.toString('hex')}$${sha3}`),
  ).toBe(true);
  const bcrypt = await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 4 });
  expect(await verifyPassword('secret', bcrypt)).toBe(true);
  expect(await verifyPassword('secreT', bcrypt)).toBe(false);
});

test('damaged hashes match nothing and never throw', async () => {
  const damaged = [
    '',
    'plain',
    'pbkdf2_sha256$1000$zz$00',
    'pbkdf2_sha256$0$00$00',
    'pbkdf2_sha256$1e99$00$00',
    'pbkdf2_sha256$99999999999$00$00',
    'pbkdf2_sha256$1000$00$',
    'md5$1$00$00',
    '$argon2id$v=19$broken',
  ];
  for (const hash of damaged) expect(await verifyPassword('', hash)).toBe(false);
  await fc.assert(
    fc.asyncProperty(fc.string(), async (hash) => !(await verifyPassword('x', hash))),
    { numRuns: 50 },
  );
});
