/** `/scaling-groups`: the resource groups that users choose from. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased } from '../http/parameters.ts';
import type { Caller, Route } from '../http/route.ts';
import { projectOfMember } from '../project/service.ts';
import { AppProxyClient, LOCAL_PROXY_VERSION } from './app-proxy.ts';
import { allowedResourceGroups, type ResourceGroup, usableGroups } from './service.ts';

/** Longest name or id that is looked for. Characters. */
const name = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(256),
  v.check((text) => !text.includes('\0'), 'text cannot hold a NUL character'),
);
const names = { group: ['group_id', 'group_name'] };
const groupsQuery = aliased(names, v.object({ group: name }));
const versionQuery = aliased(names, v.object({ group: v.nullish(name, null) }));
const versionParams = v.object({ scaling_group: name });

const isAdministrator = (caller: Caller) => caller.isSuperadmin || caller.role === 'admin';

/** The groups that a project may use; administrators name projects of others too. */
async function groupsOf(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
): Promise<ResourceGroup[]> {
  const { domainName: domain, userId, accessKey } = caller;
  const project = await projectOfMember(ctx.sql, {
    ...{ userId, domain, nameOrId, anyMember: isAdministrator(caller) },
  });
  return allowedResourceGroups(ctx.sql, { domain, projectId: project.id, accessKey });
}

export function resourceGroupRoutes(ctx: ManagerContext): Route[] {
  return [
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
        const groups = await groupsOf(ctx, caller, group);
        const shown = groups.filter(({ isPublic }) => isPublic || isAdministrator(caller));
        return { json: { scaling_groups: shown.map((found) => ({ name: found.name })) } };
      },
    ),
    route(
      {
        method: 'GET',
        path: '/scaling-groups/:scaling_group/wsproxy-version',
        gate: 'read',
        auth: 'user',
        summary: "Tell the version of a resource group's app proxy.",
        takes: { params: versionParams, query: versionQuery },
      },
      async ({ caller }, { params: { scaling_group: wanted }, query: { group } }) => {
        const groups =
          group === null ? await usableGroups(ctx.sql, caller) : await groupsOf(ctx, caller, group);
        const found = groups.find((one) => one.name === wanted);
        if (found === undefined) {
          throw new BackendError(
            'ScalingGroupNotFound',
            `You may use no resource group '${wanted}'.`,
          );
        }
        const { appProxy } = found;
        if (appProxy === null) return { json: { wsproxy_version: LOCAL_PROXY_VERSION } };
        const { version } = await new AppProxyClient(ctx.clock, appProxy).status();
        return { json: { wsproxy_version: version } };
      },
    ),
  ];
}
