/** What a report is: named columns of rows, some of them of related rows, that can be filtered. */

export type FieldType = 'string' | 'integer' | 'boolean' | 'datetime' | 'uuid' | 'json' | 'enum';

/** [key, title, type, SQL expression, relation it comes from]. */
export type Field = readonly [
  key: string,
  title: string,
  type: FieldType,
  column: string,
  relation?: string,
];

export interface Relation {
  readonly sql: string;
  /** What its fields are about, for their descriptions. */
  readonly subject: string;
}

export type FilterKind = 'text' | 'words' | 'boolean' | 'time';

/** Whose rows an export has. */
export interface Owner {
  readonly kind: 'user' | 'project' | 'domain';
  readonly id: string;
}

export interface Report {
  readonly key: string;
  readonly name: string;
  readonly description: string;
  /** What the report's own fields are about. */
  readonly subject: string;
  /** The FROM clause without relations. */
  readonly from: string;
  /** Joined when a field needs it; of one with several rows, each gives a row of the report. */
  readonly relations: Readonly<Record<string, Relation>>;
  readonly fields: readonly Field[];
  /** What clients filter by: name → kind and SQL expression. */
  readonly filters: Readonly<Record<string, readonly [FilterKind, string]>>;
  /** What clients order by: name → SQL expression. */
  readonly orders: Readonly<Record<string, string>>;
  /** Whose rows there are apart: kind of owner → SQL expression of its name or id, as text. */
  readonly owners: Readonly<Partial<Record<Owner['kind'], string>>>;
  /** Keys of fields about the cluster itself, which only superadmins get. */
  readonly internal?: readonly string[];
}
