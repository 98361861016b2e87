/** What a scope or an entity is, by its type and id, as far as the caller may see it. */
import { isUuid } from '../../common/ids.ts';
import type { RoleRow } from '../db/rows.generated.ts';
import type { Domain } from '../domain/service.ts';
import { loadDomain } from '../domain/v2-graphql.ts';
import { loadFolderNode } from '../folder/graphql.ts';
import type { FolderRecord } from '../folder/service.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { batched } from '../graphql/loaders.ts';
import type { ProjectRecord } from '../project/service.ts';
import { loadProjectV2 } from '../project/v2-graphql.ts';
import { listRegistryConfigurations, type RegistryConfiguration } from '../registry/service.ts';
import type { ResourceGroup } from '../resource-group/service.ts';
import { loadResourceGroupV2 } from '../resource-group/v2-graphql.ts';
import type { SessionV2Row } from '../session/node.ts';
import { loadSessionNode } from '../session/node-graphql.ts';
import { sessionOf } from '../session/v2-graphql.ts';
import type { UserRecord } from '../user/service.ts';
import { loadUserV2 } from '../user/v2-graphql.ts';
import { rolesById } from './lists.ts';

type Named<Type extends string, Parent> = Parent & { readonly __typename: Type };

/** A member of the union, and which. */
export type Entity =
  | Named<'UserV2', UserRecord>
  | Named<'ProjectV2', ProjectRecord>
  | Named<'DomainV2', Domain>
  | Named<'VirtualFolderNode', FolderRecord>
  | Named<'SessionV2', SessionV2Row>
  | Named<'ResourceGroup', ResourceGroup>
  | Named<'ContainerRegistryV2', RegistryConfiguration>
  | Named<'Role', RoleRow>;

/** For superadmins, as their list of registries is. */
const loadRegistry = batched<string, RegistryConfiguration>(async (_ids, { ctx, caller }) => {
  const registries = caller.isSuperadmin ? await listRegistryConfigurations(ctx.sql) : [];
  return new Map(registries.map((registry) => [registry.id, registry]));
});
/** The session, for those who see it in lists. */
async function visibleSession(context: GraphqlContext, id: string): Promise<SessionV2Row | null> {
  return (await loadSessionNode(context, id)) && sessionOf(context, id);
}

const loadRole = batched<string, RoleRow>((ids, context) => rolesById(context, ids.filter(isUuid)));

function named<Type extends string, Parent extends object>(
  __typename: Type,
  parent: Parent | null,
): Named<Type, Parent> | null {
  return parent && { ...parent, __typename };
}

/** Null for what is not there, is not the caller's to see, or has no type in the schema. */
export async function loadEntity(
  context: GraphqlContext,
  type: string,
  id: string,
): Promise<Entity | null> {
  switch (type) {
    case 'user':
      return named('UserV2', isUuid(id) ? await loadUserV2(context, id) : null);
    case 'project':
      return named('ProjectV2', await loadProjectV2(context, id));
    case 'domain':
      return named('DomainV2', await loadDomain(context, id));
    case 'vfolder':
      return named('VirtualFolderNode', isUuid(id) ? await loadFolderNode(context, id) : null);
    case 'session':
      return named('SessionV2', await visibleSession(context, id));
    case 'resource_group':
      return named('ResourceGroup', await loadResourceGroupV2(context, id));
    case 'container_registry':
      return named('ContainerRegistryV2', await loadRegistry(context, id));
    case 'role':
      return named('Role', await loadRole(context, id));
    default:
      return null;
  }
}
