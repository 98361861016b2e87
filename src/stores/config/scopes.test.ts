/** Upstream's layout of configuration keys. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  fromTree,
  mergeListings,
  quote,
  readPrefixes,
  toTree,
  unquote,
  writePrefix,
} from './scopes.ts';

const names = { scalingGroup: 'gpu/a', node: { kind: 'agents', id: 'i-1' } } as const;

test('scopes have the prefixes of upstream', () => {
  expect(writePrefix('GLOBAL')).toBe('');
  expect(writePrefix('SGROUP', names)).toBe('sgroup/gpu%2Fa/');
  expect(writePrefix('NODE', names)).toBe('nodes/agents/i-1/');
  expect(() => writePrefix('MERGED', names)).toThrow('only for reading');
  expect(() => writePrefix('SGROUP')).toThrow('needs a name');
});

test('reads go from the most specific scope to the global one', () => {
  expect(readPrefixes('MERGED', names)).toEqual(['nodes/agents/i-1/', 'sgroup/gpu%2Fa/', '']);
  expect(readPrefixes('SGROUP', names)).toEqual(['sgroup/gpu%2Fa/', '']);
  expect(readPrefixes('GLOBAL', names)).toEqual(['']);
  expect(readPrefixes('MERGED')).toEqual(['']);
  const merged = mergeListings([
    new Map([['a', 'node']]),
    new Map([
      ['b', 'g'],
      ['a', 'g'],
    ]),
  ]);
  expect([...merged]).toEqual([
    ['a', 'node'],
    ['b', 'g'],
  ]);
});

test('quoting', () => {
  expect(quote('cr.backend.ai:443/a b')).toBe('cr.backend.ai%3A443%2Fa%20b');
  expect(quote("!'()*")).toBe('%21%27%28%29%2A');
  expect(unquote('100%')).toBe('100%');
  fc.assert(
    fc.property(fc.string(), (part) => {
      expect(unquote(quote(part))).toBe(part);
      expect(quote(part)).not.toMatch(/[/:]/);
    }),
  );
});

test('a listing becomes nested JSON, whatever the order of its entries', () => {
  const entries: [string, string][] = [
    ['volumes', 'self'],
    ['volumes/proxies/local', 'here'],
    ['volumes/proxies/local/client%5Fapi', 'http://x'],
    ['volumes/default_host', 'local:volume1'],
    ['other', 'x'],
  ];
  const expected = {
    '': 'self',
    default_host: 'local:volume1',
    proxies: { local: { '': 'here', client_api: 'http://x' } },
  };
  expect(JSON.parse(JSON.stringify(toTree(new Map(entries), 'volumes')))).toEqual(expected);
  expect(JSON.parse(JSON.stringify(toTree(new Map(entries.toReversed()), 'volumes')))).toEqual(
    expected,
  );
});

test('JSON goes in and comes out as it was', () => {
  expect([
    ...fromTree('config', { redis: { addr: 'h:1', port: 5, tls: false, '': null } }),
  ]).toEqual([
    ['config/redis/addr', 'h:1'],
    ['config/redis/port', '5'],
    ['config/redis/tls', 'false'],
    ['config/redis', ''],
  ]);
  expect(() => fromTree('a', { b: [1] })).toThrow("'a/b' is a list");
  const tree = fc.letrec<{ node: Record<string, unknown> }>((tie) => ({
    node: fc.dictionary(
      fc.string({ minLength: 1 }),
      fc.oneof({ depthSize: 'small' }, fc.string(), tie('node')),
      { minKeys: 1, maxKeys: 4 },
    ),
  })).node;
  fc.assert(
    fc.property(tree, (json) => {
      const back = toTree(fromTree('p', json), 'p');
      expect(JSON.parse(JSON.stringify(back))).toEqual(JSON.parse(JSON.stringify(json)));
    }),
    { numRuns: 200 },
  );
});
