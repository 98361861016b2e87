/** The filters and orders of exports as clients send them. */
import * as v from 'valibot';
import type { FilterKind, Report } from './report.ts';

const text = v.pipe(
  v.string(),
  v.maxLength(1024),
  v.check((value) => !value.includes('\0'), 'text cannot hold a NUL character'),
);
const MAX_WORDS = 1000;
const words = v.pipe(v.array(text), v.maxLength(MAX_WORDS));

/** How a text is compared; `negated` also holds for rows without that text. */
export interface TextTest {
  readonly operator: 'equals' | 'contains' | 'starts_with' | 'ends_with' | 'in';
  readonly ignoreCase: boolean;
  readonly negated: boolean;
  readonly values: readonly string[];
}

const OPERATORS = ['equals', 'contains', 'starts_with', 'ends_with', 'in'] as const;

/** Each operator plain, ignoring case (`i_`), negated (`not_`), and both (`i_not_`). */
const textTests = v.pipe(
  v.record(v.string(), v.nullable(v.union([text, words]))),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const tests: TextTest[] = [];
    for (const [given, value] of Object.entries(dataset.value)) {
      if (value === null) continue;
      const match = /^(i_)?(not_)?(\w+?)_?$/.exec(given);
      const operator = OPERATORS.find((known) => known === match?.[3]);
      if (operator === undefined) {
        addIssue({ message: `'${given}' is no way to compare text` });
        return NEVER;
      }
      if ((operator === 'in') !== Array.isArray(value)) {
        addIssue({ message: `'${given}' compares with ${operator === 'in' ? 'a list' : 'text'}` });
        return NEVER;
      }
      tests.push({
        operator,
        ignoreCase: match?.[1] !== undefined,
        negated: match?.[2] !== undefined,
        values: typeof value === 'string' ? [value] : value,
      });
    }
    return tests;
  }),
);

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?$/i;
/** A moment; UTC where no zone is given. */
const moment = v.pipe(
  v.string(),
  v.rawTransform(({ dataset: { value }, addIssue, NEVER }) => {
    const match = ISO.exec(value);
    const time = new Date(match !== null && match[3] === undefined ? `${value}Z` : value);
    const year = time.getUTCFullYear();
    if (match !== null && year >= 1 && year <= 9999) return time;
    addIssue({ message: 'expected a time in ISO-8601 form' });
    return NEVER;
  }),
);
const time = v.nullish(moment, null);
const period = v.object({ after: time, before: time });

const SCHEMAS = {
  text: v.pipe(
    textTests,
    v.transform((tests) => ({ kind: 'text' as const, tests })),
  ),
  words: v.pipe(
    words,
    v.transform((values) => ({ kind: 'words' as const, values })),
  ),
  boolean: v.pipe(
    v.boolean(),
    v.transform((value) => ({ kind: 'boolean' as const, value })),
  ),
  time: v.pipe(
    period,
    v.transform((range) => ({ kind: 'time' as const, ...range })),
  ),
} satisfies Record<FilterKind, v.GenericSchema<unknown, unknown>>;

/** One condition of a filter; all of them must hold. */
export type Condition = v.InferOutput<(typeof SCHEMAS)[FilterKind]>;

const filterOf = (report: Report) =>
  v.nullish(
    v.object(
      Object.fromEntries(
        Object.entries(report.filters).map(([name, [kind]]) => [
          name,
          v.nullish(v.union([SCHEMAS[kind]])),
        ]),
      ),
    ),
    {},
  );

const direction = v.optional(
  v.pipe(v.string(), v.toUpperCase(), v.picklist(['ASC', 'DESC'])),
  'ASC',
);

const orderOf = (report: Report) =>
  v.nullish(
    v.pipe(
      v.array(v.object({ field: v.picklist(Object.keys(report.orders)), direction })),
      v.maxLength(10),
    ),
    [],
  );

/** Newer clients write conditions of the owner within: `user: { email: … }` is `user_email: …`. */
function flattened(filter: unknown): unknown {
  if (typeof filter !== 'object' || filter === null || !('user' in filter)) return filter;
  const { user, ...rest } = filter;
  const entries = typeof user === 'object' && user !== null ? Object.entries(user) : [];
  return { ...rest, ...Object.fromEntries(entries.map(([key, test]) => [`user_${key}`, test])) };
}

/** The body of an export of that report. */
export const exportBody = (report: Report) =>
  v.object({
    fields: v.nullish(v.pipe(v.array(text), v.maxLength(MAX_WORDS)), null),
    filter: v.optional(v.pipe(v.unknown(), v.transform(flattened), filterOf(report)), {}),
    order: orderOf(report),
    encoding: v.optional(v.pipe(v.string(), v.regex(/^[\w.-]{1,40}$/, 'no name of one')), 'utf-8'),
  });

export type ExportBody = v.InferOutput<ReturnType<typeof exportBody>>;
