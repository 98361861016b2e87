/** Ids of nodes in both forms: what is read as which. */
import { expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { globalId, parseGlobalId, rawIdOf } from './global-id.ts';

test('a global id gives back its type and raw id', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('UserNode', 'ImageV2', 'A'),
      fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }),
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

test.each(['i-node-1', 'default', 'user@example.com', '', 'AKIAIOSFODNN7EXAMPLE', '한글'])(
  '%p is a raw id',
  (text) => {
    expect(parseGlobalId(text)).toEqual({ typeName: null, rawId: text });
  },
);
