/** What a client reads about parameters that are wrong. */
import { expect, test } from 'bun:test';
import * as v from 'valibot';
import { parseInput, queryValues } from './body.ts';

const schema = v.object({
  body: v.object({
    image: v.string(),
    config: v.object({ size: v.pipe(v.number(), v.minValue(1, 'at least one')) }),
  }),
});

test.each([
  [{}, 'image is missing; config is missing'],
  [{ image: 'a', config: {} }, 'config.size is missing'],
  [{ image: 'a', config: { size: 0 } }, 'config.size: at least one'],
  [[], 'Invalid type: Expected Object but received Array'],
  [{ image: 'a', config: [] }, 'config: Invalid type: Expected Object but received Array'],
  ['x', 'Invalid type: Expected Object but received "x"'],
  [{ image: 1, config: { size: 1 } }, 'image: Invalid type: Expected string but received 1'],
])('%j: %s', (value, message) => {
  expect(() => parseInput(schema, { body: value })).toThrow(message);
});

test('a query takes first values, and all of a list', () => {
  const query = new URLSearchParams('a=1&a=2&b=3&b=4');
  expect(queryValues(query, ['b'])).toEqual({ a: '1', b: ['3', '4'] });
});
