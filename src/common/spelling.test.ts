/** What misspelt names were meant to be. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { closest, editDistance } from './spelling.ts';

test('edit distance', () => {
  expect(editDistance('adr', 'addr')).toBe(1);
  expect(editDistance('kitten', 'sitting')).toBe(3);
  expect(closest('nmae', ['name', 'user'])).toBe('name');
  expect(closest('x', ['name', 'user'])).toBeNull();
  expect(closest('sesion', ['session', 'status'])).toBe('session');
  expect(closest('xyz', ['session', 'status'])).toBeNull();
  fc.assert(
    fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (a, b) => {
      expect(editDistance(a, b, 9)).toBe(editDistance(b, a, 9));
      expect(editDistance(a, b, 9) === 0).toBe(a === b);
    }),
  );
});
