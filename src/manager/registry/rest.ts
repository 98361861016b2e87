/** `/container-registries` and `/group/registry-quota`, for superadmins; and Harbor's webhook. */
import { timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';
import { BackendError, errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { publicRoute, route } from '../http/declare.ts';
import { aliased, uuidText } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { clearImages } from '../image/manage.ts';
import { rescan } from '../image/rescan.ts';
import * as manage from './manage.ts';
import { RegistryFailure } from './oci-client.ts';
import { changeQuota, type QuotaChange, readQuota } from './quota.ts';
import {
  findRegistry,
  listRegistryConfigurations,
  PASSWORD_PLACEHOLDER,
  type RegistryConfiguration,
  webhookTarget,
} from './service.ts';

const text = (maxLength: number) =>
  v.pipe(
    v.string(),
    v.maxLength(maxLength),
    v.check((value) => !value.includes('\0'), 'text cannot hold a NUL character'),
  );
const type = v.picklist(manage.REGISTRY_TYPES);
const projects = v.nullish(
  v.object({
    add: v.optional(v.array(uuidText), []),
    remove: v.optional(v.array(uuidText), []),
  }),
);
/** Null leaves a field as it is. */
const common = {
  project: v.nullish(text(255)),
  username: v.nullish(text(255)),
  password: v.nullish(text(1024)),
  ssl_verify: v.nullish(v.boolean()),
  is_global: v.nullish(v.boolean()),
  extra: v.nullish(v.record(v.string(), v.unknown())),
  allowed_groups: projects,
};
const createBody = v.object({ url: text(512), registry_name: text(255), type, ...common });
const patchBody = v.object({
  url: v.nullish(text(512)),
  registry_name: v.nullish(text(255)),
  type: v.nullish(type),
  ...common,
});
const idParams = v.object({ registry_id: uuidText });
const named = v.object({ registry: text(255), project: v.nullish(text(255), null) });

const MAX_RESOURCES = 20;
const webhookBody = v.object({
  type: text(64),
  event_data: v.object({
    resources: v.pipe(
      v.array(v.object({ resource_url: text(1024), tag: text(128) })),
      v.maxLength(MAX_RESOURCES),
    ),
    repository: v.object({ namespace: text(255), name: text(255) }),
  }),
});

const group = { group_id: ['group'] };
const groupOnly = aliased(group, v.object({ group_id: uuidText }));
const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const groupAndQuota = aliased(group, v.object({ group_id: uuidText, quota: bytes }));

const toReply = (row: RegistryConfiguration) => ({
  id: row.id,
  url: row.url,
  registry_name: row.registry_name,
  type: row.type,
  project: row.project,
  username: row.username,
  password: row.has_password ? PASSWORD_PLACEHOLDER : null,
  ssl_verify: row.ssl_verify,
  is_global: row.is_global,
  extra: row.extra,
});

/** What was sent, less what is null. */
function wishesOf({ allowed_groups: allowed, ...fields }: v.InferOutput<typeof patchBody>) {
  const { url, registry_name, type: kind, project, username, password } = fields;
  const { ssl_verify, is_global, extra } = fields;
  return {
    ...(url != null && { url }),
    ...(registry_name != null && { registry_name }),
    ...(kind != null && { type: kind }),
    ...(project != null && { project }),
    ...(username != null && { username }),
    // What a client read and sends back is no password.
    ...(password != null && password !== PASSWORD_PLACEHOLDER && { password }),
    ...(ssl_verify != null && { ssl_verify }),
    ...(is_global != null && { is_global }),
    ...(extra != null && { extra }),
    ...(allowed && { addProjects: allowed.add, removeProjects: allowed.remove }),
  };
}

/** Reads images into the catalogue. @throws BackendError ServiceUnavailable when none can be read. */
async function scan(
  ctx: ManagerContext,
  wanted: { readonly registry: string; readonly project: string | null },
  signal: AbortSignal,
): Promise<void> {
  const failed = (why: string, cause?: unknown) =>
    new BackendError('ServiceUnavailable', `The registry cannot be read: ${why}`, { cause });
  try {
    const { found, problems } = await rescan(ctx, wanted, async () => {}, signal);
    for (const problem of problems) ctx.log.warn('an image could not be scanned', { problem });
    if (found.length === 0 && problems[0] !== undefined) throw failed(problems[0]);
  } catch (error) {
    if (!(error instanceof RegistryFailure)) throw error;
    throw failed(errorMessage(error), error);
  }
}

const isSame = (one: string, other: string): boolean => {
  const [left, right] = [Buffer.from(one), Buffer.from(other)];
  return left.length === right.length && timingSafeEqual(left, right);
};

/** Registers what was pushed to Harbor. */
async function hear(
  ctx: ManagerContext,
  { type: event, event_data: data }: v.InferOutput<typeof webhookBody>,
  authorization: string | null,
  signal: AbortSignal,
): Promise<void> {
  const { namespace: project, name } = data.repository;
  for (const { resource_url: url, tag } of data.resources) {
    const host = url.split('/', 1)[0] ?? '';
    const target = await webhookTarget(ctx.sql, host, project);
    if (target === null) {
      throw new BackendError(
        'HarborWebhookContainerRegistryRowNotFound',
        `No container registry is configured for ${host} and project '${project}'.`,
      );
    }
    const expected = target.authorization;
    if (expected !== null && !isSame(authorization ?? '', expected)) {
      throw new BackendError(
        'ContainerRegistryWebhookAuthorizationFailed',
        "Unauthorized webhook request: set Harbor's auth header to the registry's webhook_auth_header.",
      );
    }
    if (event !== 'PUSH_ARTIFACT') continue;
    await scan(ctx, { registry: `${target.name}/${project}/${name}:${tag}`, project }, signal);
  }
}

const ofSuperadmins = { gate: 'read', auth: 'superadmin' } as const;

function registryRoutes(ctx: ManagerContext): Route[] {
  const list = async (name: string | null, project: string | null) => {
    const rows = await listRegistryConfigurations(ctx.sql, name);
    const items = rows.filter((row) => project === null || row.project === project).map(toReply);
    return { json: { items } };
  };
  return [
    route(
      {
        ...ofSuperadmins,
        method: 'GET',
        path: '/container-registries/',
        summary: 'List the container registries.',
        takes: {},
      },
      () => list(null, null),
    ),
    route(
      {
        ...ofSuperadmins,
        method: 'GET',
        path: '/container-registries/load',
        summary: 'Read the container registries of a name.',
        takes: { query: named },
      },
      (_, { query: { registry, project } }) => list(registry, project),
    ),
    route(
      {
        ...ofSuperadmins,
        method: 'POST',
        path: '/container-registries/',
        summary: 'Add a container registry.',
        takes: { body: createBody },
      },
      async (request, { body }) => {
        const { url, registry_name } = body;
        const wishes = { ...wishesOf(body), url, registry_name, type: body.type };
        const id = await manage.createRegistry({ ...request, ctx }, wishes);
        const row = await findRegistry(ctx.sql, request.caller, id);
        return { status: 201, json: row && toReply(row) };
      },
    ),
    route(
      {
        ...ofSuperadmins,
        method: 'PATCH',
        path: '/container-registries/:registry_id',
        summary: 'Change a container registry.',
        takes: { params: idParams, body: patchBody },
      },
      async (request, { params: { registry_id: id }, body }) => {
        await manage.modifyRegistry({ ...request, ctx }, id, wishesOf(body));
        const row = await findRegistry(ctx.sql, request.caller, id);
        return { json: row && toReply(row) };
      },
    ),
    route(
      {
        ...ofSuperadmins,
        method: 'DELETE',
        path: '/container-registries/:registry_id',
        summary: 'Remove a container registry.',
        takes: { params: idParams },
      },
      async (request, { params: { registry_id: id } }) => {
        await manage.deleteRegistry({ ...request, ctx }, id);
        return undefined;
      },
    ),
    route(
      {
        ...ofSuperadmins,
        method: 'POST',
        path: '/container-registries/clear',
        summary: 'Forget the images of a container registry.',
        takes: { body: named },
      },
      async (request, { body: { registry, project } }) => {
        await clearImages({ ...request, ctx }, registry, project);
        return undefined;
      },
    ),
    route(
      {
        ...ofSuperadmins,
        method: 'POST',
        path: '/container-registries/rescan',
        summary: 'Read the images of a container registry.',
        takes: { body: named },
      },
      async ({ signal }, { body }) => {
        await scan(ctx, body, signal);
        return undefined;
      },
    ),
    publicRoute(
      {
        method: 'POST',
        path: '/container-registries/webhook/harbor',
        gate: 'all',
        summary: 'Where Harbor tells what was pushed to it.',
        takes: { body: webhookBody },
      },
      async ({ request, signal }, { body }) => {
        await hear(ctx, body, request.headers.get('authorization'), signal);
        return undefined;
      },
    ),
  ];
}

function quotaRoutes(ctx: ManagerContext): Route[] {
  const quota = { gate: 'any', auth: 'superadmin', path: '/group/registry-quota' } as const;
  const setting = (method: 'POST' | 'PATCH', operation: QuotaChange, summary: string): Route =>
    route(
      { ...quota, method, summary, takes: { body: groupAndQuota } },
      async (request, { body: { group_id: id, quota: wanted } }) => {
        const change = { operation, bytes: wanted };
        await changeQuota({ ...request, ctx }, id, change, request.signal);
        return undefined;
      },
    );
  return [
    route(
      {
        ...quota,
        method: 'GET',
        summary: 'Tell how much a project may keep in its registry.',
        takes: { query: groupOnly },
      },
      async ({ signal }, { query: { group_id: id } }) => ({
        json: { result: await readQuota(ctx, id, signal) },
      }),
    ),
    setting('POST', 'create', 'Limit what a project may keep in its registry.'),
    setting('PATCH', 'update', 'Change what a project may keep in its registry.'),
    route(
      {
        ...quota,
        method: 'DELETE',
        summary: 'Let a project keep as much as it likes in its registry.',
        takes: { fields: groupOnly },
      },
      async (request, { fields: { group_id: id } }) => {
        const change = { operation: 'delete', bytes: null } as const;
        await changeQuota({ ...request, ctx }, id, change, request.signal);
        return undefined;
      },
    ),
  ];
}

export const containerRegistryRoutes = (ctx: ManagerContext): Route[] => [
  ...registryRoutes(ctx),
  ...quotaRoutes(ctx),
];
