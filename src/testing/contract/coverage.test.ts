/** The comparison of a schema with a client's needs: what it must notice. */
import { expect, test } from 'bun:test';
import { buildSchema } from 'graphql';
import { type ClientUsage, coverageOf } from './coverage.ts';

const usage: ClientUsage = {
  groups: {
    pages: {
      roots: {
        'Query.things': { args: { filter: 'ThingFilter', limit: 'Int' }, returns: '[Thing]' },
        'Mutation.rename': { args: { id: 'UUID!' }, returns: 'Thing' },
      },
      selected: { Thing: ['id', 'size'], Other: ['x'] },
    },
  },
  types: { Thing: { id: 'ID!', size: 'BigInt' } },
  inputs: {
    ThingFilter: { kind: 'ThingKind', AND: '[ThingFilter!]' },
    ThingKind: { enum: ['BIG', 'SMALL'] },
    UUID: 'scalar',
    Int: 'scalar',
  },
};

const missing = (sdl: string) => {
  const pages = coverageOf(buildSchema(sdl), usage).get('pages');
  return {
    roots: pages?.roots.missing,
    args: pages?.args.missing,
    selections: pages?.selections.missing,
  };
};

const whole = `
  scalar UUID
  scalar BigInt
  type Query { things(filter: ThingFilter = null, limit: Int! = 10): [Thing!] }
  type Mutation { rename(id: UUID!): Thing }
  type Thing { id: ID, size: BigInt! }
  type Other { x: Int }
  input ThingFilter { kind: ThingKind = null, AND: [ThingFilter!] = null }
  enum ThingKind { BIG SMALL OTHER }`;

test('everything there, nullability aside', () => {
  expect(missing(whole)).toEqual({ roots: [], args: [], selections: [] });
});

test.each([
  ['a root field', 'rename(', 'renamed(', { roots: ['Mutation.rename'] }],
  [
    'the type of a result',
    'things(filter: ThingFilter = null, limit: Int! = 10): [Thing!]',
    'things(filter: ThingFilter = null, limit: Int! = 10): Thing',
    { roots: ['Query.things'] },
  ],
  [
    'an argument that has become required',
    'limit: Int! = 10',
    'limit: Int!',
    { args: ['Query.things(limit:)'] },
  ],
  [
    'a field of an input type',
    'AND: [ThingFilter!] = null',
    'or: Int',
    { args: ['ThingFilter.AND'] },
  ],
  ['a member of an enum', 'BIG SMALL OTHER', 'SMALL OTHER', { args: ['ThingKind.BIG'] }],
  ['a selected field', 'size: BigInt!', 'sizes: BigInt!', { selections: ['Thing.size'] }],
  ['the type of a selected field', 'size: BigInt!', 'size: String', { selections: ['Thing.size'] }],
  ['a whole type', 'type Other', 'type Another', { selections: ['Other.x'] }],
] as const)('%s is missed', (_what, from, to, expected) => {
  expect(missing(whole.replace(from, to))).toMatchObject(expected);
});
