/** JSON arguments that several features take. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import { formatSlots, parseSlots, type SlotMap } from '../../common/slots.ts';
import { HOST_PERMISSIONS, type HostPermissions } from '../db/json.ts';

const slots = v.record(v.string(), v.nullable(v.union([v.string(), v.number()])));

const hostPermissions = v.record(v.string(), v.array(v.picklist(HOST_PERMISSIONS)));

function wrong(name: string, problem: string): BackendError {
  return new BackendError('InvalidAPIParameters', `${name}: ${problem}`);
}

/**
 * Slot amounts as they are stored; sizes such as `4g` become bytes. Null means no slots.
 * @throws BackendError InvalidAPIParameters naming the argument and the slot.
 */
export function slotsInput(name: string, value: unknown): SlotMap {
  const parsed = parseOutside(slots, value ?? {});
  if (!parsed.success) throw wrong(name, 'expected a JSON object of slot name → amount');
  try {
    return formatSlots(parseSlots(parsed.output));
  } catch (error) {
    if (error instanceof RangeError) throw wrong(name, error.message);
    throw error;
  }
}

const isEndless = (amount: unknown): boolean =>
  typeof amount === 'string' && /^inf(inity)?$/i.test(amount.trim());

/**
 * The same for limits, where `Infinity` means none.
 * @throws BackendError InvalidAPIParameters naming the argument and the slot.
 */
export function limitsInput(name: string, value: unknown): SlotMap {
  const parsed = parseOutside(slots, value ?? {});
  const given = parsed.success ? Object.entries(parsed.output) : [];
  const endless = given.filter(([, amount]) => isEndless(amount));
  const finite = given.filter(([, amount]) => !isEndless(amount));
  return {
    ...slotsInput(name, endless.length > 0 ? Object.fromEntries(finite) : value),
    ...Object.fromEntries(endless.map(([slot]) => [slot, 'Infinity'])),
  };
}

/**
 * Folder hosts with what may be done there. Null means none.
 * @throws BackendError InvalidAPIParameters naming the argument.
 */
export function hostPermissionsInput(name: string, value: unknown): HostPermissions {
  const parsed = parseOutside(hostPermissions, value ?? {});
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw wrong(
    name,
    `expected a JSON object of folder host → list of permissions; ${issue.message}`,
  );
}

/** A list without the nulls that its type allows; absent and null stay so. */
export const listInput = <T>(
  value: readonly (T | null | undefined)[] | null | undefined,
): T[] | null | undefined =>
  value === null || value === undefined
    ? value
    : value.filter((item): item is T => item !== null && item !== undefined);
