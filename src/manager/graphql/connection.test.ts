/** Arguments of lists, in every form that clients send. */
import { describe, expect, test } from 'bun:test';
import { type ConnectionArguments, connectionPage } from './connection.ts';
import { globalId } from './global-id.ts';
import { rowIdOfCursor, type V2Arguments, v2Cursor, v2Page } from './v2-list.ts';

const cursor = globalId('T', 'x');

describe('a connection of the older schema', () => {
  test.each<[ConnectionArguments, ReturnType<typeof connectionPage>]>([
    [{}, { mode: 'forward', limit: 10, cursor: null }],
    [
      { first: null, after: null, last: null, before: null, offset: null },
      { mode: 'forward', limit: 10, cursor: null },
    ],
    [{ first: 0 }, { mode: 'forward', limit: 0, cursor: null }],
    [
      { first: 3, after: cursor },
      { mode: 'forward', limit: 3, cursor: 'x' },
    ],
    [{ after: 'x' }, { mode: 'forward', limit: 10, cursor: 'x' }],
    [{ last: 2 }, { mode: 'backward', limit: 2, cursor: null }],
    [{ before: cursor }, { mode: 'backward', limit: 10, cursor: 'x' }],
    [{ offset: 0 }, { mode: 'offset', limit: 10, offset: 0 }],
    [
      { offset: 5, first: 2 },
      { mode: 'offset', limit: 2, offset: 5 },
    ],
  ])('%p asks for %p', (args, page) => {
    expect(connectionPage(args, null)).toEqual(page);
  });

  test.each<ConnectionArguments>([
    { first: -1 },
    { last: -1 },
    { offset: -1 },
    { first: 1, last: 1 },
    { first: 1, before: cursor },
    { last: 1, after: cursor },
    { offset: 1, last: 1 },
    { offset: 1, after: cursor },
    { first: 1_000_000 },
  ])('refuses %p', (args) => {
    expect(() => connectionPage(args, null)).toThrow();
  });

  test('has pages as large as configured', () => {
    expect(connectionPage({ first: 20 }, 20).limit).toBe(20);
    expect(() => connectionPage({ first: 21 }, 20)).toThrow('Cannot fetch a page larger than 20.');
  });
});

describe('a list of the newer schema', () => {
  const row = v2Cursor('x');
  test.each<[V2Arguments, ReturnType<typeof v2Page>]>([
    [{}, { mode: 'offset', limit: 10, offset: 0 }],
    [
      { limit: 3, first: null },
      { mode: 'offset', limit: 3, offset: 0 },
    ],
    [{ offset: 4 }, { mode: 'offset', limit: 10, offset: 4 }],
    [
      { first: 2, after: row },
      { mode: 'forward', limit: 2, cursor: 'x' },
    ],
    [{ before: row }, { mode: 'backward', limit: 10, cursor: 'x' }],
  ])('%p asks for %p', (args, page) => {
    expect(v2Page(args)).toEqual(page);
  });

  test.each<V2Arguments>([
    { first: 0 },
    { last: 0 },
    { limit: 0 },
    { limit: -1 },
    { offset: -1 },
    { first: 1, limit: 1 },
    { first: 1, last: 1 },
    { last: 1, offset: 0 },
    { limit: 1_000_000 },
  ])('refuses %p', (args) => {
    expect(() => v2Page(args)).toThrow(
      expect.objectContaining({ problem: 'InvalidGraphQLParameters' }),
    );
  });

  test('its cursors', () => {
    expect(Buffer.from(row, 'base64').toString()).toBe('cursor:v1:x');
    expect(rowIdOfCursor(row)).toBe('x');
    for (const text of ['', 'x', cursor, Buffer.from('cursor:v1:').toString('base64')]) {
      expect(() => v2Page({ first: 1, after: text })).toThrow(
        expect.objectContaining({ problem: 'InvalidCursor' }),
      );
    }
  });
});
