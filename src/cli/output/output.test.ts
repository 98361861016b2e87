/** Tables, fields and formatters, to the character. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { capturedIo } from '../testing/io.ts';
import { type Field, fieldTitle, formatValue, jsonItem, selection } from './fields.ts';
import { documentOf } from './query.ts';
import { type Page, printItem, printItems, printList, printWholeList } from './results.ts';
import { formatTable, TableWriter } from './table.ts';

const forPeople = { output: 'console', skipSslCertValidation: false } as const;
const json = { output: 'json', skipSslCertValidation: false } as const;

test('titles', () => {
  const titles = ['created_at', 'is_active', 'id', 'uuid', 'resource_policy', 'fsprefix'];
  expect(titles.map((key) => fieldTitle({ key }))).toEqual([
    'Created At',
    'Active?',
    'ID',
    'UUID',
    'Res.Policy',
    'FS Prefix',
  ]);
});

test.each([
  [{ key: 'x' }, null, '(null)'],
  [{ key: 'x' }, undefined, '(null)'],
  [{ key: 'x' }, [], '(empty)'],
  [{ key: 'x' }, {}, '(empty)'],
  [{ key: 'x' }, true, 'True'],
  [{ key: 'x' }, ['a', 'b'], 'a, b'],
  [{ key: 'x', format: 'slots' }, '{"cpu":"1","mem":"268435456"}', 'cpu:1, mem:256.0M'],
  [{ key: 'x', format: 'slots' }, '{}', '(empty)'],
  [{ key: 'x', format: 'bytes' }, 1536, '1.5K'],
  [{ key: 'x', format: 'mebibytes' }, 1572864, '1.5'],
  [{ key: 'x', format: 'nested' }, '{"a":{"b":1},"c":null}', '+ a\n  - b: 1\n- c: (null)'],
  [{ key: 'x', format: 'nested' }, '{}', '(empty)'],
  [
    { key: 'x', format: 'nested' },
    '{"a":[{"name":"n1"},{"name":"n2","msg":"why"}],"b":[1,2]}',
    '+ a\n  - n1\n  - n2, msg: why\n- b: 1, 2',
  ],
] as [Field, unknown, string][])('%j of %j', (field, value, text) => {
  expect(formatValue(field, value)).toBe(text);
});

const containers: Field = {
  key: 'containers',
  format: 'items',
  subfields: [
    { key: 'id', jsonKey: 'kernel_id' },
    { key: 'slots', format: 'slots' },
  ],
};

test('items within an item', () => {
  const value = [{ id: 'k1', slots: '{"cpu":"2"}' }];
  expect(selection([{ key: 'name' }, containers])).toBe('name containers { id slots }');
  expect(formatValue(containers, value)).toBe('+ k1\n  - slots: cpu:2');
  const options: Field = { key: 'opts', format: 'nested' };
  const withTree: Field = { ...containers, subfields: [{ key: 'id' }, options] };
  expect(formatValue(withTree, [{ id: 'k1', opts: '{"shmem":"64m"}' }])).toBe(
    '+ k1\n  - opts:\n    - shmem: 64m',
  );
  expect(jsonItem([containers], { containers: value })).toEqual({
    containers: [{ kernel_id: 'k1', slots: { cpu: '2' } }],
  });
});

test('a table, wide characters and several lines per cell included', () => {
  const text = formatTable(
    ['Name', 'Note'],
    [
      ['한글', 'a\nb'],
      ['x', 'long note'],
    ],
  );
  expect(text).toBe(
    ['Name  Note', '----  ---------', '한글  a', '      b', 'x     long note', ''].join('\n'),
  );
});

test('control characters in data do not reach the terminal', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (cell) => {
      for (const character of formatTable(['T'], [[cell]])) {
        const code = character.codePointAt(0) ?? 0;
        expect(code === 10 || (code >= 32 && (code < 127 || code > 159))).toBe(true);
      }
    }),
  );
});

test('later rows keep to the columns of earlier ones', () => {
  const table = new TableWriter(['A', 'B']);
  expect(table.format([['wide cell', '1']])).toBe('A          B\n---------  -\nwide cell  1\n');
  expect(table.format([['x', '2']])).toBe('x          2\n');
});

test('an item', () => {
  const fields: Field[] = [{ key: 'id', jsonKey: 'session_id' }, { key: 'name' }];
  const io = capturedIo();
  expect(printItem({ io, globals: forPeople }, fields, { id: 'i', name: 'n' })).toBe(0);
  expect(io.out()).toBe('Field  Value\n-----  -----\nID     i\nName   n\n');
  const asJson = capturedIo();
  printItem({ io: asJson, globals: json }, fields, { id: 'i', name: 'n' });
  expect(JSON.parse(asJson.out())).toEqual({
    count: 1,
    total_count: 1,
    items: [{ session_id: 'i', name: 'n' }],
  });
  const none = capturedIo();
  expect(printItem({ io: none, globals: forPeople }, fields, null)).toBe(1);
  expect(none.err()).toBe('✗ No matching entry found.\n');
});

test('several items, one below the other', () => {
  const fields: Field[] = [{ key: 'n' }];
  const io = capturedIo();
  expect(printItems({ io, globals: forPeople }, fields, [{ n: 1 }, { n: 2 }])).toBe(0);
  const table = (value: string) => `Field  Value\n-----  -----\nN      ${value}\n`;
  expect(io.out()).toBe(`${table('1')}${'-'.repeat(20)}\n${table('2')}`);
  const none = capturedIo();
  expect(printItems({ io: none, globals: forPeople }, fields, [])).toBe(1);
  const asJson = capturedIo();
  printItems({ io: asJson, globals: json }, fields, [{ n: 1 }, { n: 2 }]);
  expect(JSON.parse(asJson.out())).toMatchObject({ count: 2, total_count: 2 });
});

test('a list that came as a whole is shown as a whole, in JSON too', async () => {
  const items = Array.from({ length: 45 }, (_, n) => ({ n }));
  const io = capturedIo();
  await printWholeList({ io, globals: forPeople }, [{ key: 'n' }], items);
  expect(numbers(io.out())).toHaveLength(45);
  const asJson = capturedIo();
  await printWholeList({ io: asJson, globals: json }, [{ key: 'n' }], items);
  expect(JSON.parse(asJson.out())).toMatchObject({ count: 45, total_count: 45 });
});

test('what is shown may be a part of what is asked for', () => {
  const names: Field = { key: 'groups', format: 'names', subfields: [{ key: 'name' }] };
  const groups = [{ name: 'a' }, { name: 'b' }];
  expect(formatValue(names, groups)).toBe('a, b');
  expect(formatValue(names, [])).toBe('(empty)');
  const size: Field = { key: 'x', read: (value) => (Array.isArray(value) ? value.length : null) };
  expect(formatValue(size, groups)).toBe('2');
  expect(formatValue(size, 'no list')).toBe('(null)');
  expect(jsonItem([names, size], { groups, x: [1] })).toEqual({ groups, x: 1 });
});

test('what a node uses, in few lines', () => {
  const figure = (current: string, capacity: string, unit: string, pct = '0.00') => ({
    ...{ current, capacity, unit_hint: unit, pct, 'stats.max': '0' },
  });
  const statistics = {
    node: {
      cpu_util: figure('120', '400', 'percent', '30.00'),
      mem: figure('1073741824', '4294967296', 'bytes'),
      net_rx: figure('2048', '9223372036854775807', 'bps'),
      cuda_temp: figure('55', '90', 'Celsius'),
      tasks: figure('3', '9223372036854775807', 'count'),
    },
    devices: {
      cpu_util: { 0: figure('20', '100', 'percent', '20.00') },
      mem: { root: figure('1073741824', '4294967296', 'bytes') },
    },
  };
  const field: Field = { key: 'live_stat', format: 'statistics' };
  expect(formatValue(field, JSON.stringify(statistics))).toBe(
    'cpu_util: 30.00 % (1 cores), mem: 1.0G / 4.0G, net_rx: 2.0K/s, cuda_temp: 55 C, ' +
      'tasks: 3 / (unknown)\n' +
      '+ cpu_util\n  - 0: 20.00 %\n+ mem\n  - root: 1.0G / 4.0G',
  );
  expect(formatValue(field, '{"other": 1}')).toBe('- other: 1');
  expect(formatValue(field, null)).toBe('(null)');
  expect(jsonItem([field], { live_stat: '{"node":{}}' })).toEqual({ live_stat: { node: {} } });
  const many = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [i, figure('1', '1', '%')]));
  const large = { node: {}, devices: { cpu_util: many } };
  expect(formatValue(field, JSON.stringify(large))).toBe(
    '+ cpu_util\n  - (not shown one by one: there are 9 cores)',
  );
});

test('a document passes the arguments that are given', () => {
  expect(documentOf('query', 'users', {}, 'id')).toEqual({
    document: 'query { users { id } }',
    values: {},
  });
  const variables = { a: ['Int!', 0], b: ['String', undefined], c: ['[ID]', null] } as const;
  expect(documentOf('mutation', 'change', variables, 'ok')).toEqual({
    document: 'mutation($a: Int!, $c: [ID]) { change(a: $a, c: $c) { ok } }',
    values: { a: 0, c: null },
  });
});

function source(total: number) {
  const requests: [number, number][] = [];
  const fetchPage = async (offset: number, limit: number): Promise<Page> => {
    requests.push([offset, limit]);
    const count = Math.max(0, Math.min(limit, total - offset));
    const items = Array.from({ length: count }, (_, index) => ({ n: offset + index }));
    return { items, total };
  };
  return { requests, fetchPage };
}

const numbers = (text: string) => text.split('\n').slice(2, -1).map(Number);

test('a list that is not for a terminal comes in pages of twenty, all of it', async () => {
  const io = capturedIo();
  const { requests, fetchPage } = source(45);
  await printList({ io, globals: forPeople }, [{ key: 'n' }], {}, fetchPage);
  expect(requests).toEqual([
    [0, 20],
    [20, 20],
    [40, 20],
  ]);
  expect(numbers(io.out())).toEqual(Array.from({ length: 45 }, (_, index) => index));
});

test('--limit and --offset', async () => {
  const io = capturedIo();
  const { requests, fetchPage } = source(45);
  await printList({ io, globals: forPeople }, [{ key: 'n' }], { limit: 25, offset: 5 }, fetchPage);
  expect(requests).toEqual([
    [5, 20],
    [25, 5],
  ]);
  expect(numbers(io.out())).toHaveLength(25);
});

test('a list as JSON is one page with the total', async () => {
  const io = capturedIo();
  const { requests, fetchPage } = source(45);
  await printList({ io, globals: json }, [{ key: 'n' }], {}, fetchPage);
  expect(requests).toEqual([[0, 20]]);
  expect(JSON.parse(io.out())).toMatchObject({ count: 20, total_count: 45 });
});

test('an empty list', async () => {
  const io = capturedIo();
  await printList({ io, globals: forPeople }, [{ key: 'n' }], {}, source(0).fetchPage);
  expect(io.out()).toBe('');
  expect(io.err()).toBe('✗ No matching items.\n');
});
