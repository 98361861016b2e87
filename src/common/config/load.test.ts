/** Configuration files: finding, merging the environment, and naming what is wrong. */
import { afterEach, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import * as v from 'valibot';
import { UserError } from '../errors.ts';
import { candidatePaths } from './find.ts';
import { keyLines, linePath } from './lines.ts';
import { loadConfigFile } from './load.ts';
import {
  anyTable,
  boolean,
  durationMs,
  formatHostPort,
  hostPort,
  hostPorts,
  integer,
  parseHostPort,
  size,
} from './values.ts';

const schema = v.strictObject({
  db: v.strictObject({
    addr: hostPort(),
    'pool-size': v.optional(integer, 8),
    password: v.optional(v.string()),
  }),
  limits: v.optional(
    v.strictObject({
      size: v.optional(size, '1G'),
      time: v.optional(durationMs, '30s'),
      enabled: v.optional(boolean, false),
      names: v.optional(v.array(v.string()), []),
    }),
    {},
  ),
  'pkg-ns': v.optional(anyTable, {}),
  nodes: v.optional(v.array(v.strictObject({ 'node-id': v.string() })), []),
});

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bai-config-'));
  folders.push(folder);
  return folder;
}

function load(text: string, env: Record<string, string> = {}) {
  const cwd = newFolder();
  writeFileSync(join(cwd, 'thing.toml'), text);
  return loadConfigFile({
    component: 'thing',
    places: { cwd, home: cwd },
    env,
    schema,
    overrides: {
      DB_ADDR: ['db', 'addr'],
      DB_PORT: ['db', 'addr', 'port'],
      DB_POOL: ['db', 'pool-size'],
    },
    aliases: { limits: { big: 'size' } },
  });
}

function failure(text: string, env: Record<string, string> = {}): string {
  try {
    load(text, env);
  } catch (error) {
    if (error instanceof UserError) {
      expect(error.hint).toBeTruthy();
      return error.message;
    }
    throw error;
  }
  throw new Error('expected a UserError');
}

test('kebab-case, snake_case, defaults, sizes, durations and aliases', () => {
  const { value } = load(`
[db]
addr = { host = "localhost", port = 8100 }
pool_size = 3
[limits]
big = "2G"
time = 1.5
[pkg-ns]
keep_this = "as it is"
[[nodes]]
node_id = "a"
`);
  expect(value).toEqual({
    db: { addr: { host: 'localhost', port: 8100 }, 'pool-size': 3 },
    limits: { size: 2n * 1024n ** 3n, time: 1500, enabled: false, names: [] },
    'pkg-ns': { keep_this: 'as it is' },
    nodes: [{ 'node-id': 'a' }],
  });
});

test('an unknown key is named with its line and the likely spelling', () => {
  expect(failure('# comment\n[db]\nadr = "h:1"\naddr = "h:1"\n')).toBe(
    "thing.toml:3: [db] unknown key 'adr' (did you mean 'addr'?)",
  );
  expect(failure('[db]\naddr = "h:1"\nzzzzzz = 1\n')).toBe(
    "thing.toml:3: [db] unknown key 'zzzzzz'",
  );
  expect(failure('[db]\naddr = "h:1"\n\n[limts]\nx = 1\n')).toBe(
    "thing.toml:4: unknown section 'limts' (did you mean 'limits'?)",
  );
});

test('a section that is no misspelling is accepted and reported', () => {
  const loaded = load('[db]\naddr = "h:1"\n[license]\naddr = "x"\n');
  expect(loaded.unknownSections).toEqual(['license']);
  expect(loaded.presentKeys).toEqual(['[db] addr']);
});

test('a list of tables is no table', () => {
  expect(failure('[db]\naddr = "h:1"\n[[limits]]\nenabled = true\n')).toContain(
    '[limits]: expected a table, found a list',
  );
  expect(failure('pkg-ns = [1]\n[db]\naddr = "h:1"\n')).toContain('[pkg-ns]: expected a table');
});

test('missing keys and sections', () => {
  expect(failure('\n[db]\npool-size = 1\n')).toBe('thing.toml:2: [db] addr is missing');
  expect(failure('[limits]\n')).toBe('thing.toml: [db] is missing');
});

