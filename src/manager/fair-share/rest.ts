/** HTTP operations on fair shares: who is due what, the weights, and the rules of resource groups. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { uuidText } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
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
import { listAllResourceGroups, loadResourceGroup } from '../resource-group/service.ts';
import { livingSlots } from '../resource-group/statistics.ts';
import type { Level } from './levels.ts';
import { setSpec, setWeights } from './manage.ts';
import { groupItem, shareItem } from './rest-shapes.ts';
import { getShare, listKeptShares, listShares, type ShareRow, type ShareScope } from './service.ts';

const base = '/fair-share';
const name = v.pipe(v.string(), v.maxLength(1024));
const decimal = v.pipe(v.union([name, v.number()]), v.transform(String));
const weight = v.nullish(decimal, null);
const reads = { gate: 'any', auth: 'superadmin' } as const;
const changes = { gate: 'all', auth: 'superadmin' } as const;

const groupPath = { resource_group: name };
/** How the owners of a level are named in paths. */
const ownerPaths = {
  domain: { ...groupPath, domain_name: name },
  project: { ...groupPath, project_id: uuidText },
  user: { ...groupPath, project_id: uuidText, user_uuid: uuidText },
} as const;
const ownerParams = {
  domain: v.object(ownerPaths.domain),
  project: v.object(ownerPaths.project),
  user: v.object(ownerPaths.user),
} as const;
const ORDERS = {
  domain: ['fair_share_factor', 'domain_name', 'created_at'],
  project: ['fair_share_factor', 'created_at'],
  user: ['fair_share_factor', 'created_at'],
} as const;

const filter = v.nullish(
  v.object({
    resource_group: textFilter,
    domain_name: textFilter,
    project_id: idFilter,
    user_uuid: idFilter,
  }),
);
type Filter = v.InferOutput<typeof filter>;

/** Of the filter what owners of the level can be asked for; the rest says nothing about them. */
const ownerFilter = (level: Level, given: Filter) => ({
  resourceGroup: toFilter(given?.resource_group),
  domainName: toFilter(given?.domain_name),
  ...(level !== 'domain' && { projectId: toIdFilter(given?.project_id) }),
  ...(level === 'user' && { userUuid: toIdFilter(given?.user_uuid) }),
});

const searchBody = (level: Level) =>
  v.object({ filter, order: ordered(ORDERS[level], 'desc'), ...page });
type SearchBody = v.InferOutput<ReturnType<typeof searchBody>>;
const toQuery = (level: Level, body: SearchBody) => ({
  filter: ownerFilter(level, body.filter),
  orderBy: toOrder(body.order),
});

/** The shares as clients are told of them; two queries, however many there are. */
async function toItems(ctx: ManagerContext, level: Level, rows: readonly ShareRow[]) {
  const groups = new Map((await listAllResourceGroups(ctx.sql)).map((each) => [each.name, each]));
  const slots = await livingSlots(ctx.sql, [...new Set(rows.map((row) => row.resource_group))]);
  return rows.map((row) => {
    const group = groups.get(row.resource_group);
    if (!group) throw new Error(`a share of the unknown resource group '${row.resource_group}'`);
    return shareItem(level, row, group, slots.get(group.name) ?? [], ctx.clock.now());
  });
}

async function oneItem(
  ctx: ManagerContext,
  { caller }: AuthenticatedRequest,
  level: Level,
  scope: ShareScope,
  ownerKey: string,
) {
  // Otherwise a share in a group that does not exist would be shown.
  await requireGroup(ctx, scope.group);
  const [item] = await toItems(ctx, level, [
    await getShare(ctx.sql, caller, level, scope, ownerKey),
  ]);
  return { json: { item } };
}

async function requireGroup(ctx: ManagerContext, group: string) {
  const found = await loadResourceGroup(ctx.sql, group);
  if (found) return found;
  throw new BackendError('ScalingGroupNotFound', `There is no resource group '${group}'.`);
}

