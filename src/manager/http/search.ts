/** What the bodies of searches have in common: comparisons of text, orders and pages. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { PageWish } from '../graphql/page.ts';
import type { V2Filter, V2Order } from '../graphql/v2-filter-store.ts';
import { route } from './declare.ts';
import { aliased, uuidText } from './parameters.ts';
import type { Route } from './route.ts';

const text = v.pipe(v.string(), v.maxLength(1024));
const list = v.pipe(v.array(text), v.maxLength(1000));

/** Comparisons of text; their names here have underscores. */
export const textFilter = v.nullish(v.record(v.string(), v.nullish(v.union([text, list]))));

/** Comparisons of ids. Python's clients write `in_`, which is not a keyword there. */
export const idFilter = v.nullish(
  aliased(
    { in: ['in_'] },
    v.object({
      equals: v.nullish(uuidText),
      in: v.nullish(v.array(uuidText)),
      not_equals: v.nullish(uuidText),
      not_in: v.nullish(v.array(uuidText)),
    }),
  ),
);

type Direction = 'asc' | 'desc';
/** @param fallback where a client names a field only. */
export const ordered = <const Field extends string>(
  fields: readonly Field[],
  fallback: Direction = 'asc',
) => {
  const direction = v.optional(v.picklist(['asc', 'desc']), fallback);
  return v.nullish(v.array(v.object({ field: v.picklist(fields), direction })));
};
export const searchPage = {
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000)), 50),
  offset: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 0),
};

const COMPARISON = /^(i_)?(not_)?(equals|contains|starts_with|ends_with)$/;
const LISTED = /^(i_)?(not_)?in$/;

const camelCased = (name: string): string =>
  name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** @throws BackendError InvalidAPIParameters for a comparison that there is none of. */
export function toFilter(filter: v.InferOutput<typeof textFilter>): V2Filter {
  return Object.fromEntries(
    Object.entries(filter ?? {}).map(([written, value]) => {
      const name = written.replace(/_$/, '');
      const form = Array.isArray(value) ? LISTED : COMPARISON;
      if (!form.test(name)) {
        throw new BackendError('InvalidAPIParameters', `'${name}' is no comparison of text.`);
      }
      return [camelCased(name), value];
    }),
  );
}

export const toIdFilter = (filter: v.InferOutput<typeof idFilter>): V2Filter =>
  Object.fromEntries(
    Object.entries(filter ?? {})
      .filter(([, value]) => value != null)
      .map(([name, value]) => [camelCased(name), value]),
  );

export const toOrder = (
  order: readonly { readonly field: string; readonly direction: Direction }[] | null | undefined,
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

interface Searched {
  readonly limit: number;
  readonly offset: number;
  readonly order?: Parameters<typeof toOrder>[0];
}

/**
 * `POST …/search`: a page of a list, with how many there are in all.
 * @param find gives the page's items for a body, with its order and page as lists take them.
 */
export const searchRoute = <B extends Searched>(
  {
    body,
    ...declared
  }: {
    path: string;
    auth: 'user' | 'superadmin';
    summary: string;
    body: v.GenericSchema<unknown, B>;
  },
  find: (
    body: B,
    orderBy: V2Order[],
    wish: PageWish,
  ) => Promise<{ readonly items: readonly unknown[]; readonly total: number | null }>,
): Route =>
  route(
    { ...declared, method: 'POST', gate: 'any', takes: { body } },
    async (_request, { body: wanted }) => {
      const { items, total } = await find(wanted, toOrder(wanted.order), toWish(wanted));
      return { json: { items, pagination: toPagination(total, wanted) } };
    },
  );
