/** Kinds of resources through GraphQL: for everybody, the enabled ones. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
  await tenants.db.sql`DELETE FROM resource_slot_types`;
  await tenants.db.sql`INSERT INTO resource_slot_types (slot_name, slot_type, display_name, enabled,
      display_unit, number_format, rank)
    VALUES ('cpu', 'count', 'CPU', true, 'Core', '{"binary": false, "round_length": 0}', 1),
           ('mem', 'bytes', 'RAM', true, 'GiB', '{"binary": true, "round_length": 2}', 0),
           ('old.device', 'count', 'Old', false, '', '{"binary": false, "round_length": 0}', 2)`;
});
afterAll(() => tenants.close());

const names = async (args: string) => {
  const call = args === '' ? 'resourceSlotTypes' : `resourceSlotTypes(${args})`;
  const { data, errors } = await tenants.ask(
    'user',
    `{ ${call} { count edges { node { slotName } } } }`,
  );
  expect(errors).toBeNull();
  return data?.resourceSlotTypes;
};
const listed = (count: number, ...slots: string[]) => ({
  count,
  edges: slots.map((slotName) => ({ node: { slotName } })),
});

test('the enabled kinds, by rank unless ordered, filtered and paged', async () => {
  expect(await names('')).toEqual(listed(2, 'mem', 'cpu'));
  expect(await names('orderBy: [{field: SLOT_NAME, direction: ASC}], limit: 5')).toEqual(
    listed(2, 'cpu', 'mem'),
  );
  expect(await names('filter: {slotType: {equals: "bytes"}}')).toEqual(listed(1, 'mem'));
  expect(await names('limit: 1, offset: 1')).toEqual(listed(2, 'cpu'));
});

test('one kind, by name and as a node', async () => {
  const fields = 'slotName displayName displayUnit numberFormat { binary roundLength } rank';
  const mem = {
    slotName: 'mem',
    displayName: 'RAM',
    displayUnit: 'GiB',
    numberFormat: { binary: true, roundLength: 2 },
    rank: 0,
  };
  const byName = await tenants.ask(
    'monitor',
    `{ resourceSlotType(slotName: "mem") { ${fields} } }`,
  );
  expect(byName.data?.resourceSlotType).toEqual(mem);
  const id = btoa('ResourceSlotType:mem');
  const node = await tenants.ask(
    'user',
    `{ node(id: "${id}") { ... on ResourceSlotType { ${fields} } } }`,
  );
  expect(node.data?.node).toEqual(mem);
  const none = await tenants.ask('user', '{ resourceSlotType(slotName: "old.device") { rank } }');
  expect(none).toEqual({ data: { resourceSlotType: null }, errors: null });
});
