/** The shapes of JSON columns that several features read. */
import * as v from 'valibot';
import type { SlotMap } from '../../common/slots.ts';

/** Slot name → decimal string; numbers and nulls of hand-written rows are taken along. */
export const slotMapColumn = v.pipe(
  v.nullish(v.record(v.string(), v.nullable(v.union([v.string(), v.number()]))), {}),
  v.transform((map): SlotMap => {
    const out: SlotMap = {};
    for (const [name, value] of Object.entries(map)) if (value !== null) out[name] = String(value);
    return out;
  }),
);

/** `proxy:volume` → host permissions. */
export const hostPermissionsColumn = v.record(v.string(), v.array(v.string()));
export type HostPermissions = v.InferOutput<typeof hostPermissionsColumn>;

/** Label name → text. */
export const labelsColumn = v.pipe(
  v.record(v.string(), v.unknown()),
  v.transform((labels) =>
    Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, String(value)])),
  ),
);
