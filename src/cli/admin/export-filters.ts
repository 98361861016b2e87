/** The filters of exports: what each option asks for, in the API's terms. */
import { flag, type OptionSpec, option, UsageError } from '../../common/command.ts';

export interface ExportFilter {
  readonly spec: OptionSpec<string | boolean | undefined>;
  /** What is compared. */
  readonly field: string;
  /** Of the option's value, when it is given. Conditions on one field are merged. */
  readonly condition: (value: string | boolean) => unknown;
}

const nameOf = (text: string): string => text.replace(/^--filter-/, '').replaceAll('-', ' ');

/** Text that contains the given one. */
export const contains = (text: string, field: string): ExportFilter => ({
  spec: option([text], 'TEXT', `Only rows whose ${nameOf(text)} contains this.`),
  field,
  condition: (value) => ({ contains: value }),
});

/** Text that is the given one. */
export const equals = (text: string, field: string): ExportFilter => ({
  spec: option([text], 'TEXT', `Only rows whose ${nameOf(text)} is this.`),
  field,
  condition: (value) => ({ equals: value }),
});

/** One of a fixed set of words. */
export const word = (text: string, field: string): ExportFilter => ({
  spec: option([text], 'WORD', `Only rows whose ${nameOf(text)} is this.`),
  field,
  condition: (value) => [value],
});

export const isTrue = (text: string, field: string): ExportFilter => ({
  spec: flag([text], `Only rows that are ${nameOf(text)}.`),
  field,
  condition: () => true,
});

export const isFalse = (text: string, field: string): ExportFilter => ({
  spec: flag([text], `Only rows that are ${nameOf(text)}.`),
  field,
  condition: () => false,
});

/** `2026-01-31` or `2026-01-31T12:00:00`, in UTC unless it says otherwise, as the API takes it. */
export function readTime(text: string): string {
  const form = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?$/;
  const isZoned = /(?:Z|[+-]\d\d:?\d\d)$/.test(text) && text.length > 10;
  const iso = text.length === 10 ? `${text}T00:00:00` : text.replace(' ', 'T');
  const time = new Date(isZoned ? iso : `${iso}Z`);
  if (!form.test(text) || Number.isNaN(time.getTime())) {
    throw new UsageError(`'${text}' is not a time such as 2026-01-31 or 2026-01-31T12:00:00.`);
  }
  return time.toISOString();
}

/** The two options of a span of time. */
export function period(after: string, before: string, field: string): Record<string, ExportFilter> {
  const side = (text: string, name: 'after' | 'before'): ExportFilter => ({
    spec: option([text], 'TIME', `Only rows whose ${field} is ${name} this (UTC).`, readTime),
    field,
    condition: (value) => ({ [name]: value }),
  });
  return { [after]: side(after, 'after'), [before]: side(before, 'before') };
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The filter that some options make together; undefined when none is given.
 * @param values by the keys of `filters`; a flag that is not given is false.
 */
export function filterOf(
  filters: Readonly<Record<string, ExportFilter>>,
  values: Readonly<Record<string, unknown>>,
): Record<string, unknown> | undefined {
  const filter: Record<string, unknown> = {};
  for (const [key, { field, condition }] of Object.entries(filters)) {
    const value = values[key];
    if (typeof value !== 'string' && value !== true) continue;
    const made = condition(value);
    const known = filter[field];
    filter[field] = isObject(known) && isObject(made) ? { ...known, ...made } : made;
  }
  return Object.keys(filter).length === 0 ? undefined : filter;
}
