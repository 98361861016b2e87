/** Columns that several features read and write alike: JSON, and numbers that must stay exact. */
import * as v from 'valibot';
import { parseAmount, type SlotMap } from '../../common/slots.ts';
import type { Db } from './connect.ts';

/** Slot name → decimal string; numbers and nulls of hand-written rows are taken along. */
export const slotMapColumn = v.pipe(
  v.nullish(v.record(v.string(), v.nullable(v.union([v.string(), v.number()]))), {}),
  v.transform((map): SlotMap => {
    const out: SlotMap = {};
    for (const [name, value] of Object.entries(map)) if (value !== null) out[name] = String(value);
    return out;
  }),
);

/** What may be allowed on a storage host. */
export const HOST_PERMISSIONS = [
  'create-vfolder',
  'modify-vfolder',
  'delete-vfolder',
  'mount-in-session',
  'upload-file',
  'download-file',
  'invite-others',
  'set-user-specific-permission',
] as const;

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

/** A numeric column, selected as text; millionths. */
export const amountColumn = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const value = parseAmount(dataset.value);
    if (value !== null) return value;
    addIssue({ message: 'not an amount' });
    return NEVER;
  }),
);

/** PostgreSQL's json types refuse NUL characters and lone surrogates; agents may send either. */
function cleanJson(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('\0', '\uFFFD').toWellFormed();
  if (Array.isArray(value)) return value.map(cleanJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [String(cleanJson(key)), cleanJson(item)]),
  );
}

/** How JSON writes what `cleanJson` is for; also found where it does no harm. */
const MAYBE_UNFIT = /\\u(0000|d[89a-f])/;

/** JSON text that PostgreSQL takes, whatever an agent or a user put into it. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value);
  return MAYBE_UNFIT.test(text) ? JSON.stringify(cleanJson(value)) : text;
}

const fitText = (text: string): string => text.replaceAll('\0', '\uFFFD').toWellFormed();
const TEXT = 25;

/** One column of several rows, for `unnest`, which costs PostgreSQL a third of reading the rows from JSON. */
export function textColumn(sql: Db, values: readonly (string | null)[]) {
  const fit = values.map((value) => (value === null ? null : fitText(value)));
  return sql.array(fit, TEXT);
}

/** As `textColumn`, for a column of type jsonb; null is no value, not JSON's null. */
export function jsonColumn(sql: Db, values: readonly (object | null)[]) {
  return sql.array(
    values.map((value) => (value === null ? null : jsonText(value))),
    TEXT,
  );
}

/** How PostgreSQL writes a list of texts, for a column of lists. */
export const listText = (values: readonly string[]): string =>
  `{${values.map((value) => `"${value.replace(/[\\"]/g, '\\$&')}"`).join()}}`;
