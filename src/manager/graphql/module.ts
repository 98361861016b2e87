/** How a feature contributes to the GraphQL schema. */
import type { createSchema } from 'graphql-yoga';
import type { GraphqlContext } from './context.ts';
import type { NodeLoader } from './node.ts';
import type { Resolvers, ResolversParentTypes } from './resolvers.generated.ts';

type SchemaOptions = Parameters<typeof createSchema<GraphqlContext>>[0];
type AnyResolvers = Exclude<SchemaOptions['resolvers'], readonly unknown[] | undefined>;

/** A part of any schema; its resolvers are checked when the schema is made. */
export interface SchemaPart {
  /**
   * SDL with upstream's names. Root fields go into `type Query { … }`, `type Mutation { … }` or
   * `type Subscription { … }`; all parts' root types are merged.
   */
  readonly typeDefs: string;
  /** Type name → field name → resolver. A field without one reads the parent's property. */
  readonly resolvers: AnyResolvers;
  /** Type name → how `node(id)` finds one of them. */
  readonly nodes?: Readonly<Record<string, NodeLoader | undefined>>;
}

/**
 * A part of the product's schema: the compiler checks its resolvers against the SDL. After changing
 * SDL or the set of resolvers run `bun run generate`.
 */
export interface GraphqlModule extends SchemaPart {
  readonly resolvers: Resolvers;
  readonly nodes?: {
    readonly [Name in keyof Resolvers & keyof ResolversParentTypes]?: NodeLoader<
      Extract<ResolversParentTypes[Name], object>
    >;
  };
}
