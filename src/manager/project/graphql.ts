/** GraphQL fields about projects (upstream: groups; the legacy type). */
import { BackendError } from '../../common/errors.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { hostPermissionsInput, listInput, slotsInput } from '../graphql/inputs.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, mutate } from '../graphql/mutation.ts';
import type { ModifyGroupInput } from '../graphql/resolvers.generated.ts';
import { checkOwnScope } from '../graphql/scope.ts';
import {
  createProject,
  deleteProject,
  modifyProject,
  type ProjectWishes,
  purgeProject,
} from './manage.ts';
import { typeDefs } from './schema.ts';
import { getProject, listProjects, type ProjectRecord } from './service.ts';

type ProjectType = ProjectRecord['type'];

/** Upstream's enum names, as clients write them in either case, to what is stored. */
const TYPES: Readonly<Record<string, ProjectType>> = {
  GENERAL: 'general',
  MODEL_STORE: 'model-store',
};

function typeOf(name: string): ProjectType {
  const wanted = name.toUpperCase().replace('-', '_');
  const type = Object.hasOwn(TYPES, wanted) ? TYPES[wanted] : undefined;
  if (type) return type;
  throw new BackendError(
    'InvalidAPIParameters',
    `'${name}' is no project type: ${Object.keys(TYPES).join(', ')}.`,
  );
}

export const nameOfType = (type: ProjectType): string =>
  Object.keys(TYPES).find((name) => TYPES[name] === type) ?? type;

function listed(
  { ctx, caller }: GraphqlContext,
  filter: Parameters<typeof listProjects>[2] & { readonly domainName?: string | null },
): Promise<ProjectRecord[]> {
  checkOwnScope(caller, '', { domain_name: filter.domainName });
  return listProjects(ctx.sql, caller, filter);
}

type Properties = Pick<
  ModifyGroupInput,
  | 'description'
  | 'is_active'
  | 'total_resource_slots'
  | 'allowed_vfolder_hosts'
  | 'integration_id'
  | 'container_registry'
>;

function wishesOf(props: Properties): ProjectWishes {
  const { total_resource_slots: slots, allowed_vfolder_hosts: hosts } = props;
  return {
    description: props.description,
    is_active: kept(props.is_active),
    integration_id: props.integration_id,
    totalResourceSlots: slots == null ? undefined : slotsInput('total_resource_slots', slots),
    allowedVfolderHosts:
      hosts == null ? undefined : hostPermissionsInput('allowed_vfolder_hosts', hosts),
    containerRegistry: props.container_registry,
  };
}

const isEmptyObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.keys(value).length === 0;

function modification(props: ModifyGroupInput) {
  const { container_registry, ...rest } = props;
  const userIds = listInput(props.user_uuids) ?? [];
  return {
    // The schema fills in an empty object for clients that leave it out; null clears it.
    ...wishesOf(isEmptyObject(container_registry) ? rest : props),
    name: kept(props.name),
    domainName: kept(props.domain_name),
    resource_policy: kept(props.resource_policy),
    members:
      props.user_update_mode && userIds.length > 0
        ? { mode: props.user_update_mode, userIds }
        : undefined,
  };
}

/** The project as it became. */
const shown = (context: GraphqlContext, id: string): Promise<ProjectRecord> =>
  getProject(context.ctx.sql, context.caller, id);

export const projectGraphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    Query: {
      group: async (_root, { id, domain_name }, context) => {
        const { ctx, caller } = context;
        checkOwnScope(caller, '', { domain_name });
        const [row] = await listProjects(ctx.sql, caller, { id, domainName: domain_name });
        if (row || caller.isSuperadmin) return row ?? null;
        // The same whether or not it exists: outsiders can't probe for ids.
        throw new BackendError('GenericForbidden', 'You belong to no such project.');
      },
      groups_by_name: (_root, { name, domain_name }, context) =>
        listed(context, { name, domainName: domain_name }),
      groups: (_root, args, context) =>
        listed(context, {
          domainName: args.domain_name,
          isActive: context.caller.role === 'user' ? true : args.is_active,
          types: listInput(args.type)?.map(typeOf),
        }),
    },
    Mutation: {
      create_group: (_root, { name, props }, context, info) =>
        mutate(context, info.path.key, 'admin', { group: null }, async () => {
          const id = await createProject(context, name, {
            ...wishesOf(props),
            domainName: props.domain_name,
            type: typeOf(props.type ?? 'GENERAL'),
            resource_policy: props.resource_policy ?? 'default',
          });
          return { group: await shown(context, id) };
        }),
      modify_group: (_root, { gid, props }, context, info) =>
        mutate(context, info.path.key, 'admin', { group: null }, async () => {
          await modifyProject(context, gid, modification(props));
          return { group: await shown(context, gid) };
        }),
      delete_group: (_root, { gid }, context, info) =>
        mutate(context, info.path.key, 'admin', {}, async () => {
          await deleteProject(context, gid);
          return {};
        }),
      purge_group: (_root, { gid }, context, info) =>
        mutate(context, info.path.key, 'admin', {}, async () => {
          await purgeProject(context, gid);
          return {};
        }),
    },
    Group: {
      type: ({ type }) => nameOfType(type),
    },
  },
};
