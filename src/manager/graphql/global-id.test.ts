/** Ids of nodes in both forms: what is read as which. */
import { expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { globalId, parseGlobalId, rawIdOf } from './global-id.ts';

test('a global id gives back its type and raw id', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('UserNode', 'ImageV2', 'A'),
      fc.string({ minLength: 1, maxLength: 100, unit: 'grapheme' }),
      (typeName, rawId) => {
        expect(parseGlobalId(globalId(typeName, rawId))).toEqual({ typeName, rawId });
      },
    ),
  );
});

test('a UUID is always a raw id, though many decode to something with a colon', () => {
  expect(rawIdOf('a1c64a12-5f06-4a58-b0e9-5927da02b221')).toBe(
    'a1c64a12-5f06-4a58-b0e9-5927da02b221',
  );
  fc.assert(
    fc.property(fc.uuid(), (id) => {
      expect(parseGlobalId(id)).toEqual({ typeName: null, rawId: id });
    }),
    { numRuns: 5000 },
  );
});

test('without padding or in the base64 of URLs it is the same id', () => {
  const id = globalId('AgentNode', 'i-a>?>?');
  expect(rawIdOf(id.replaceAll('=', ''))).toBe('i-a>?>?');
  expect(rawIdOf(id.replaceAll('+', '-').replaceAll('/', '_'))).toBe('i-a>?>?');
});

test.each([
  'i-node-1',
  'i-agent.example',
  'default',
  'user@example.com',
  '',
  'AKIAIOSFODNN7EXAMPLE',
  '한글',
  'x:y',
  ':',
  'QQ==',
])('%p is a raw id', (text) => {
  expect(parseGlobalId(text)).toEqual({ typeName: null, rawId: text });
});
