/** Cookies of web servers: whose they are, when they end, and the file they are kept in. */
import { afterAll, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decryptPayload } from '../web/payload.ts';
import { sealBody } from './sealed-body.ts';
import { SignIns } from './sign-ins.ts';

const folder = mkdtempSync(join(tmpdir(), 'sign-ins-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NOW = new Date('2026-01-01T00:00:00Z');
const A = 'http://a:1';

test('each server gets its own cookies back', () => {
  const signIns = new SignIns();
  signIns.update(A, ['S=1; HttpOnly; Secure; Path=/', 'T=x=y; Max-Age=10'], NOW);
  expect(signIns.header(A)).toBe('S=1; T=x=y');
  expect(signIns.header('http://b:1')).toBeNull();
  signIns.update(A, ['S=2'], NOW);
  expect(signIns.header(A)).toBe('S=2; T=x=y');
});

test.each([
  'S=; Path=/',
  'S=1; Max-Age=0',
  'S=1; max-age=-1',
  'S=1; Expires=Wed, 31 Dec 2025 23:59:59 GMT',
])('%s ends it', (cookie) => {
  const signIns = new SignIns({ [A]: { S: '1' } });
  signIns.update(A, [cookie], NOW);
  expect(signIns.has(A)).toBe(false);
});

test('what is no cookie is passed over, and there is an end to them', () => {
  const signIns = new SignIns();
  signIns.update(A, ['nonsense', '=x', ''], NOW);
  expect(signIns.has(A)).toBe(false);
  const many = Array.from({ length: 100 }, (_, index) => `c${index}=1`);
  signIns.update(A, many, NOW);
  expect(signIns.header(A)?.split('; ')).toHaveLength(32);
});

test('kept in a file of their owner; none without sign-ins', () => {
  const path = join(folder, 'deep/sign-ins.json');
  new SignIns({ [A]: { S: '1' } }).save(path);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const read = SignIns.load(path);
  expect(read.header(A)).toBe('S=1');
  read.update(A, ['S='], NOW);
  read.save(path);
  expect(existsSync(path)).toBe(false);
  expect(SignIns.load(path).has(A)).toBe(false);
});

test.each(['not json', '[]', '{"http://a:1": {"S": 1}}'])('a damaged file: %s', (text) => {
  const path = join(folder, 'damaged.json');
  writeFileSync(path, text);
  expect(SignIns.load(path).has(A)).toBe(false);
});

test('a sealed body is what web servers unseal', () => {
  const random = { uuid: () => '', bytes: (count: number) => new Uint8Array(count).fill(7) };
  for (const endpoint of ['http://a', 'http://127.0.0.1:8090', `http://${'long.'.repeat(20)}com`]) {
    const sealed = sealBody(endpoint, '{"password":"pässword"}', random);
    expect(sealed).not.toContain('password');
    const plain = new TextDecoder().decode(decryptPayload(sealed, endpoint));
    expect(JSON.parse(plain)).toEqual({ password: 'pässword' });
  }
});
