/** `/resource-slot-types`: the kinds of resources that a cluster knows, for everybody who is signed in. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import { ordered, searchPage, searchRoute, textFilter, toFilter } from '../http/search.ts';
import { findSlotType, listSlotTypes } from './service.ts';

const body = v.object({
  filter: v.nullish(
    v.object({ slot_name: textFilter, slot_type: textFilter, display_name: textFilter }),
  ),
  order: ordered(['slot_name', 'rank', 'display_name']),
  ...searchPage,
});
const params = v.object({ slot_name: v.pipe(v.string(), v.maxLength(1024)) });

export const resourceSlotRoutes = ({ sql }: ManagerContext): Route[] => [
  searchRoute(
    {
      path: '/resource-slot-types/search',
      auth: 'user',
      summary: 'List the kinds of resources, by rank unless ordered.',
      body,
    },
    async ({ filter }, orderBy, wish) => {
      const wanted = {
        slotName: toFilter(filter?.slot_name),
        slotType: toFilter(filter?.slot_type),
        displayName: toFilter(filter?.display_name),
      };
      const { rows, total } = await listSlotTypes(sql, { filter: wanted, orderBy }, wish);
      return { items: rows, total };
    },
  ),
  route(
    {
      method: 'GET',
      path: '/resource-slot-types/:slot_name',
      gate: 'any',
      auth: 'user',
      summary: 'Tell about a kind of resource.',
      takes: { params },
    },
    async (_request, { params: { slot_name: name } }) => {
      const item = await findSlotType(sql, name);
      if (item !== null) return { json: { item } };
      throw new BackendError('ObjectNotFound', `There is no kind of resource '${name}'.`);
    },
  ),
];
