/** What a client reads about parameters that are wrong. */
import { expect, test } from 'bun:test';
import * as v from 'valibot';
import { parseParameters, readQuery } from './body.ts';

const schema = v.object({
  image: v.string(),
  config: v.object({ size: v.pipe(v.number(), v.minValue(1, 'at least one')) }),
});

test.each([
  [{}, 'image is missing; config is missing'],
  [{ image: 'a', config: {} }, 'config.size is missing'],
  [{ image: 'a', config: { size: 0 } }, 'config.size: at least one'],
  [{ image: 1, config: { size: 1 } }, 'image: Invalid type: Expected string but received 1'],
])('%j: %s', (value, message) => {
  expect(() => parseParameters(schema, value)).toThrow(message);
});

test('a query takes first values, and all of a list', () => {
  const query = new URLSearchParams('a=1&a=2&b=3&b=4');
  const wanted = v.object({ a: v.string(), b: v.array(v.string()) });
  expect(readQuery(query, wanted, ['b'])).toEqual({ a: '1', b: ['3', '4'] });
  expect(() => readQuery(new URLSearchParams(), wanted)).toThrow('a is missing; b is missing');
});
