/** How a feature contributes to the GraphQL schema. */
import type { GraphQLResolveInfo, GraphQLScalarType } from 'graphql';
import type { GraphqlContext } from './context.ts';

/**
 * Resolves one field. Declared as a method so that a resolver may name the parent and argument types
 * that its SDL promises; the executor has checked arguments against the SDL before.
 */
interface FieldResolverShape {
  resolve(
    parent: unknown,
    args: Readonly<Record<string, unknown>>,
    context: GraphqlContext,
    info: GraphQLResolveInfo,
  ): unknown;
}
type FieldResolver = FieldResolverShape['resolve'];

/** Type name → field name → resolver. A field without one reads the parent's property. */
type Resolvers = Readonly<
  Record<string, Readonly<Record<string, FieldResolver>> | GraphQLScalarType>
>;

export interface GraphqlModule {
  /**
   * SDL with upstream's names. Root fields go into `type Query { … }` or `type Mutation { … }`;
   * all modules' root types are merged.
   */
  readonly typeDefs: string;
  readonly resolvers: Resolvers;
}
