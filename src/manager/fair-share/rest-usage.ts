/** HTTP operations on what domains, projects and users have used per day. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import type { V2Filter } from '../graphql/v2-filter-store.ts';
import { route } from '../http/declare.ts';
import { uuidText } from '../http/parameters.ts';
import type { Caller, Route } from '../http/route.ts';
import {
  idFilter,
  ordered,
  searchPage as page,
  textFilter,
  toFilter,
  toIdFilter,
  toOrder,
  toPagination,
  toWish,
} from '../http/search.ts';
import type { Level } from './levels.ts';
import { bucketItem } from './rest-shapes.ts';
import { listAllBuckets } from './service.ts';

const day = v.nullish(v.pipe(v.string(), v.isoDate()));
const body = v.object({
  filter: v.nullish(
    v.object({
      resource_group: textFilter,
      domain_name: textFilter,
      project_id: idFilter,
      user_uuid: idFilter,
      // Both days are included.
      period_start: v.nullish(v.object({ after: day, before: day })),
    }),
  ),
  order: ordered(['period_start'], 'desc'),
  ...page,
});
type Body = v.InferOutput<typeof body>;

function toBucketFilter(level: Level, given: Body['filter']): V2Filter {
  const { after, before } = given?.period_start ?? {};
  return {
    resourceGroup: toFilter(given?.resource_group),
    domainName: toFilter(given?.domain_name),
    ...(level !== 'domain' && { projectId: toIdFilter(given?.project_id) }),
    ...(level === 'user' && { userUuid: toIdFilter(given?.user_uuid) }),
    periodStart: {
      ...(after != null && { greaterThanOrEqual: after }),
      ...(before != null && { lessThanOrEqual: before }),
    },
  };
}

/** @param within holds of everything listed, whatever is asked for. */
async function search(
  ctx: ManagerContext,
  caller: Caller,
  level: Level,
  given: Body,
  within: readonly V2Filter[] = [],
) {
  const query = {
    filter: { AND: [toBucketFilter(level, given.filter), ...within] },
    orderBy: toOrder(given.order),
  };
  const { rows, total } = await listAllBuckets(ctx.sql, caller, level, query, toWish(given));
  const items = rows.map((row) => bucketItem(level, row));
  return { json: { items, pagination: toPagination(total, given) } };
}

const name = v.pipe(v.string(), v.maxLength(1024));
const group = { resource_group: name };
const domain = { ...group, domain_name: name };
const WITHIN = {
  domain: {
    path: '/fair-share/rg/:resource_group/usage-buckets/domains/search',
    params: v.object(group),
  },
  project: {
    path: '/fair-share/rg/:resource_group/domains/:domain_name/usage-buckets/projects/search',
    params: v.object(domain),
  },
  user: {
    path: '/fair-share/rg/:resource_group/domains/:domain_name/projects/:project_id/usage-buckets/users/search',
    params: v.object({ ...domain, project_id: uuidText }),
  },
} as const;

const reads = { method: 'POST', gate: 'any', auth: 'superadmin' } as const;

export const usageBucketRoutes = (ctx: ManagerContext): Route[] =>
  (['domain', 'project', 'user'] as const).flatMap((level) => [
    route(
      {
        ...reads,
        path: `/fair-share/usage-buckets/${level}s/search`,
        summary: `List what ${level}s have used per day.`,
        takes: { body },
      },
      ({ caller }, input) => search(ctx, caller, level, input.body),
    ),
    route(
      {
        ...reads,
        path: WITHIN[level].path,
        summary: `List what ${level}s have used of a resource group per day.`,
        takes: { params: WITHIN[level].params, body },
      },
      ({ caller }, input) => {
        const place: { resource_group: string; domain_name?: string; project_id?: string } =
          input.params;
        return search(ctx, caller, level, input.body, [
          { resourceGroup: { equals: place.resource_group } },
          ...(place.domain_name === undefined
            ? []
            : [{ domainName: { equals: place.domain_name } }]),
          ...(place.project_id === undefined ? [] : [{ projectId: { equals: place.project_id } }]),
        ]);
      },
    ),
  ]);
