/** What a GraphQL document may ask for, as the configuration store says. */
import {
  type ASTVisitor,
  GraphQLError,
  Kind,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql';
import type { ConfigStore, Subscription } from '../../stores/config/port.ts';
import { saysYes } from '../http/parameters.ts';

const PREFIX = 'config/api';
const INTROSPECTION_KEY = `${PREFIX}/allow-graphql-schema-introspection`;
const DEPTH_KEY = `${PREFIX}/max-gql-query-depth`;
const PAGE_KEY = `${PREFIX}/max-gql-connection-page-size`;
const COST_KEY = `${PREFIX}/max-gql-query-cost`;

export interface GraphqlLimits {
  readonly allowIntrospection: boolean;
  /** Levels of nested fields; null means any. */
  readonly maxDepth: number | null;
  /** Largest page of a connection of the older schema; null means the built-in bound. */
  readonly maxConnectionRows: number | null;
  /** Most that one operation may cost; see cost.ts. */
  readonly maxCost: number;
}

/** The WebUI's dearest page costs less than a tenth of it. */
const DEFAULT_MAX_COST = 500_000;

const defaults: GraphqlLimits = {
  allowIntrospection: false,
  maxDepth: null,
  maxConnectionRows: null,
  maxCost: DEFAULT_MAX_COST,
};

function positiveInteger(text: string | null): number | null {
  const value = text === null ? Number.NaN : Number(text);
  return Number.isInteger(value) && value > 0 ? value : null;
}

/** Reads the limits and follows their changes. */
export class GraphqlLimitsSource {
  #current: GraphqlLimits = defaults;
  #subscription: Subscription | null = null;

  static async open(config: ConfigStore): Promise<GraphqlLimitsSource> {
    const source = new GraphqlLimitsSource();
    const values = new Map<string, string>();
    const apply = () => {
      source.#current = {
        allowIntrospection: saysYes(values.get(INTROSPECTION_KEY) ?? null),
        maxDepth: positiveInteger(values.get(DEPTH_KEY) ?? null),
        maxConnectionRows: positiveInteger(values.get(PAGE_KEY) ?? null),
        maxCost: positiveInteger(values.get(COST_KEY) ?? null) ?? defaults.maxCost,
      };
    };
    source.#subscription = await config.watch(PREFIX, (change) => {
      if (change.type === 'put') values.set(change.key, change.value);
      else values.delete(change.key);
      apply();
    });
    for (const [key, value] of await config.list(PREFIX)) values.set(key, value);
    apply();
    return source;
  }

  /** A new object whenever something changed. */
  get current(): GraphqlLimits {
    return this.#current;
  }

  async close(): Promise<void> {
    await this.#subscription?.close();
  }
}

/** Refuses questions about the schema itself; `__typename` is not one. */
const noIntrospection = (context: ValidationContext): ASTVisitor => ({
  Field(node) {
    const name = node.name.value;
    if (name.startsWith('__') && name !== '__typename') {
      const message = `Cannot query '${name}': introspection is disabled.`;
      context.reportError(new GraphQLError(message, { nodes: node }));
    }
  },
});

const maxDepth =
  (limit: number) =>
  (context: ValidationContext): ASTVisitor => {
    // Depth of a selection, following fragments; `open` stops at cycles, another rule's error.
    const measure = (set: SelectionSetNode | undefined, open: ReadonlySet<string>): number => {
      let deepest = 0;
      for (const selection of set?.selections ?? []) {
        if (selection.kind === Kind.FIELD) {
          deepest = Math.max(deepest, 1 + measure(selection.selectionSet, open));
        } else if (selection.kind === Kind.INLINE_FRAGMENT) {
          deepest = Math.max(deepest, measure(selection.selectionSet, open));
        } else if (!open.has(selection.name.value)) {
          const fragment = context.getFragment(selection.name.value);
          const inside = new Set(open).add(selection.name.value);
          deepest = Math.max(deepest, measure(fragment?.selectionSet, inside));
        }
        if (deepest > limit) break;
      }
      return deepest;
    };
    return {
      OperationDefinition(node) {
        if (measure(node.selectionSet, new Set()) > limit) {
          const message = `The query is nested more than ${limit} levels deep.`;
          context.reportError(new GraphQLError(message, { nodes: node }));
        }
      },
    };
  };

/** The validation rules that enforce `limits`. */
export function limitRules(limits: GraphqlLimits) {
  return [
    ...(limits.allowIntrospection ? [] : [noIntrospection]),
    ...(limits.maxDepth === null ? [] : [maxDepth(limits.maxDepth)]),
  ];
}
