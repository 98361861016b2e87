/** What the bodies of searches have in common: comparisons of text, orders and pages. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { PageWish } from '../graphql/page.ts';
import type { V2Filter, V2Order } from '../graphql/v2-filter-store.ts';

const text = v.pipe(v.string(), v.maxLength(1024));
const direction = v.optional(v.picklist(['asc', 'desc']), 'asc');

/** Comparisons of text; their names here have underscores. */
export const textFilter = v.nullish(v.record(v.string(), v.nullish(text)));
export const ordered = <const Field extends string>(fields: readonly Field[]) =>
  v.nullish(v.array(v.object({ field: v.picklist(fields), direction })));
export const searchPage = {
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000)), 50),
  offset: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 0),
};

const COMPARISON = /^(i_)?(not_)?(equals|contains|starts_with|ends_with)$/;

/** @throws BackendError InvalidAPIParameters for a comparison that there is none of. */
export function toFilter(filter: v.InferOutput<typeof textFilter>): V2Filter {
  return Object.fromEntries(
    Object.entries(filter ?? {}).map(([name, value]) => {
      if (!COMPARISON.test(name)) {
        throw new BackendError('InvalidAPIParameters', `'${name}' is no comparison of text.`);
      }
      return [name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase()), value];
    }),
  );
}

export const toOrder = (
  order:
    | readonly { readonly field: string; readonly direction: 'asc' | 'desc' }[]
    | null
    | undefined,
): V2Order[] =>
  (order ?? []).map((term) => ({
    field: term.field.toUpperCase(),
    direction: term.direction === 'asc' ? 'ASC' : 'DESC',
  }));

export const toWish = ({ limit, offset }: { limit: number; offset: number }): PageWish => ({
  page: { mode: 'offset', limit, offset },
  count: true,
  rows: true,
});

export const toPagination = (
  total: number | null,
  { limit, offset }: { limit: number; offset: number },
) => ({
  total: total ?? 0,
  offset,
  limit,
});
