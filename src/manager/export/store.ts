/** Reads the rows of a report, a batch at a time, from a cursor. */
import type { Fragment, Sql } from 'postgres';
import type { Condition, ExportBody, TextTest } from './filter.ts';
import type { Field, Owner, Report } from './report.ts';

/** Rows held at a time. */
const BATCH = 500;

/** A constant of `report-store.ts` as part of a statement; never anything that a client sent. */
const constant = (sql: Sql, text: string) => sql`${sql.unsafe(text)}`;

const escapeLike = (text: string): string => text.replace(/[\\%_]/g, '\\$&');

function textCondition(sql: Sql, column: Fragment, test: TextTest): Fragment {
  const { operator, ignoreCase, negated } = test;
  const values = test.values.map((value) => (ignoreCase ? value.toLowerCase() : value));
  const left = ignoreCase ? sql`lower(${column})` : column;
  const [value = ''] = values;
  const like = (pattern: string) => sql`${left} LIKE ${pattern}`;
  let condition: Fragment;
  switch (operator) {
    case 'equals':
      condition = sql`${left} = ${value}`;
      break;
    case 'contains':
      condition = like(`%${escapeLike(value)}%`);
      break;
    case 'starts_with':
      condition = like(`${escapeLike(value)}%`);
      break;
    case 'ends_with':
      condition = like(`%${escapeLike(value)}`);
      break;
    case 'in':
      condition = sql`${left} = ANY (${values}::text[])`;
      break;
  }
  return negated ? sql`(${condition}) IS NOT TRUE` : condition;
}

function conditionsOf(sql: Sql, column: Fragment, condition: Condition): Fragment[] {
  switch (condition.kind) {
    case 'text':
      return condition.tests.map((test) => textCondition(sql, column, test));
    case 'words': {
      const values = condition.values.map((value) => value.toLowerCase());
      return [sql`lower(${column}) = ANY (${values}::text[])`];
    }
    case 'boolean':
      return [sql`${column} IS NOT DISTINCT FROM ${condition.value}`];
    case 'time': {
      const { after, before } = condition;
      return [
        ...(after === null ? [] : [sql`${column} >= ${after}`]),
        ...(before === null ? [] : [sql`${column} <= ${before}`]),
      ];
    }
  }
}

const listed = (sql: Sql, parts: readonly Fragment[], between: Fragment): Fragment =>
  parts.reduce((all, part) => sql`${all}${between}${part}`);

/**
 * Batches of rows with the values of `fields`, at most `limit` rows in all.
 * @param owner whose rows; null: all.
 */
export function readReport(
  sql: Sql,
  report: Report,
  fields: readonly Field[],
  { filter, order }: Pick<ExportBody, 'filter' | 'order'>,
  limit: number,
  owner: Owner | null,
): AsyncIterable<readonly (readonly unknown[])[]> {
  const columns = fields.map(([, , , column]) => constant(sql, column));
  const relations = [...new Set(fields.map(([, , , , relation]) => relation))];
  const joins = relations.map((name) =>
    constant(sql, name === undefined ? '' : (report.relations[name]?.sql ?? '')),
  );
  const conditions = Object.entries(report.filters).flatMap(([name, [, column]]) => {
    const condition = filter?.[name];
    return condition ? conditionsOf(sql, constant(sql, column), condition) : [];
  });
  if (owner !== null) {
    const column = report.owners[owner.kind];
    if (column === undefined) throw new Error(`report '${report.key}' has no ${owner.kind}s`);
    conditions.push(sql`${constant(sql, column)} = ${owner.id}`);
  }
  const orders = (order ?? []).map(({ field, direction }) =>
    constant(sql, `${report.orders[field]} ${direction} NULLS LAST`),
  );
  return sql`
    SELECT ${listed(sql, columns, sql`, `)}
      FROM ${constant(sql, report.from)} ${listed(sql, joins, sql` `)}
     ${conditions.length === 0 ? sql`` : sql`WHERE ${listed(sql, conditions, sql` AND `)}`}
     ${orders.length === 0 ? sql`` : sql`ORDER BY ${listed(sql, orders, sql`, `)}`}
     LIMIT ${limit}`
    .values()
    .cursor(BATCH);
}
