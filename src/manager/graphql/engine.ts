/** Runs GraphQL documents against the merged schema of all features. */
import {
  type DocumentNode,
  type ExecutionResult,
  GraphQLError,
  type GraphQLSchema,
  parse,
  specifiedRules,
  validate,
} from 'graphql';
import { createSchema, createYoga, type Plugin } from 'graphql-yoga';
import { errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { baseGraphql } from './base.ts';
import type { GraphqlContext } from './context.ts';
import { toClientError } from './errors.ts';
import { type GraphqlLimits, GraphqlLimitsSource, limitRules } from './limits.ts';
import type { GraphqlModule } from './module.ts';

/** Largest document. Characters; the longest of the WebUI has about 20 000. */
const MAX_DOCUMENT_LENGTH = 256 * 1024;
/** Bounds the work of parsing a hostile document. */
const MAX_TOKENS = 20_000;
const MAX_CACHED_DOCUMENTS = 1000;

interface GraphqlRequest {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>> | null;
  readonly operationName?: string | null;
}

export interface GraphqlResult {
  readonly data: Readonly<Record<string, unknown>> | null;
  readonly errors: readonly GraphQLError[] | null;
}

export interface GraphqlEngine {
  /** Never rejects: every failure is in `errors`. */
  run(request: GraphqlRequest, context: GraphqlContext, http: Request): Promise<GraphqlResult>;
  close(): Promise<void>;
}

/** Clients send few distinct documents again and again; parsing and validating them once is enough. */
class DocumentCache {
  readonly #schema: GraphQLSchema;
  readonly #limits: () => GraphqlLimits;
  #limitsOfEntries: GraphqlLimits | null = null;
  readonly #valid = new WeakSet<DocumentNode>();
  readonly #documents = new Map<string, DocumentNode>();

  constructor(schema: GraphQLSchema, limits: () => GraphqlLimits) {
    this.#schema = schema;
    this.#limits = limits;
  }

  parse = (query: string): DocumentNode => {
    const limits = this.#limits();
    if (limits !== this.#limitsOfEntries) {
      this.#documents.clear();
      this.#limitsOfEntries = limits;
    }
    const known = this.#documents.get(query);
    if (known) return known;
    if (query.length > MAX_DOCUMENT_LENGTH) {
      throw new GraphQLError(`The document has more than ${MAX_DOCUMENT_LENGTH} characters.`);
    }
    const document = parse(query, { maxTokens: MAX_TOKENS });
    if (this.#documents.size >= MAX_CACHED_DOCUMENTS) this.#documents.clear();
    this.#documents.set(query, document);
    return document;
  };

  validate = (document: DocumentNode): readonly GraphQLError[] => {
    if (this.#valid.has(document)) return [];
    const rules = [...specifiedRules, ...limitRules(this.#limits())];
    const errors = validate(this.#schema, document, rules, { maxErrors: 20 });
    if (errors.length === 0) this.#valid.add(document);
    return errors;
  };
}

const cachedDocuments = (cache: DocumentCache): Plugin => ({
  onParse: ({ setParseFn }) => setParseFn(cache.parse),
  onValidate: ({ setValidationFn }) =>
    setValidationFn((_schema: GraphQLSchema, document: DocumentNode) => cache.validate(document)),
});

const isSingle = (result: unknown): result is ExecutionResult =>
  typeof result === 'object' && result !== null && !(Symbol.asyncIterator in result);

/** The schema of all modules together. @throws Error when they don't fit each other. */
export function mergeModules(modules: readonly GraphqlModule[]): GraphQLSchema {
  const all = [baseGraphql, ...modules];
  return createSchema<GraphqlContext>({
    typeDefs: all.map(({ typeDefs }) => typeDefs),
    resolvers: all.map(({ resolvers }) => resolvers),
  });
}

/** Prepares the schema and starts following its limits. */
export async function createGraphqlEngine(
  ctx: ManagerContext,
  modules: readonly GraphqlModule[],
): Promise<GraphqlEngine> {
  const schema = mergeModules(modules);
  const limits = await GraphqlLimitsSource.open(ctx.config);
  const cache = new DocumentCache(schema, () => limits.current);
  const yoga = createYoga<GraphqlContext>({
    schema,
    plugins: [cachedDocuments(cache)],
    parserCache: false,
    validationCache: false,
    maskedErrors: false,
    logging: false,
    graphiql: false,
    landingPage: false,
  });
  const failed = (message: string): GraphqlResult => ({
    data: null,
    errors: [toClientError(new GraphQLError(message), () => {})],
  });
  return {
    close: () => limits.close(),
    async run({ query, variables, operationName }, context, http) {
      const report = (cause: unknown, path: string) =>
        ctx.log.error('a GraphQL field failed unexpectedly', {
          requestId: context.requestId,
          path,
          error: errorMessage(cause),
          stack: cause instanceof Error ? cause.stack : undefined,
        });
      const result = await yoga.getResultForParams(
        {
          params: {
            query,
            variables: variables ? { ...variables } : undefined,
            operationName: operationName ?? undefined,
          },
          request: http,
        },
        context,
      );
      if (!isSingle(result)) return failed('This operation cannot be answered in one response.');
      return {
        data: result.data ?? null,
        errors: result.errors?.map((error) => toClientError(error, report)) ?? null,
      };
    },
  };
}
