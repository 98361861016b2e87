/** Assignments of an UPDATE from the columns that are to change. */
import type { Fragment } from 'postgres';
import type { Db } from './connect.ts';
import { jsonText } from './json.ts';

type Scalar = string | number | boolean | null | Date;
/** A value for a JSON column. */
export interface JsonColumn {
  readonly json: unknown;
}
type Assigned = Scalar | readonly string[] | readonly number[] | JsonColumn | undefined;

const isJson = (value: Assigned): value is JsonColumn =>
  typeof value === 'object' && value !== null && 'json' in value;

/** The value as a bound parameter. */
function bound(sql: Db, value: Assigned): Fragment {
  if (value === undefined || value === null) return sql`NULL`;
  if (isJson(value)) return sql`${jsonText(value.json)}::text::jsonb`;
  if (Array.isArray(value)) return sql`${[...value]}`;
  return sql`${value}`;
}

/**
 * `, a = 1, b = 'x'` to follow a first assignment; nothing when no column changes. A column that is
 * undefined stays as it is. Column names come from the code, values are bound.
 */
export function assignments(sql: Db, changes: { readonly [column: string]: Assigned }): Fragment {
  return Object.entries(changes)
    .filter(([, value]) => value !== undefined)
    .map(([column, value]) => sql`, ${sql(column)} = ${bound(sql, value)}`)
    .reduce((left, right) => sql`${left} ${right}`, sql``);
}
