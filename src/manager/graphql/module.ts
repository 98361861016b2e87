/** How a feature contributes to the GraphQL schema. */
import type { createSchema } from 'graphql-yoga';
import type { GraphqlContext } from './context.ts';
import type { Resolvers } from './resolvers.generated.ts';

type SchemaOptions = Parameters<typeof createSchema<GraphqlContext>>[0];
type AnyResolvers = Exclude<SchemaOptions['resolvers'], readonly unknown[] | undefined>;

/** A part of any schema; its resolvers are checked when the schema is made. */
export interface SchemaPart {
  /**
   * SDL with upstream's names. Root fields go into `type Query { … }` or `type Mutation { … }`;
   * all parts' root types are merged.
   */
  readonly typeDefs: string;
  /** Type name → field name → resolver. A field without one reads the parent's property. */
  readonly resolvers: AnyResolvers;
}

/**
 * A part of the product's schema: the compiler checks its resolvers against the SDL. After changing
 * SDL or the set of resolvers run `bun run generate`.
 */
export interface GraphqlModule extends SchemaPart {
  readonly resolvers: Resolvers;
}
