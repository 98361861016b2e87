/** Operations on resource presets and resource groups that users choose from. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { projectOfMember } from '../project/service.ts';
import { allowedResourceGroups } from '../resource-group/service.ts';
import { checkPresets, usablePresets } from './check.ts';

/** Longest name or id that is looked for. Characters. */
const name = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(256),
  v.check((text) => !text.includes('\0'), 'text cannot hold a NUL character'),
);
const presetsQuery = v.object({ scaling_group: v.nullish(name, null) });
const checkBody = v.object({ group: name, scaling_group: v.nullish(name, null) });
const groupsQuery = aliased({ group: ['group_id', 'group_name'] }, v.object({ group: name }));

export function resourcePresetRoutes(ctx: ManagerContext): Route[] {
  return [
    route(
      {
        method: 'GET',
        path: '/resource/presets',
        gate: 'any',
        auth: 'user',
        summary: 'List the resource presets.',
        takes: { query: presetsQuery },
      },
      async (_, { query }) => ({
        json: { presets: await usablePresets(ctx, query.scaling_group) },
      }),
    ),
    route(
      {
        method: 'POST',
        path: '/resource/check-presets',
        gate: 'any',
        auth: 'user',
        summary: 'Tell which presets can be allocated, and how much is left for the caller.',
        takes: { body: checkBody },
      },
      async ({ caller }, { body: { group: project, scaling_group: groupName } }) => ({
        json: await checkPresets(ctx, caller, { project, groupName }),
      }),
    ),
    route(
      {
        method: 'GET',
        path: '/scaling-groups',
        gate: 'read',
        auth: 'user',
        summary: 'List the resource groups that a project may use.',
        takes: { query: groupsQuery },
      },
      async ({ caller }, { query: { group } }) => {
        const isAdmin = caller.isSuperadmin || caller.role === 'admin';
        const { domainName: domain, userId, accessKey } = caller;
        const project = await projectOfMember(ctx.sql, {
          ...{ userId, domain, nameOrId: group, anyMember: isAdmin },
        });
        const scope = { domain, projectId: project.id, accessKey };
        const groups = await allowedResourceGroups(ctx.sql, scope);
        const shown = groups.filter(({ isPublic }) => isPublic || isAdmin);
        return { json: { scaling_groups: shown.map((found) => ({ name: found.name })) } };
      },
    ),
  ];
}
