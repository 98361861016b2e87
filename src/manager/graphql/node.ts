/** `node(id)`: any object of the schema by its global id, if its feature says how to find it. */
import { BackendError } from '../../common/errors.ts';
import type { GraphqlContext } from './context.ts';
import { parseGlobalId } from './global-id.ts';
import type { SchemaPart } from './module.ts';

/**
 * Finds the object with a raw id, by the same rules of visibility as its list; null when there is
 * none that the caller may see.
 */
export type NodeLoader<Parent extends object = object> = (
  context: GraphqlContext,
  rawId: string,
) => Promise<Parent | null>;

/** @throws BackendError InvalidAPIParameters for an id that names no type that can be found so. */
export function nodePart(parts: readonly SchemaPart[]): SchemaPart {
  const loaders = new Map<string, NodeLoader>();
  for (const { nodes = {} } of parts) {
    for (const [typeName, loader] of Object.entries(nodes)) {
      if (loaders.has(typeName)) throw new Error(`two features load nodes of type ${typeName}`);
      if (loader) loaders.set(typeName, loader);
    }
  }
  return {
    typeDefs: /* GraphQL */ `
      type Query {
        node(id: ID!): Node
      }
    `,
    resolvers: {
      Query: {
        async node(_root: unknown, { id }: { id: string }, context: GraphqlContext) {
          const { typeName, rawId } = parseGlobalId(id);
          const load = typeName === null ? undefined : loaders.get(typeName);
          if (!load) {
            throw new BackendError(
              'InvalidAPIParameters',
              `id: '${id.slice(0, 100)}' is not the id of a node.`,
            );
          }
          const node = await load(context, rawId);
          // Tells the executor which of the interface's types it is.
          return node && { ...node, __typename: typeName };
        },
      },
    },
  };
}
