/** Operations on templates: `/template/session` for single sessions, `/template/cluster` for clusters. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { resolveOwner } from '../auth/delegation.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased, lenientBoolean, uuidText } from '../http/parameters.ts';
import type { AuthenticatedRequest, Route } from '../http/route.ts';
import { MAX_PAYLOAD_CHARS, readClusterTemplate, readTaskItems } from './schema.ts';
import * as service from './service.ts';

const text = v.nullish(v.pipe(v.string(), v.maxLength(64)), null);
const ownerKey = v.nullish(v.pipe(v.string(), v.maxLength(64)), null);

const placed = <E extends v.ObjectEntries>(entries: E) =>
  aliased(
    { group: ['groupName', 'group_name'], domain: ['domainName', 'domain_name'] },
    v.object({ group: text, domain: text, owner_access_key: ownerKey, ...entries }),
  );
const templateBody = placed({
  payload: v.pipe(v.string(), v.maxLength(MAX_PAYLOAD_CHARS)),
});

const listQuery = aliased(
  { group_id: ['groupId'] },
  v.object({
    all: v.optional(lenientBoolean, false),
    group_id: v.nullish(uuidText, null),
  }),
);

const params = v.object({ template_id: v.string() });
const ownerQuery = v.object({ owner_access_key: ownerKey });
const getQuery = v.object({
  format: v.optional(v.picklist(['yaml', 'json'], 'format should be "yaml" or "json"')),
  owner_access_key: ownerKey,
});

const byOf = (ctx: ManagerContext, request: AuthenticatedRequest) => {
  const { caller, requestId, clientAddress } = request;
  return { ctx, caller, requestId, clientAddress };
};

/** Whoever acts for another key sees what that key's owner sees. */
const acting = (ctx: ManagerContext, request: AuthenticatedRequest, key: string | null) =>
  resolveOwner(ctx.sql, request.caller, key);

const placeOf = (body: v.InferOutput<typeof templateBody>): service.Place => ({
  group: body.group,
  domain: body.domain,
  ownerAccessKey: body.owner_access_key,
});

/** Upstream's identifiers of templates have no dashes. */
const hex = (id: string) => id.replaceAll('-', '');

const listItem = (row: service.TemplateRow, userId: string) => ({
  name: row.name ?? '',
  id: hex(row.id),
  created_at: row.created_at?.toISOString() ?? null,
  is_owner: row.user_uuid === userId,
  user: row.user_uuid,
  group: row.group_id,
  user_email: row.user_email,
  group_name: row.group_name,
});

const operation = <M extends Route['method']>(method: M, path: string, summary: string) =>
  ({ method, path, summary, gate: 'read', auth: 'user' }) as const;

const taskRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...operation('GET', '/template/session', 'List templates of sessions.'),
      takes: { fields: listQuery },
    },
    async ({ caller }, { fields }) => {
      const filter = { all: fields.all, groupId: fields.group_id };
      const rows = await service.listTemplates(ctx, caller, 'TASK', filter);
      return {
        json: rows.map((row) => ({
          ...listItem(row, caller.userId),
          domain_name: row.domain_name,
          type: 'task',
          template: row.template,
        })),
      };
    },
  ),
  route(
    {
      ...operation('POST', '/template/session', 'Store templates of sessions.'),
      takes: { body: templateBody },
    },
    async (request, { body }) => {
      const items = readTaskItems(body.payload);
      const created = await service.createTaskTemplates(byOf(ctx, request), placeOf(body), items);
      return { json: created.map(({ id, userId }) => ({ id: hex(id), user: userId })) };
    },
  ),
  route(
    {
      ...operation('GET', '/template/session/:template_id', 'Read a template of sessions.'),
      takes: { params, query: getQuery },
    },
    async (request, { params: { template_id: id }, query }) => {
      const caller = await acting(ctx, request, query.owner_access_key);
      const row = await service.getTemplate(ctx, caller, 'TASK', id);
      return {
        json: {
          template: row.template,
          name: row.name ?? '',
          user_uuid: row.user_uuid,
          group_id: row.group_id ?? '',
          domain_name: row.domain_name,
        },
      };
    },
  ),
  route(
    {
      ...operation('PUT', '/template/session/:template_id', 'Replace a template of sessions.'),
      takes: { params, body: templateBody },
    },
    async (request, { params: { template_id: id }, body }) => {
      const [item, ...more] = readTaskItems(body.payload);
      if (item === undefined || more.length > 0) {
        throw new BackendError(
          'InvalidAPIParameters',
          'payload: one template is expected, to replace the one that the path names.',
        );
      }
      await service.replaceTaskTemplate(byOf(ctx, request), id, placeOf(body), item);
      return { json: { success: true } };
    },
  ),
];

const clusterRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...operation('GET', '/template/cluster', 'List templates of clusters.'),
      takes: { fields: listQuery },
    },
    async ({ caller }, { fields }) => {
      const filter = { all: fields.all, groupId: fields.group_id };
      const rows = await service.listTemplates(ctx, caller, 'CLUSTER', filter);
      return {
        json: rows.map((row) => ({
          ...listItem(row, caller.userId),
          type: row.user_uuid === caller.userId ? 'user' : 'group',
        })),
      };
    },
  ),
  route(
    {
      ...operation('POST', '/template/cluster', 'Store a template of clusters.'),
      takes: { body: templateBody },
    },
    async (request, { body }) => {
      const template = readClusterTemplate(body.payload);
      const by = byOf(ctx, request);
      const { id, userId } = await service.createClusterTemplate(by, placeOf(body), template);
      return { json: { id: hex(id), user: hex(userId) } };
    },
  ),
  route(
    {
      ...operation('GET', '/template/cluster/:template_id', 'Read a template of clusters.'),
      takes: { params, query: getQuery },
    },
    async (request, { params: { template_id: id }, query }) => {
      const caller = await acting(ctx, request, query.owner_access_key);
      return { json: (await service.getTemplate(ctx, caller, 'CLUSTER', id)).template };
    },
  ),
  route(
    {
      ...operation('PUT', '/template/cluster/:template_id', 'Replace a template of clusters.'),
      takes: { params, body: templateBody },
    },
    async (request, { params: { template_id: id }, body }) => {
      const caller = await acting(ctx, request, body.owner_access_key);
      const template = readClusterTemplate(body.payload);
      await service.replaceClusterTemplate({ ...byOf(ctx, request), caller }, id, template);
      return { json: { success: true } };
    },
  ),
];

const removal = (ctx: ManagerContext, path: string, kind: service.TemplateKind): Route =>
  route(
    { ...operation('DELETE', path, 'Delete a template.'), takes: { params, query: ownerQuery } },
    async (request, { params: { template_id: id }, query }) => {
      const caller = await acting(ctx, request, query.owner_access_key);
      await service.deleteTemplate({ ...byOf(ctx, request), caller }, kind, id);
      return { json: { success: true } };
    },
  );

export const templateRoutes = (ctx: ManagerContext): Route[] => [
  ...taskRoutes(ctx),
  ...clusterRoutes(ctx),
  removal(ctx, '/template/session/:template_id', 'TASK'),
  removal(ctx, '/template/cluster/:template_id', 'CLUSTER'),
];
