/** Lists that stand where an object is meant, at every depth and inside every kind of schema. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import * as v from 'valibot';
import { parseOutside } from './parse.ts';

const options = v.object({ size: v.optional(v.number()) });
interface Tree {
  child?: Tree | undefined;
}
const tree: v.GenericSchema<Tree> = v.object({ child: v.optional(v.lazy(() => tree)) });

const inside: [string, v.GenericSchema, unknown, string][] = [
  ['the whole', options, [], ''],
  ['a loose object', v.looseObject({}), [1], ''],
  ['a strict object', v.strictObject({}), [], ''],
  ['a record', v.record(v.string(), v.string()), ['a'], ''],
  ['a member', v.object({ config: options }), { config: [] }, 'config'],
  ['an optional member', v.object({ config: v.nullish(options) }), { config: [] }, 'config'],
  ['a rest', v.objectWithRest({}, options), { any: [] }, 'any'],
  ['values of a record', v.record(v.string(), options), { any: [] }, 'any'],
  ['items of a list', v.array(options), [{}, []], '1'],
  ['before an action', v.pipe(options, v.transform(Object.keys)), [], ''],
  ['all of a union', v.union([options, v.record(v.string(), v.string())]), [], ''],
  [
    'the chosen of a variant',
    v.variant('kind', [
      v.object({ kind: v.literal('a'), config: options }),
      v.object({ kind: v.literal('b'), config: v.array(v.number()) }),
    ]),
    { kind: 'a', config: [] },
    'config',
  ],
  ['one of an intersection', v.intersect([v.object({ a: options }), options]), { a: [] }, 'a'],
];

describe('a list is refused in', () => {
  test.each(inside)('%s', (_name, schema, value, path) => {
    // What this is for: valibot alone takes it, or names another reason.
    const parsed = parseOutside(schema, value);
    if (parsed.success) throw new Error('the list was taken');
    const [issue] = parsed.issues;
    expect(issue && (v.getDotPath(issue) ?? '')).toBe(path);
    expect(issue?.message).toBe('Invalid type: Expected Object but received Array');
  });
});

test.each<[string, v.GenericSchema, unknown]>([
  ['a list', v.object({ names: v.array(v.string()) }), { names: [] }],
  ['either', v.object({ names: v.union([v.array(v.string()), options]) }), { names: ['a'] }],
  ['a pair', v.tuple([v.number(), v.number()]), [1, 2]],
  ['anything', v.object({ any: v.unknown() }), { any: [] }],
  [
    'the other of a variant',
    v.variant('kind', [
      v.object({ kind: v.literal('a'), config: options }),
      v.object({ kind: v.literal('b'), config: v.array(v.number()) }),
    ]),
    { kind: 'b', config: [1] },
  ],
])('%s is taken', (_name, schema, value) => {
  expect(parseOutside(schema, value).success).toBe(true);
});

test('a schema that names itself comes to an end, and names are those of the data alone', () => {
  let deep: Tree = {};
  for (let depth = 0; depth < 500; depth++) deep = { child: deep };
  expect(parseOutside(tree, deep).success).toBe(true);
  expect(parseOutside(options, JSON.parse('{"__proto__": [], "constructor": []}')).success).toBe(
    true,
  );
});

test('whatever holds no list is read as valibot reads it', () => {
  const schema = v.object({ a: v.optional(options), b: v.record(v.string(), options) });
  const plain = fc.dictionary(fc.string(), fc.dictionary(fc.string(), fc.anything()));
  fc.assert(
    fc.property(plain, (value) => {
      const expected = v.safeParse(schema, value);
      const { success } = parseOutside(schema, value);
      // A list somewhere in the arbitrary values may be refused; nothing else may differ.
      if (success !== expected.success) expect(JSON.stringify(value)).toContain('[');
    }),
  );
});