test('wrong types, each with its line', () => {
  const message = failure(`[db]
addr = "nowhere"
pool-size = "many"
[limits]
size = "big"
time = true
enabled = "perhaps"
names = "x"
`);
  expect(message.split('\n')).toEqual([
    'thing.toml:2: [db] addr: expected an address such as "127.0.0.1:8081", found "nowhere"',
    'thing.toml:3: [db] pool-size: expected a number, found "many"',
    'thing.toml:5: [limits] size: expected a size such as "1G", found "big"',
    'thing.toml:6: [limits] time: expected a duration such as "30s", found true',
    'thing.toml:7: [limits] enabled: expected true or false, found "perhaps"',
    'thing.toml:8: [limits] names: expected a list, found "x"',
  ]);
  expect(failure('db = 1\n')).toBe('thing.toml:1: [db]: expected a table, found 1');
});

test('secrets are not shown', () => {
  expect(failure('[db]\naddr = "h:1"\npassword = 12345\n')).not.toContain('12345');
});

test('a syntax error is told with its line', () => {
  const message = failure('[db]\naddr = localhost:1\n');
  expect(message).toStartWith('thing.toml:2: not valid TOML');
  expect(message).toContain('addr = localhost:1');
});

test('the environment wins, in whole or in part, and is named when wrong', () => {
  expect(load('[db]\naddr = "h:1"\n', { DB_ADDR: 'e:2', DB_POOL: '5' }).value.db).toEqual({
    addr: { host: 'e', port: 2 },
    'pool-size': 5,
  });
  expect(load('[db]\naddr = "h:1"\n', { DB_PORT: '7' }).value.db.addr).toEqual({
    host: 'h',
    port: 7,
  });
  expect(load('', { DB_ADDR: 'e:2' }).value.db.addr.host).toBe('e');
  expect(failure('[db]\naddr = "h:1"\n', { DB_POOL: 'x' })).toBe(
    'environment variable DB_POOL: [db] pool-size: expected a number, found "x"',
  );
});

test("the search goes from the current folder up to home, then upstream's two folders", () => {
  expect(candidatePaths('m.toml', { cwd: '/home/u/a/b', home: '/home/u' })).toEqual([
    '/home/u/a/b/m.toml',
    '/home/u/a/m.toml',
    '/home/u/m.toml',
    '/home/u/.config/backend.ai/m.toml',
    '/etc/backend.ai/m.toml',
  ]);
  expect(candidatePaths('m.toml', { cwd: '/srv/x', home: '/home/u' })).toContain('/srv/m.toml');
});

test('the nearest file is taken; none found names the places', () => {
  const home = newFolder();
  const cwd = join(home, 'a', 'b');
  mkdirSync(cwd, { recursive: true });
  const options = { component: 'thing', places: { cwd, home }, env: {}, overrides: {}, schema };
  expect(() => loadConfigFile(options)).toThrow(join(home, '.config/backend.ai/thing.toml'));
  for (const [path, size] of [
    [join(home, '.config/backend.ai/thing.toml'), 1],
    [join(home, 'a', 'thing.toml'), 2],
  ] as const) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `[db]\naddr = "h:1"\npool-size = ${size}\n`);
    expect(loadConfigFile(options).value.db['pool-size']).toBe(size);
  }
  expect(() => loadConfigFile({ ...options, explicitPath: 'other.toml' })).toThrow(
    join(cwd, 'other.toml'),
  );
});

test('lines of keys, in tables, dotted, quoted and beside multi-line text', () => {
  const lines = keyLines(
    'a.b = 1\n[t]\n"x.y" = 2\ns = """\nz = 3\n"""\nlast_one = 4\n[[u]]\nk = 1\n',
  );
  expect(lines.get(linePath(['a', 'b']))).toBe(1);
  expect(lines.get(linePath(['t', 'x.y']))).toBe(3);
  expect(lines.has(linePath(['t', 'z']))).toBe(false);
  expect(lines.get(linePath(['t', 'last-one']))).toBe(7);
  expect(lines.get(linePath(['u', 'k']))).toBe(9);
});

test('addresses', () => {
  expect(parseHostPort('[::1]:80')).toEqual({ host: '::1', port: 80 });
  for (const bad of ['', 'h', 'h:', 'h:x', 'h:70000', '::1:80', 'a b:1']) {
    expect(parseHostPort(bad)).toBeNull();
  }
  expect(v.parse(hostPorts, 'a:1,b:2').map(formatHostPort)).toEqual(['a:1', 'b:2']);
  expect(v.parse(hostPorts, [{ host: '::1', port: 3 }]).map(formatHostPort)).toEqual(['[::1]:3']);
  fc.assert(
    fc.property(fc.domain(), fc.integer({ min: 0, max: 65535 }), (host, port) => {
      expect(parseHostPort(formatHostPort({ host, port }))).toEqual({ host, port });
    }),
  );
});
