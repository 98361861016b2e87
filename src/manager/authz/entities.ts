/** What a scope or an entity is, by its type and id, as far as the caller may see it. */
import type { RoleRow } from '../db/rows.generated.ts';
import { type Domain, findDomain } from '../domain/service.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { batched } from '../graphql/loaders.ts';
import { rolesById } from './lists.ts';

/** A member of the union, and which. */
export type Entity =
  | (Domain & { readonly __typename: 'DomainV2' })
  | (RoleRow & { readonly __typename: 'Role' });

const loadDomain = batched(async (names: readonly string[], { ctx, caller }) => {
  const found = await Promise.all(names.map((name) => findDomain(ctx.sql, caller, name)));
  return new Map(found.flatMap((domain) => (domain ? [[domain.name, domain] as const] : [])));
});
const loadRole = batched((ids: readonly string[], context) => rolesById(context, ids));

/** Null for what is not there, is not the caller's to see, or has no type in the schema. */
export async function loadEntity(
  context: GraphqlContext,
  type: string,
  id: string,
): Promise<Entity | null> {
  switch (type) {
    case 'domain': {
      const domain = await loadDomain(context, id);
      return domain && { ...domain, __typename: 'DomainV2' };
    }
    case 'role': {
      const role = await loadRole(context, id);
      return role && { ...role, __typename: 'Role' };
    }
    default:
      return null;
  }
}