interface OwnerPath {
  readonly resource_group: string;
  readonly domain_name?: string;
  readonly project_id?: string;
  readonly user_uuid?: string;
}
const scopeOf = ({ resource_group: group, domain_name, project_id }: OwnerPath): ShareScope => ({
  group,
  domainName: domain_name,
  projectId: project_id,
});
const keyOf = (path: OwnerPath): string =>
  path.user_uuid ?? path.project_id ?? path.domain_name ?? '';

/** The operations on the shares of one level. */
function levelRoutes(ctx: ManagerContext, level: Level): Route[] {
  const owners = `${base}/${level}s`;
  const one = { domain: ':domain_name', project: ':project_id', user: ':project_id/:user_uuid' };
  const path = `${owners}/:resource_group/${one[level]}`;
  const params = ownerParams[level];
  const body = searchBody(level);
  return [
    route(
      {
        ...reads,
        method: 'GET',
        path,
        summary: `Tell the fair share of a ${level}.`,
        takes: { params },
      },
      (request, input) => oneItem(ctx, request, level, scopeOf(input.params), keyOf(input.params)),
    ),
    route(
      {
        ...reads,
        method: 'POST',
        path: `${owners}/search`,
        summary: `List the fair shares of ${level}s that are kept.`,
        takes: { body },
      },
      async ({ caller }, input) => {
        const query = toQuery(level, input.body);
        const wish = toWish(input.body);
        const { rows, total } = await listKeptShares(ctx.sql, caller, level, query, wish);
        const items = await toItems(ctx, level, rows);
        return { json: { items, pagination: toPagination(total, input.body) } };
      },
    ),
    route(
      {
        ...changes,
        method: 'PUT',
        path: `${path}/weight`,
        summary: `Set the weight of a ${level}; null makes the resource group's default count.`,
        takes: {
          params,
          body: v.object({ domain_name: level === 'domain' ? v.nullish(name) : name, weight }),
        },
      },
      async (request, input) => {
        const { resource_group, ...named }: OwnerPath = input.params;
        const owner = {
          domainName: named.domain_name ?? input.body.domain_name ?? '',
          projectId: named.project_id ?? null,
          userId: named.user_uuid ?? null,
        };
        const wishes = [{ owner, weight: input.body.weight }];
        await setWeights({ ...request, ctx }, level, resource_group, wishes);
        return oneItem(ctx, request, level, scopeOf(input.params), keyOf(input.params));
      },
    ),
    route(
      {
        ...changes,
        method: 'POST',
        path: `${owners}/bulk-upsert-weight`,
        summary: `Set the weights of several ${level}s.`,
        takes: {
          body: v.object({
            resource_group: name,
            inputs: v.array(
              v.object({
                domain_name: name,
                project_id: level === 'domain' ? v.nullish(uuidText) : uuidText,
                user_uuid: level === 'user' ? uuidText : v.nullish(uuidText),
                weight,
              }),
            ),
          }),
        },
      },
      async (request, { body: { resource_group: group, inputs } }) => {
        const wishes = inputs.map((input) => ({
          owner: {
            domainName: input.domain_name,
            projectId: input.project_id ?? null,
            userId: input.user_uuid ?? null,
          },
          weight: input.weight,
        }));
        await setWeights({ ...request, ctx }, level, group, wishes);
        return { json: { upserted_count: inputs.length } };
      },
    ),
  ];
}

