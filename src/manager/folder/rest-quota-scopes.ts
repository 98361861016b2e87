/** Operations on quota scopes, for superadmins. */
import * as v from 'valibot';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import type { Route } from '../http/route.ts';
import {
  ordered,
  searchPage,
  textFilter,
  toFilter,
  toOrder,
  toPagination,
} from '../http/search.ts';
import {
  getQuotaScope,
  type QuotaScope,
  searchQuotaScopes,
  setScopeQuota,
  unsetScopeQuota,
} from './quota.ts';
import { byOf, MAX_TEXT } from './rest-shape.ts';

const text = storableText(MAX_TEXT);
const named = { storage_host_name: text, quota_scope_id: text };
const searchBody = v.object({
  filter: v.nullish(v.object({ quota_scope_id: textFilter, storage_host_name: textFilter })),
  order: ordered(['quota_scope_id', 'storage_host_name']),
  ...searchPage,
});
const limit = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

const toItem = ({ id, host, usageBytes, limitBytes }: QuotaScope) => ({
  quota_scope_id: id,
  storage_host_name: host,
  usage_bytes: usageBytes,
  usage_count: null,
  hard_limit_bytes: limitBytes,
});

const base = '/admin/quota-scopes';
const reads = { gate: 'any', auth: 'superadmin' } as const;
const changes = { gate: 'all', auth: 'superadmin' } as const;

export const quotaScopeRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...{ ...reads, method: 'GET', path: `${base}/:storage_host_name/:quota_scope_id` },
      summary: 'Tell what a quota scope holds and may hold.',
      takes: { params: v.object(named) },
    },
    async ({ caller }, { params: { storage_host_name: host, quota_scope_id: id } }) => ({
      json: { quota_scope: toItem(await getQuotaScope(ctx, caller, host, id)) },
    }),
  ),
  route(
    {
      ...{ ...reads, method: 'POST', path: `${base}/search`, takes: { body: searchBody } },
      summary: 'List the quota scopes that folders are in.',
    },
    async ({ caller }, { body }) => {
      const { quota_scope_id: id, storage_host_name: host } = body.filter ?? {};
      const query = {
        filter: { quotaScopeId: toFilter(id), storageHostName: toFilter(host) },
        orderBy: toOrder(body.order),
      };
      const { scopes, total } = await searchQuotaScopes(ctx, caller, query, body);
      return {
        json: { quota_scopes: scopes.map(toItem), pagination: toPagination(total, body) },
      };
    },
  ),
  route(
    {
      ...{ ...changes, method: 'POST', path: `${base}/set` },
      summary: 'Limit what a quota scope may hold.',
      takes: { body: v.object({ ...named, hard_limit_bytes: limit }) },
    },
    async (request, { body }) => {
      const { storage_host_name: host, quota_scope_id: id, hard_limit_bytes: bytes } = body;
      await setScopeQuota(byOf(ctx, request), host, id, bytes);
      return { json: { quota_scope: toItem(await getQuotaScope(ctx, request.caller, host, id)) } };
    },
  ),
  route(
    {
      ...{ ...changes, method: 'POST', path: `${base}/unset` },
      summary: 'Take the limit of a quota scope away.',
      takes: { body: v.object(named) },
    },
    async (request, { body: { storage_host_name: host, quota_scope_id: id } }) => {
      await unsetScopeQuota(byOf(ctx, request), host, id);
      return { json: { quota_scope: toItem(await getQuotaScope(ctx, request.caller, host, id)) } };
    },
  ),
];
