/**
 * The filter and order inputs of the newer schema in PostgreSQL. GraphQL has checked their shape;
 * values are bound, never spliced into the text. Everything in one filter must hold; so must
 * everything in one element of `OR`.
 */
import type { Fragment, Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { OrderTerm } from './page-store.ts';

/** A filter input, as GraphQL gives it. */
export type V2Filter = Readonly<Record<string, unknown>>;

type Column = {
  readonly kind: 'text' | 'uuid' | 'time' | 'date' | 'number' | 'boolean' | 'int-array';
  /** The column or expression; free of user input. */
  readonly column: Fragment;
};
type EnumColumn = {
  readonly kind: 'enum';
  readonly column: Fragment;
  /** Gives the stored form of a member; members are stored as they are by default. */
  readonly stored?: (member: string) => string;
  /** The column's own type, if it has one; then the planner knows how often each member occurs. */
  readonly type?: Fragment;
};
type NestedField = {
  readonly kind: 'nested';
  readonly fields: V2FieldTable;
  /** The condition that a related row exists for which `condition` holds. */
  readonly exists: (condition: Fragment) => Fragment;
};

/** Name of an input field → how it is stored. */
export type V2FieldTable = Readonly<Record<string, Column | EnumColumn | NestedField>>;

/** Bounds the work of one filter. */
const MAX_CONDITIONS = 200;
const MAX_DEPTH = 20;
const MAX_LIST_ITEMS = 10_000;

const wrong = (message: string) => new BackendError('InvalidGraphQLParameters', message);

interface Budget {
  conditions: number;
}

const allOf = (sql: Sql, parts: readonly Fragment[]): Fragment =>
  parts.length === 0 ? sql`true` : parts.reduce((left, right) => sql`${left} and ${right}`);

const anyOf = (sql: Sql, parts: readonly Fragment[]): Fragment =>
  parts.length === 0 ? sql`false` : parts.reduce((left, right) => sql`${left} or ${right}`);

/** A row without a value is not the same as any, so it passes a negation. */
const negated = (sql: Sql, condition: Fragment): Fragment => sql`(${condition}) is not true`;

const likePattern = (text: string): string => text.replace(/[\\%_]/g, (char) => `\\${char}`);

const isFilter = (value: unknown): value is V2Filter =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) return [value];
  if (value.length <= MAX_LIST_ITEMS) return value;
  throw wrong(`A list in a filter has more than ${MAX_LIST_ITEMS} items.`);
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw wrong('A filter compares text with something that is no text.');
}

const TEXT_OPERATOR = /^(i?)(not)?(contains|startswith|endswith|equals|in)$/;

/** `equals` … `iNotEndsWith`, `in` … `iNotIn`: case-insensitive with `i`, negated with `not`. */
function textCondition(sql: Sql, column: Fragment, operator: string, value: unknown): Fragment {
  const match = TEXT_OPERATOR.exec(operator.toLowerCase());
  if (!match) throw wrong(`'${operator}' is no comparison of text.`);
  const [, insensitive, not, verb] = match;
  const texts = listOf(value).map(textOf);
  const patterns = texts.map((text) => {
    const start = verb === 'contains' || verb === 'endswith' ? '%' : '';
    const end = verb === 'contains' || verb === 'startswith' ? '%' : '';
    return `${start}${likePattern(text)}${end}`;
  });
  const exact = !insensitive && (verb === 'equals' || verb === 'in');
  const condition = exact
    ? sql`${column} = any(${texts}::text[])`
    : sql`${column} ${insensitive ? sql`ilike` : sql`like`} any(${patterns}::text[])`;
  return not ? negated(sql, condition) : condition;
}

/** The value as text, for the type of the column. */
type Bind = (value: unknown) => string;

const COMPARISONS: Readonly<Record<string, string>> = {
  before: '<',
  after: '>',
  lessThan: '<',
  lessThanOrEqual: '<=',
  greaterThan: '>',
  greaterThanOrEqual: '>=',
};

/** Comparisons of values that have one spelling each: ids, times, numbers, members of enums. */
function valueCondition(
  sql: Sql,
  field: Column | EnumColumn,
  operator: string,
  value: unknown,
): Fragment {
  const { column } = field;
  const { bind, type } = bindingOf(sql, field);
  const equal = () => {
    const values = listOf(value).map(bind);
    // A cast of text to an enum would be done anew for every row; of parameters there are few.
    if (field.kind === 'enum' && field.type) {
      const members = [...new Set(values)].map((member) => sql`${column} = ${member}::${type}`);
      return sql`(${anyOf(sql, members)})`;
    }
    return sql`${column} = any(${values}::text[]::${type}[])`;
  };
  switch (operator) {
    case 'equals':
    case 'in':
    case 'in_':
      return equal();
    case 'notEquals':
    case 'notIn':
      return negated(sql, equal());
    case 'isNull':
      return value === true ? sql`${column} is null` : sql`${column} is not null`;
    default: {
      const comparison = Object.hasOwn(COMPARISONS, operator) ? COMPARISONS[operator] : undefined;
      if (comparison === undefined) throw wrong(`'${operator}' is no comparison here.`);
      return sql`${column} ${sql.unsafe(comparison)} ${bind(value)}::text::${type}`;
    }
  }
}

