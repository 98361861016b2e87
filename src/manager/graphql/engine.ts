/** Runs GraphQL documents against the merged schema of all features. */
import { yoga } from '@elysiajs/graphql-yoga';
import { Elysia } from 'elysia';
import {
  type DocumentNode,
  type ExecutionResult,
  GraphQLError,
  type GraphQLSchema,
  parse,
  specifiedRules,
  validate,
} from 'graphql';
import { createSchema, type Plugin } from 'graphql-yoga';
import { errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { baseGraphql } from './base.ts';
import type { GraphqlContext } from './context.ts';
import { toClientError } from './errors.ts';
import { type GraphqlLimits, GraphqlLimitsSource, limitRules } from './limits.ts';
import type { SchemaPart } from './module.ts';

/** Largest document. Characters; the longest of the WebUI has about 20 000. */
const MAX_DOCUMENT_LENGTH = 256 * 1024;
/** Bounds the work of parsing a hostile document. */
const MAX_TOKENS = 20_000;
const MAX_CACHED_DOCUMENTS = 1000;

/** Where the plugin serves inside its own application; nobody outside can name it. */
const INNER_URL = 'http://graphql.internal/graphql';

interface GraphqlRequest {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>> | null;
  readonly operationName?: string | null;
}

export interface GraphqlEngine {
  /**
   * Answers 200 with a JSON object of `data` and `errors`, both always present. Failures of the
   * document and of resolvers are in `errors`. @throws Error when the engine itself is broken.
   */
  handle(request: GraphqlRequest, context: GraphqlContext): Promise<Response>;
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

/** Tells the log what clients must not see. */
const reportTo =
  (context: GraphqlContext | undefined) =>
  (cause: unknown, path: string): void =>
    context?.ctx.log.error('a GraphQL field failed unexpectedly', {
      requestId: context.requestId,
      path,
      error: errorMessage(cause),
      stack: cause instanceof Error ? cause.stack : undefined,
    });

/** Sends results as upstream does: status 200, both keys, errors with upstream's codes. */
const upstreamEnvelope = (callers: WeakMap<Request, GraphqlContext>): Plugin => ({
  onResultProcess({ request, result, setResultProcessor }) {
    if (!isSingle(result)) return;
    const report = reportTo(callers.get(request));
    const errors = result.errors?.map((error) => toClientError(error, report)) ?? null;
    setResultProcessor(
      () => Response.json({ data: result.data ?? null, errors }),
      'application/json',
    );
  },
});

/** The schema of all modules together. @throws Error when they don't fit each other. */
export function mergeModules(modules: readonly SchemaPart[]): GraphQLSchema {
  const all: readonly SchemaPart[] = [baseGraphql, ...modules];
  return createSchema<GraphqlContext>({
    typeDefs: all.map(({ typeDefs }) => typeDefs),
    resolvers: all.map(({ resolvers }) => resolvers),
  });
}

/**
 * Prepares the schema and starts following its limits. The Elysia plugin is mounted on an
 * application of its own that never listens: requests reach it only through `handle`, which our
 * authenticated routes call, so that no document goes around them.
 */
export async function createGraphqlEngine(
  ctx: Pick<ManagerContext, 'config'>,
  modules: readonly SchemaPart[],
): Promise<GraphqlEngine> {
  const schema = mergeModules(modules);
  const limits = await GraphqlLimitsSource.open(ctx.config);
  const cache = new DocumentCache(schema, () => limits.current);
  const callers = new WeakMap<Request, GraphqlContext>();
  const app = new Elysia().use(
    yoga({
      schema,
      context: ({ request }) => {
        const context = callers.get(request);
        if (!context) throw new Error('a GraphQL request arrived without its caller');
        return context;
      },
      plugins: [cachedDocuments(cache), upstreamEnvelope(callers)],
      parserCache: false,
      validationCache: false,
      maskedErrors: false,
      multipart: false,
      logging: false,
      graphiql: false,
      landingPage: false,
      // The protocol of graphql-sse, which clients expect of subscriptions.
      legacySse: false,
    }),
  );
  return {
    close: () => limits.close(),
    async handle({ query, variables, operationName }, context) {
      const request = new Request(INNER_URL, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
        body: JSON.stringify({ query, variables, operationName }),
        signal: context.signal,
      });
      callers.set(request, context);
      const response = await app.handle(request);
      if (response.ok) return response;
      throw new Error(`The GraphQL engine answered ${response.status}: ${await response.text()}`);
    },
  };
}
