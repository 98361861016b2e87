/** GraphQL fields about projects (the newer type). */
import * as v from 'valibot';
import { isUuid } from '../../common/ids.ts';
import { requirePermission } from '../authz/service.ts';
import { hostPermissionsColumn } from '../db/json.ts';
import { loadDomain } from '../domain/v2-graphql.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type {
  DomainV2projectsArgs,
  ProjectTypeV2,
  UserV2projectsArgs,
} from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { nestedV2List, v2ListField } from '../graphql/v2-list.ts';
import { hostPermissionEntries, slotEntries } from '../graphql/v2-shapes.ts';
import { type ActiveUse, activeUseOf } from '../session/usage.ts';
import { usersById } from '../user/service.ts';
import {
  createProject,
  deleteProject,
  modifyProject,
  purgeProject,
  unassignMembers,
} from './manage.ts';
import {
  findProject,
  getProject,
  listProjects,
  listProjectsOfDomains,
  listProjectsOfUsers,
  listProjectsV2,
  type ProjectRecord,
} from './service.ts';
import { v2TypeDefs } from './v2-schema.ts';

const idOf = ({ id }: ProjectRecord): string => id;

const TYPES = {
  general: 'GENERAL',
  'model-store': 'MODEL_STORE',
} as const satisfies Record<ProjectRecord['type'], ProjectTypeV2>;

/** The project; null when there is none that the caller may see. */
async function findProjectV2({ ctx, caller }: GraphqlContext, id: string) {
  return isUuid(id) ? findProject(ctx.sql, caller, id) : null;
}

/** The same, of many at once. */
export const loadProjectV2 = batched<string, ProjectRecord>(async (ids, { ctx, caller }) => {
  const projects = await listProjects(ctx.sql, caller, { ids: ids.filter(isUuid) });
  return new Map(projects.map((project) => [project.id, project]));
});

const shown = ({ ctx, caller }: GraphqlContext, id: string): Promise<ProjectRecord> =>
  getProject(ctx.sql, caller, id);

const projectsOfDomain = nestedV2List<ProjectRecord, DomainV2projectsArgs>({
  idOf,
  load: ({ ctx, caller }, names, args, wish) =>
    listProjectsOfDomains(ctx.sql, caller, names, args, wish),
});

const projectsOfUser = nestedV2List<ProjectRecord, UserV2projectsArgs>({
  idOf,
  load: ({ ctx, caller }, userIds, args, wish) =>
    listProjectsOfUsers(ctx.sql, caller, userIds, args, wish),
});

/** Takes users out of a project, for whoever may change it. */
async function unassign(context: GraphqlContext, projectId: string, userIds: readonly string[]) {
  await requirePermission(context, 'update', 'project', { type: 'project', id: projectId });
  const { removed, failed } = await unassignMembers(context, projectId, userIds);
  return { unassignedUsers: await usersById(context.ctx.sql, removed), failed };
}

const mutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  adminCreateProjectV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      const id = await createProject(context, input.name, {
        domainName: input.domainName,
        type: 'general',
        description: input.description,
        integration_id: input.integrationName,
        resource_policy: input.resourcePolicy ?? 'default',
      });
      return { project: await shown(context, id) };
    }),
  adminUpdateProjectV2: (_root, { projectId, input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await modifyProject(context, projectId, {
        name: kept(input.name),
        description: kept(input.description),
        is_active: kept(input.isActive),
        integration_id: kept(input.integrationName),
        resource_policy: kept(input.resourcePolicy),
      });
      return { project: await shown(context, projectId) };
    }),
  adminDeleteProjectV2: (_root, { projectId }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await deleteProject(context, projectId);
      return { deleted: true };
    }),
  adminPurgeProjectV2: (_root, { projectId }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await purgeProject(context, projectId);
      return { purged: true };
    }),
  unassignUsersFromProjectV2: (_root, { projectId, input }, context) =>
    v2Mutation(context, 'anybody', () => unassign(context, projectId, input.userIds)),
};

/** What its sessions hold; administrators of it and its members may know. */
const activeUse = batched<string, ActiveUse>((ids, { ctx }) =>
  activeUseOf(ctx.sql, { kind: 'project', ids }),
);

async function resourceOverview(context: GraphqlContext, id: string) {
  const use = await activeUse(context, id);
  return {
    slots: { entries: slotEntries(use?.slots ?? {}) },
    sessionCount: use?.sessionCount ?? 0,
  };
}

export const projectV2Graphql: GraphqlModule = {
  typeDefs: v2TypeDefs,
  nodes: { ProjectV2: findProjectV2 },
  resolvers: {
    Query: {
      projectV2: (_root, { projectId }, context) => findProjectV2(context, projectId),
      projectDomainV2: async (_root, { projectId }, context) => {
        const project = await findProjectV2(context, projectId);
        return project && loadDomain(context, project.domain_name);
      },
      adminProjectsV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField(args, info, {
          idOf,
          load: (wish) => listProjectsV2(ctx.sql, caller, args, wish),
        });
      },
      // Everybody sees those of the domain that are theirs to see.
      domainProjectsV2: (_root, args, { ctx, caller }, info) => {
        const query = { ...args, domainName: args.scope.domainName };
        return v2ListField(args, info, {
          idOf,
          load: (wish) => listProjectsV2(ctx.sql, caller, query, wish),
        });
      },
    },
    Mutation: mutations,
    ProjectV2: {
      activeResourceOverview: ({ id }, _args, context) => resourceOverview(context, id),
      id: ({ id }) => globalId('ProjectV2', id),
      basicInfo: (project) => ({
        name: project.name,
        description: project.description,
        type: TYPES[project.type],
        integrationName: project.integration_id,
      }),
      organization: (project) => ({
        domainName: project.domain_name,
        resourcePolicy: project.resource_policy,
      }),
      storage: (project) => ({
        allowedVfolderHosts: hostPermissionEntries(
          v.parse(hostPermissionsColumn, project.allowed_vfolder_hosts),
        ),
      }),
      lifecycle: (project) => ({
        isActive: project.is_active,
        createdAt: project.created_at,
        modifiedAt: project.modified_at,
      }),
      domain: ({ domain_name: name }, _args, context) => loadDomain(context, name),
    },
    DomainV2: {
      projects: ({ name }, args, context, info) => projectsOfDomain(context, name, args, info),
    },
    UserV2: {
      projects: ({ uuid }, args, context, info) => projectsOfUser(context, uuid, args, info),
    },
  },
};
