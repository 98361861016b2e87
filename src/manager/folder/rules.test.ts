/** What standing gives which powers; more standing never gives less. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { FOLDER_POWERS, powersOf, type Standing } from './rules.ts';

const nobody: Standing = {
  ownership: 'user',
  owner: false,
  member: false,
  modelStore: false,
  granted: null,
  permission: 'rw',
  admin: null,
};

test('owners and superadmins may everything, strangers nothing', () => {
  expect(powersOf({ ...nobody, owner: true })).toEqual(FOLDER_POWERS);
  expect(powersOf({ ...nobody, admin: 'super' })).toEqual(FOLDER_POWERS);
  expect(powersOf(nobody)).toEqual([]);
  expect(powersOf({ ...nobody, ownership: 'group' })).toEqual([]);
});

test("administrators of a domain look after its users' folders without looking into them", () => {
  const powers = powersOf({ ...nobody, admin: 'domain' });
  expect(powers).toEqual(['read_attribute', 'update_attribute', 'delete_vfolder']);
  expect(powersOf({ ...nobody, ownership: 'group', admin: 'domain' })).toEqual(FOLDER_POWERS);
});

test('guests get what they were granted, members what the folder or their grant says', () => {
  const guest = (granted: Standing['granted']) => powersOf({ ...nobody, granted });
  expect(guest('ro')).not.toContain('write_content');
  expect(guest('rw')).toContain('delete_content');
  expect(guest('rw')).not.toContain('mount_wd');
  expect(guest('wd')).toContain('mount_wd');
  const member = { ...nobody, ownership: 'group', member: true, permission: 'ro' } as const;
  expect(powersOf(member)).not.toContain('write_content');
  expect(powersOf({ ...member, granted: 'rw' })).toContain('write_content');
  expect(powersOf({ ...member, permission: 'rw', granted: 'ro' })).not.toContain('write_content');
  const visitor = { ...nobody, ownership: 'group', modelStore: true } as const;
  expect(powersOf({ ...visitor, permission: 'wd' })).not.toContain('write_content');
});

test('nobody but owners and administrators shares or deletes a folder', () => {
  const standing = fc.record({
    ownership: fc.constantFrom('user', 'group'),
    owner: fc.constant(false),
    member: fc.boolean(),
    modelStore: fc.boolean(),
    granted: fc.constantFrom(null, 'ro', 'rw', 'wd'),
    permission: fc.constantFrom('ro', 'rw', 'wd'),
    admin: fc.constant(null),
  } satisfies Record<keyof Standing, fc.Arbitrary<unknown>>);
  fc.assert(
    fc.property(standing, (given) => {
      const powers = powersOf(given);
      expect(powers).not.toContain('assign_permission_to_others');
      expect(powers).not.toContain('delete_vfolder');
      const more = powersOf({ ...given, granted: 'wd' });
      if (given.ownership === 'user' || given.member) {
        for (const power of powers) expect(more).toContain(power);
      }
    }),
  );
});
