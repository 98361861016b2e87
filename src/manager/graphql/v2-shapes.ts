/** Types that several features of the newer schema have in common, and how stored values become them. */
import { BackendError } from '../../common/errors.ts';
import { parseSize } from '../../common/sizes.ts';
import type { SlotMap } from '../../common/slots.ts';
import { HOST_PERMISSIONS, type HostPermissions } from '../db/json.ts';
import { hostPermissionsInput, limitsInput } from './inputs.ts';
import type {
  ResourceSlotEntryInput,
  VFolderHostPermissionEntryInput,
  VFolderHostPermissionV2,
} from './resolvers.generated.ts';

export const v2Shapes = /* GraphQL */ `
  scalar Decimal

  type EntityTimestamps {
    createdAt: DateTime
    modifiedAt: DateTime
  }

  type ResourceSlot {
    entries: [ResourceSlotEntry!]!
  }

  type ResourceSlotEntry {
    resourceType: String!
    quantity: Decimal!
  }

  input ResourceSlotEntryInput {
    resourceType: String!
    quantity: String!
  }

  type ResourceLimitEntry {
    resourceType: String!
    quantity: Decimal
    unlimited: Boolean!
  }

  type BinarySizeInfo {
    value: Int!
    display: String!
  }

  input BinarySizeInput {
    expr: String!
  }

  enum VFolderHostPermissionV2 {
    CREATE_VFOLDER
    MODIFY_VFOLDER
    DELETE_VFOLDER
    MOUNT_IN_SESSION
    UPLOAD_FILE
    DOWNLOAD_FILE
    INVITE_OTHERS
    SET_USER_PERM
  }

  type VFolderHostPermissionEntry {
    host: String!
    permissions: [VFolderHostPermissionV2!]!
  }

  input VFolderHostPermissionEntryInput {
    host: String!
    permissions: [String!]!
  }
`;

/** Slots with their amounts, which are decimal strings. */
export const slotEntries = (slots: SlotMap) =>
  Object.entries(slots).map(([resourceType, quantity]) => ({ resourceType, quantity }));

/** Limits of slots; `Infinity` is none. */
export const limitEntries = (slots: SlotMap) =>
  Object.entries(slots).map(([resourceType, amount]) => {
    const unlimited = amount === 'Infinity';
    return { resourceType, quantity: unlimited ? null : amount, unlimited };
  });

/**
 * The limits that clients list; sizes such as `4g` become bytes.
 * @throws BackendError InvalidAPIParameters naming the argument and the slot.
 */
export const limitsOfEntries = (
  name: string,
  entries: readonly ResourceSlotEntryInput[],
): SlotMap =>
  limitsInput(
    name,
    Object.fromEntries(entries.map(({ resourceType, quantity }) => [resourceType, quantity])),
  );

const NAMES = {
  'create-vfolder': 'CREATE_VFOLDER',
  'modify-vfolder': 'MODIFY_VFOLDER',
  'delete-vfolder': 'DELETE_VFOLDER',
  'mount-in-session': 'MOUNT_IN_SESSION',
  'upload-file': 'UPLOAD_FILE',
  'download-file': 'DOWNLOAD_FILE',
  'invite-others': 'INVITE_OTHERS',
  'set-user-specific-permission': 'SET_USER_PERM',
} as const satisfies Record<(typeof HOST_PERMISSIONS)[number], VFolderHostPermissionV2>;

/** What may be done on which folder host. */
export const hostPermissionEntries = (hosts: HostPermissions) =>
  Object.entries(hosts).map(([host, held]) => ({
    host,
    permissions: HOST_PERMISSIONS.filter((known) => held.includes(known)).map(
      (known) => NAMES[known],
    ),
  }));

/**
 * The host permissions that clients list, by the names of the enum or as they are stored.
 * @throws BackendError InvalidAPIParameters naming the argument.
 */
export const hostPermissionsOfEntries = (
  name: string,
  entries: readonly VFolderHostPermissionEntryInput[],
): HostPermissions =>
  hostPermissionsInput(
    name,
    Object.fromEntries(
      entries.map(({ host, permissions }) => [
        host,
        permissions.map(
          (given) => HOST_PERMISSIONS.find((stored) => NAMES[stored] === given) ?? given,
        ),
      ]),
    ),
  );

const UNITS = ['', 'k', 'm', 'g', 't', 'p'];

/** `1g`, `1.5g`, `512m`; a negative size, which stands for no limit, as it is. */
function displaySize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toFixed(2))}${UNITS[unit]}`;
}

/** A size in bytes, with a form for people. */
export const binarySize = (bytes: number) => ({ value: bytes, display: displaySize(bytes) });

/**
 * The bytes that a client means with `10g`, `1073741824`, or `-1` for no limit.
 * @throws BackendError InvalidAPIParameters naming the argument.
 */
export function bytesOfSize(name: string, { expr }: { readonly expr: string }): number {
  const bytes = expr.trim() === '-1' ? -1 : parseSize(expr);
  if (bytes !== null && Number.isSafeInteger(Number(bytes))) return Number(bytes);
  throw new BackendError(
    'InvalidAPIParameters',
    `${name}: '${expr.slice(0, 50)}' is no size; write 10g, 512m, a number of bytes, or -1 for no limit.`,
  );
}
