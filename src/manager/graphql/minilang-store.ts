/**
 * Filters and orders as SQL fragments. A list declares which fields it offers and how each is
 * stored; values are always bound, never spliced into the text.
 */

import type { Fragment, Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import {
  type FilterOperator,
  type FilterScalar,
  type FilterTree,
  filterError,
  parseFilter,
  parseOrder,
} from './minilang.ts';
import type { OrderTerm } from './page-store.ts';

/** How a field is stored, which decides the comparisons it allows. */
type FieldKind =
  | 'text'
  | 'uuid'
  | 'number'
  | 'boolean'
  | 'time'
  /** Text from a fixed set; compared without regard to case. */
  | 'enum'
  /** An array of text: a comparison holds when any element satisfies it. */
  | 'text-array';

interface FilterField {
  readonly kind: FieldKind;
  /** The column or expression; must be free of user input. */
  readonly column: Fragment;
  /** For enums: gives the stored form of a value written by a user. */
  readonly stored?: (value: string) => string;
  /**
   * For enums: every stored form there is. What differs from one is then looked up among the others,
   * which an index can do, and few rows that are alive are found among many that are not.
   */
  readonly members?: readonly string[];
}
/** Field name → its storage. */
export type FieldTable = Readonly<Record<string, FilterField>>;

const CASTS: Readonly<Record<FieldKind, string>> = {
  text: 'text',
  enum: 'text',
  'text-array': 'text',
  uuid: 'text',
  number: 'numeric',
  boolean: 'boolean',
  time: 'timestamptz',
};

function boundValue(field: FilterField, name: string, value: FilterScalar): string | boolean {
  const wrong = (expected: string) => filterError(`'${name}' compares with ${expected}`);
  switch (field.kind) {
    case 'number':
      if (typeof value !== 'number') throw wrong('a number');
      return String(value);
    case 'boolean':
      if (typeof value !== 'boolean') throw wrong('true or false');
      return value;
    case 'time': {
      const time = typeof value === 'string' ? new Date(value) : null;
      if (!time || Number.isNaN(time.getTime())) throw wrong('a time in ISO-8601 form');
      return time.toISOString();
    }
    case 'enum':
      if (typeof value !== 'string') throw wrong('text');
      return field.stored ? field.stored(value) : value.toUpperCase();
    case 'uuid':
      if (typeof value !== 'string') throw wrong('text');
      return value.toLowerCase();
    case 'text':
    case 'text-array':
      if (value === null) throw wrong('text');
      return String(value);
  }
}

/** The field's side of a comparison of single values as text. */
const operandOf = (sql: Sql, field: FilterField): Fragment =>
  field.kind === 'uuid' ? sql`(${field.column})::text` : field.column;

/** Both sides of a comparison of single values. An id is compared as such, so that an index serves. */
const sides = (
  sql: Sql,
  field: FilterField,
  value: string | boolean,
): readonly [Fragment, Fragment] =>
  field.kind === 'uuid' && isUuid(String(value))
    ? [field.column, sql`${String(value)}::text::uuid`]
    : [operandOf(sql, field), bind(sql, field, value)];

function compareOne(
  sql: Sql,
  left: Fragment,
  operator: FilterOperator,
  right: Fragment,
): Fragment | null {
  switch (operator) {
    case '==':
      return sql`${left} = ${right}`;
    case '!=':
      return sql`${left} <> ${right}`;
    case '>':
      return sql`${left} > ${right}`;
    case '>=':
      return sql`${left} >= ${right}`;
    case '<':
      return sql`${left} < ${right}`;
    case '<=':
      return sql`${left} <= ${right}`;
    case 'like':
      return sql`${left} like ${right}`;
    case 'ilike':
      return sql`${left} ilike ${right}`;
    default:
      return null;
  }
}

const isTextual = (kind: FieldKind): boolean =>
  kind === 'text' || kind === 'uuid' || kind === 'enum' || kind === 'text-array';

function compareText(
  sql: Sql,
  field: FilterField,
  name: string,
  operator: FilterOperator,
  value: FilterScalar,
): Fragment {
  if (typeof value !== 'string' || !isTextual(field.kind)) {
    throw filterError(`'${operator}' compares text, and '${name}' or its value is not text`);
  }
  const pattern =
    operator === 'contains' ? `%${value.replace(/[\\%_]/g, (char) => `\\${char}`)}%` : value;
  const matcher = operator === 'ilike' ? sql`ilike` : sql`like`;
  if (field.kind === 'text-array') {
    return sql`exists (select 1 from unnest(${field.column}) as element where element ${matcher} ${pattern}::text)`;
  }
  return sql`${operandOf(sql, field)} ${matcher} ${pattern}::text`;
}

function testToSql(
  sql: Sql,
  field: FilterField,
  test: Extract<FilterTree, { kind: 'test' }>,
): Fragment {
  const { name, operator, value } = test;
  if (Array.isArray(value)) {
    if (operator !== 'in') throw filterError(`'${operator}' compares with one value, not a list`);
    const list = value.map((item) => boundValue(field, name, item));
    if (list.length === 0) return sql`false`;
    return sql`(${joinOr(sql, list, (item) => equals(sql, field, item))})`;
  }
  if (operator === 'in') throw filterError(`'in' needs a list such as ["a", "b"]`);
  const missing = sql`${field.column} is null`;
  if (operator === 'is' || operator === 'isnot') {
    if (typeof value !== 'boolean' && value !== null) {
      throw filterError(`'${operator}' compares with null, true or false`);
    }
    const same =
      value === null
        ? missing
        : sql`coalesce(${equals(sql, field, boundValue(field, name, value))}, false)`;
    return operator === 'is' ? same : sql`not (${same})`;
  }
  if (value === null) {
    if (operator === '==') return missing;
    if (operator === '!=') return sql`not (${missing})`;
    throw filterError(`'${operator}' cannot compare with null`);
  }
  if (operator === 'contains') {
    return field.kind === 'text-array'
      ? equals(sql, field, boundValue(field, name, value))
      : compareText(sql, field, name, operator, value);
  }
  if (operator === 'like' || operator === 'ilike') {
    return compareText(sql, field, name, operator, value);
  }
  const bound = boundValue(field, name, value);
  if (operator === '!=' && field.members) {
    const others = field.members.filter((member) => member !== bound);
    return sql`${field.column} = any(${others}::text[])`;
  }
  const [left, right] = sides(sql, field, bound);
  if (field.kind === 'text-array') {
    const inner = compareOne(sql, sql`element`, operator, right);
    return sql`exists (select 1 from unnest(${field.column}) as element where ${inner ?? sql`false`})`;
  }
  const comparison = compareOne(sql, left, operator, right);
  if (!comparison) throw filterError(`'${operator}' does not apply to '${name}'`);
  return comparison;
}

function bind(sql: Sql, field: FilterField, value: string | boolean): Fragment {
  const cast = CASTS[field.kind];
  if (cast === 'boolean') return sql`${value}::boolean`;
  // A parameter takes the type of its cast, and postgres.js sends it as text first.
  if (cast === 'numeric') return sql`${String(value)}::text::numeric`;
  if (cast === 'timestamptz') return sql`${String(value)}::text::timestamptz`;
  return sql`${String(value)}::text`;
}

function equals(sql: Sql, field: FilterField, value: string | boolean): Fragment {
  const [left, right] = sides(sql, field, value);
  return field.kind === 'text-array'
    ? sql`${right} = any(${field.column})`
    : sql`${left} = ${right}`;
}

function joinOr<T>(sql: Sql, items: readonly T[], each: (item: T) => Fragment): Fragment {
  return items.map(each).reduce((left, right) => sql`${left} or ${right}`);
}

function treeToSql(sql: Sql, tree: FilterTree, fields: FieldTable): Fragment {
  switch (tree.kind) {
    case 'not':
      return sql`not (${treeToSql(sql, tree.operand, fields)})`;
    case 'and':
      return sql`(${treeToSql(sql, tree.left, fields)}) and (${treeToSql(sql, tree.right, fields)})`;
    case 'or':
      return sql`(${treeToSql(sql, tree.left, fields)}) or (${treeToSql(sql, tree.right, fields)})`;
    case 'test': {
      const field = Object.hasOwn(fields, tree.name) ? fields[tree.name] : undefined;
      if (!field) {
        throw filterError(
          `there is no field '${tree.name}' here; the fields are ${Object.keys(fields).join(', ')}`,
        );
      }
      return testToSql(sql, field, tree);
    }
  }
}

/**
 * The condition of a filter; absent or null means none, which is `true`.
 * @throws BackendError InvalidAPIParameters on a syntax error, an unknown field or a wrong value.
 */
export function filterToSql(
  sql: Sql,
  filter: string | null | undefined,
  fields: FieldTable,
): Fragment {
  if (filter === null || filter === undefined) return sql`true`;
  return sql`(${treeToSql(sql, parseFilter(filter), fields)})`;
}

/** Field name → the expression to sort by. */
export type OrderTable = Readonly<Record<string, Fragment>>;

/** The columns of fields, for ordering by the fields that can be filtered by. */
export const orderTable = (fields: FieldTable): OrderTable =>
  Object.fromEntries(Object.entries(fields).map(([name, { column }]) => [name, column]));

/** What of a list is asked for, in the two languages above. */
export interface ListQuery {
  readonly filter?: string | null;
  readonly order?: string | null;
}

/** The same with the part of it. */
export interface ListPage extends ListQuery {
  readonly limit: number;
  readonly offset: number;
}

/**
 * The expressions that an order names; none when it is absent or empty.
 * @throws BackendError InvalidAPIParameters on a syntax error or an unknown field.
 */
export function orderTerms(order: string | null | undefined, fields: OrderTable): OrderTerm[] {
  return parseOrder(order ?? '').map(({ name, descending }) => {
    const column = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (column) return { column, descending };
    throw new BackendError(
      'InvalidAPIParameters',
      `Query order parsing error: cannot sort by '${name}'; choose from ${Object.keys(fields).join(', ')}`,
    );
  });
}

/**
 * The list after `order by`; `fallback` when no order is given. `tieBreak` makes pages stable.
 * @throws BackendError InvalidAPIParameters on a syntax error or an unknown field.
 */
export function orderToSql(
  sql: Sql,
  order: string | null | undefined,
  fields: OrderTable,
  options: { fallback: Fragment; tieBreak: Fragment },
): Fragment {
  const sorted = orderTerms(order, fields).map(({ column, descending }) =>
    descending ? sql`${column} desc` : sql`${column} asc`,
  );
  const list =
    sorted.length === 0 ? options.fallback : sorted.reduce((left, right) => sql`${left}, ${right}`);
  return sql`${list}, ${options.tieBreak}`;
}