/** The same of one resource group, where owners have a share before they have used anything. */
function withinGroupRoutes(ctx: ManagerContext, level: Level): Route[] {
  const domains = `${base}/rg/:resource_group/domains`;
  const projects = `${domains}/:domain_name/projects`;
  const owners = { domain: domains, project: projects, user: `${projects}/:project_id/users` };
  const key = { domain: 'domain_name', project: 'project_id', user: 'user_uuid' };
  const { domain, project, user } = ownerPaths;
  const listParams = {
    domain: v.object(groupPath),
    project: v.object(domain),
    user: v.object({ ...domain, ...project }),
  };
  const oneParams = {
    domain: v.object(domain),
    project: v.object({ ...domain, ...project }),
    user: v.object({ ...domain, ...user }),
  };
  return [
    route(
      {
        ...reads,
        method: 'GET',
        path: `${owners[level]}/:${key[level]}`,
        summary: `Tell the fair share of a ${level} in a resource group.`,
        takes: { params: oneParams[level] },
      },
      (request, input) => oneItem(ctx, request, level, scopeOf(input.params), keyOf(input.params)),
    ),
    route(
      {
        ...reads,
        method: 'POST',
        path: `${owners[level]}/search`,
        summary: `List the fair shares in a resource group of the ${level}s that may use it.`,
        takes: { params: listParams[level], body: searchBody(level) },
      },
      async ({ caller }, input) => {
        const scope = scopeOf(input.params);
        await requireGroup(ctx, scope.group);
        const query = toQuery(level, input.body);
        const wish = toWish(input.body);
        const { rows, total } = await listShares(ctx.sql, caller, level, scope, query, wish);
        const items = await toItems(ctx, level, rows);
        return { json: { items, pagination: toPagination(total, input.body) } };
      },
    ),
  ];
}

const specBody = v.object({
  half_life_days: v.nullish(v.pipe(v.number(), v.integer())),
  lookback_days: v.nullish(v.pipe(v.number(), v.integer())),
  decay_unit_days: v.nullish(v.pipe(v.number(), v.integer())),
  default_weight: v.nullish(decimal),
  resource_weights: v.nullish(v.array(v.object({ resource_type: name, weight }))),
});

function specRoutes(ctx: ManagerContext): Route[] {
  const groups = `${base}/resource-groups`;
  const params = v.object(groupPath);
  const told = async (group: string) => {
    const slots = await livingSlots(ctx.sql, [group]);
    return groupItem(await requireGroup(ctx, group), slots.get(group) ?? []);
  };
  return [
    route(
      {
        ...reads,
        method: 'GET',
        path: `${groups}/specs`,
        summary: 'List how the usage of each resource group turns into shares.',
        takes: {},
      },
      async () => {
        const all = await listAllResourceGroups(ctx.sql);
        const slots = await livingSlots(
          ctx.sql,
          all.map((group) => group.name),
        );
        const items = all.map((group) => groupItem(group, slots.get(group.name) ?? []));
        return { json: { items, total_count: items.length } };
      },
    ),
    route(
      {
        ...reads,
        method: 'GET',
        path: `${groups}/:resource_group/spec`,
        summary: 'Tell how the usage of a resource group turns into shares.',
        takes: { params },
      },
      async (_request, input) => ({ json: await told(input.params.resource_group) }),
    ),
    route(
      {
        ...changes,
        method: 'PATCH',
        path: `${groups}/:resource_group/spec`,
        summary: 'Change how the usage of a resource group turns into shares.',
        takes: { params, body: specBody },
      },
      async (request, { params: { resource_group: group }, body }) => {
        await setSpec({ ...request, ctx }, group, {
          halfLifeDays: body.half_life_days ?? undefined,
          lookbackDays: body.lookback_days ?? undefined,
          decayUnitDays: body.decay_unit_days ?? undefined,
          defaultWeight: body.default_weight ?? undefined,
          resourceWeights: body.resource_weights?.map((entry) => ({
            resourceType: entry.resource_type,
            weight: entry.weight,
          })),
          keepsOtherWeights: true,
        });
        return { json: await told(group) };
      },
    ),
  ];
}

export const fairShareRoutes = (ctx: ManagerContext): Route[] => [
  ...specRoutes(ctx),
  ...(['domain', 'project', 'user'] as const).flatMap((level) => [
    ...levelRoutes(ctx, level),
    ...withinGroupRoutes(ctx, level),
  ]),
];