function arrayCondition(sql: Sql, column: Fragment, operator: string, value: unknown): Fragment {
  const wanted = sql`${listOf(value).map(String)}::text[]::int[]`;
  if (operator === 'contains' || operator === 'containsAll') return sql`${column} @> ${wanted}`;
  if (operator === 'containsAny') return sql`${column} && ${wanted}`;
  throw wrong(`'${operator}' is no comparison of lists.`);
}

function timeOf(value: unknown): string {
  const time = value instanceof Date ? value : new Date(String(value));
  if (Number.isNaN(time.getTime())) throw wrong('A filter compares a time with something else.');
  return time.toISOString();
}

function bindingOf(sql: Sql, field: Column | EnumColumn): { bind: Bind; type: Fragment } {
  switch (field.kind) {
    case 'uuid':
      return { bind: textOf, type: sql`uuid` };
    case 'time':
      return { bind: timeOf, type: sql`timestamptz` };
    case 'date':
      return { bind: textOf, type: sql`date` };
    case 'number':
      return { bind: String, type: sql`numeric` };
    case 'enum': {
      const { stored } = field;
      const bind: Bind = (value) => (stored ? stored(textOf(value)) : textOf(value));
      return { bind, type: field.type ?? sql`text` };
    }
    default:
      return { bind: textOf, type: sql`text` };
  }
}

function fieldConditions(
  sql: Sql,
  field: Column | EnumColumn,
  name: string,
  value: unknown,
): Fragment[] {
  const { column } = field;
  if (typeof value === 'boolean') return [sql`(${column} is ${value ? sql`true` : sql`not true`})`];
  // Older inputs give an enum's members as they are.
  if (!isFilter(value)) return [valueCondition(sql, field, 'in', value)];
  if (field.kind === 'boolean') throw wrong(`'${name}' compares with true or false.`);
  return Object.entries(value)
    .filter(([, operand]) => operand !== null && operand !== undefined)
    .map(([operator, operand]) => {
      if (field.kind === 'text') return textCondition(sql, column, operator, operand);
      if (field.kind === 'int-array') return arrayCondition(sql, column, operator, operand);
      return valueCondition(sql, field, operator, operand);
    });
}

function toSql(
  sql: Sql,
  filter: V2Filter,
  fields: V2FieldTable,
  budget: Budget,
  depth: number,
): Fragment {
  if (depth > MAX_DEPTH) throw wrong(`The filter is nested more than ${MAX_DEPTH} levels deep.`);
  const inner = (value: unknown, table: V2FieldTable) =>
    toSql(sql, isFilter(value) ? value : {}, table, budget, depth + 1);
  const parts: Fragment[] = [];
  for (const [name, value] of Object.entries(filter)) {
    if (value === null || value === undefined) continue;
    budget.conditions += 1;
    if (budget.conditions > MAX_CONDITIONS) {
      throw wrong(`The filter has more than ${MAX_CONDITIONS} conditions.`);
    }
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (name === 'AND') {
      parts.push(...listOf(value).map((item) => sql`(${inner(item, fields)})`));
    } else if (name === 'OR') {
      const choices = listOf(value).map((item) => sql`(${inner(item, fields)})`);
      if (choices.length > 0) parts.push(sql`(${anyOf(sql, choices)})`);
    } else if (name === 'NOT') {
      parts.push(...listOf(value).map((item) => negated(sql, inner(item, fields))));
    } else if (!field) {
      throw new Error(`the filter field '${name}' of the schema has no column`);
    } else if (field.kind === 'nested') {
      parts.push(field.exists(inner(value, field.fields)));
    } else {
      parts.push(...fieldConditions(sql, field, name, value));
    }
  }
  return allOf(sql, parts);
}

/**
 * The condition of a filter; absent or null means none, which is `true`.
 * @throws BackendError InvalidGraphQLParameters when it is too large.
 */
export function v2FilterToSql(
  sql: Sql,
  filter: V2Filter | null | undefined,
  fields: V2FieldTable,
): Fragment {
  return sql`(${toSql(sql, filter ?? {}, fields, { conditions: 0 }, 0)})`;
}

/** Member of an order enum → the expression to sort by. */
export type V2OrderTable = Readonly<Record<string, Fragment>>;

/** What a client sorts by. */
export interface V2Order {
  /** The schema fills it in where it has a default. */
  readonly field?: string;
  readonly direction?: 'ASC' | 'DESC' | null;
}

/** What of a list is asked for. */
export interface V2Query {
  readonly filter?: V2Filter | null;
  readonly orderBy?: readonly V2Order[] | null;
}

/** An order as clients may wish it. Pages by cursor always have the list's own order. */
export function v2OrderTerms(
  mode: 'offset' | 'forward' | 'backward',
  orderBy: readonly V2Order[] | null | undefined,
  fields: V2OrderTable,
  fallback: readonly OrderTerm[],
): readonly OrderTerm[] {
  if (mode !== 'offset' || !orderBy || orderBy.length === 0) return fallback;
  return orderBy.map(({ field, direction }) => {
    const column = field === undefined ? undefined : fields[field];
    if (!column) throw new Error(`the order field '${field}' of the schema has no column`);
    return { column, descending: (direction ?? 'DESC') === 'DESC' };
  });
}
