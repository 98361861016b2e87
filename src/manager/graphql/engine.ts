/** Runs GraphQL documents against the merged schema of all features. */
import { yoga } from '@elysiajs/graphql-yoga';
import { Elysia } from 'elysia';
import {
  createSourceEventStream,
  type DocumentNode,
  type ExecutionResult,
  execute,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  OperationTypeNode,
  parse,
  specifiedRules,
  validate,
} from 'graphql';
import { createSchema, type Plugin } from 'graphql-yoga';
import { errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { baseGraphql } from './base.ts';
import type { GraphqlCaller, GraphqlContext } from './context.ts';
import { refusedForCost } from './cost.ts';
import { toClientError } from './errors.ts';
import { type GraphqlLimits, GraphqlLimitsSource, limitRules } from './limits.ts';
import type { SchemaPart } from './module.ts';
import { nodePart } from './node.ts';

/** Largest document. Characters; the longest of the WebUI has about 20 000. */
const MAX_DOCUMENT_LENGTH = 256 * 1024;
/** Bounds the work of parsing a hostile document. */
const MAX_TOKENS = 20_000;
/** Everything that reads a document does so recursively; those of the WebUI nest about 15 levels. */
const MAX_NESTING = 200;
const MAX_CACHED_DOCUMENTS = 1000;

/** Everything that reads variables does so recursively; filters nest far less. */
const MAX_VARIABLE_DEPTH = 100;

/** Where the plugin serves inside its own application; nobody outside can name it. */
const INNER_URL = 'http://graphql.internal/graphql';

export interface GraphqlRequest {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>> | null;
  readonly operationName?: string | null;
}

/** What a client is told; both keys are always present. */
export interface GraphqlAnswer {
  readonly data: ExecutionResult['data'] | null;
  readonly errors: readonly GraphQLError[] | null;
}

export interface GraphqlEngine {
  readonly schema: GraphQLSchema;
  /**
   * Answers 200 with a JSON object of `data` and `errors`, both always present. Failures of the
   * document and of resolvers are in `errors`. @throws Error when the engine itself is broken.
   */
  handle(request: GraphqlRequest, caller: GraphqlCaller): Promise<Response>;
  /**
   * The answers of any operation one after another: a single one, or those of a subscription until
   * it ends or the caller's signal aborts. Whoever may not subscribe is told in the first answer.
   */
  stream(
    request: GraphqlRequest,
    caller: GraphqlCaller,
  ): Promise<AsyncGenerator<GraphqlAnswer, void>>;
  close(): Promise<void>;
}

/** How deep the brackets of a document nest, whether or not they match; texts and comments apart. */
function nestingOf(query: string): number {
  const brackets = query.replace(/"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*|[^{}()[\]]/g, '');
  let depth = 0;
  let deepest = 0;
  for (const bracket of brackets) {
    depth += '{(['.includes(bracket) ? 1 : -1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
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
    if (nestingOf(query) > MAX_NESTING) {
      throw new GraphQLError(`The document is nested more than ${MAX_NESTING} levels deep.`);
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

const cachedDocuments = (cache: DocumentCache, limits: () => GraphqlLimits): Plugin => ({
  onParse: ({ setParseFn }) => setParseFn(cache.parse),
  onValidate: ({ setValidationFn }) =>
    setValidationFn((_schema: GraphQLSchema, document: DocumentNode) => cache.validate(document)),
  onExecute({ args, setResultAndStopExecution }) {
    const { document, operationName, variableValues } = args;
    const operation = getOperationAST(document, operationName);
    const refusal = refusedForCost(document, operation, variableValues ?? {}, limits().maxCost);
    if (refusal) setResultAndStopExecution({ errors: [refusal] });
  },
  onSubscribe({ setResultAndStopExecution }) {
    const message =
      "A subscription needs a stream: send 'Accept: text/event-stream', or use a WebSocket.";
    setResultAndStopExecution({ errors: [new GraphQLError(message)] });
  },
});

const isSingle = (result: unknown): result is ExecutionResult =>
  typeof result === 'object' && result !== null && !(Symbol.asyncIterator in result);

/** The result as clients see it: errors have upstream's codes; what they must not see is logged. */
function toAnswer(result: ExecutionResult, caller: GraphqlCaller | undefined): GraphqlAnswer {
  const report = (cause: unknown, path: string): void =>
    caller?.ctx.log.error('a GraphQL field failed unexpectedly', {
      requestId: caller.requestId,
      path,
      error: errorMessage(cause),
      stack: cause instanceof Error ? cause.stack : undefined,
    });
  return {
    data: result.data ?? null,
    errors: result.errors?.map((error) => toClientError(error, report)) ?? null,
  };
}

/** Sends results as upstream does: status 200, both keys, errors with upstream's codes. */
const upstreamEnvelope = (callers: WeakMap<Request, GraphqlCaller>): Plugin => ({
  onResultProcess({ request, result, setResultProcessor }) {
    if (!isSingle(result)) return;
    const answer = toAnswer(result, callers.get(request));
    setResultProcessor(() => Response.json(answer), 'application/json');
  },
});

/** The schema of all modules together. @throws Error when they don't fit each other. */
export function mergeModules(modules: readonly SchemaPart[]): GraphQLSchema {
  const all: readonly SchemaPart[] = [baseGraphql, nodePart(modules), ...modules];
  return createSchema<GraphqlContext>({
    typeDefs: all.map(({ typeDefs }) => typeDefs),
    resolvers: all.map(({ resolvers }) => resolvers),
  });
}

/** The refusal of variables that would exhaust the stack; null when they may be read. */
function refusedForDepth({ variables }: GraphqlRequest): GraphQLError | null {
  let level: unknown[] = Object.values(variables ?? {});
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > MAX_VARIABLE_DEPTH) {
      return new GraphQLError(
        `The variables are nested more than ${MAX_VARIABLE_DEPTH} levels deep.`,
      );
    }
    level = level.flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value) : [],
    );
  }
  return null;
}

async function* only(answer: GraphqlAnswer): AsyncGenerator<GraphqlAnswer, void> {
  yield answer;
}

/** Answers operations without HTTP around them, subscriptions included. */
async function openStream(
  schema: GraphQLSchema,
  cache: DocumentCache,
  limits: () => GraphqlLimits,
  { query, variables, operationName }: GraphqlRequest,
  caller: GraphqlCaller,
): Promise<AsyncGenerator<GraphqlAnswer, void>> {
  /** Made anew for every event: what loaders remember of one is old at the next. */
  const contextNow = (): GraphqlContext => ({ ...caller, limits: limits() });
  const tooDeep = refusedForDepth({ query, variables });
  if (tooDeep) return only(toAnswer({ errors: [tooDeep] }, caller));
  let document: DocumentNode;
  try {
    document = cache.parse(query);
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error;
    return only(toAnswer({ errors: [error] }, caller));
  }
  const invalid = cache.validate(document);
  if (invalid.length > 0) return only(toAnswer({ errors: invalid }, caller));
  const operation = getOperationAST(document, operationName);
  const variableValues = variables ?? {};
  const refusal = refusedForCost(document, operation, variableValues, limits().maxCost);
  if (refusal) return only(toAnswer({ errors: [refusal] }, caller));
  const request = { schema, document, variableValues, operationName };
  if (operation?.operation !== OperationTypeNode.SUBSCRIPTION) {
    return only(toAnswer(await execute({ ...request, contextValue: contextNow() }), caller));
  }
  const events = await createSourceEventStream({ ...request, contextValue: contextNow() });
  if (isSingle(events)) return only(toAnswer(events, caller));
  async function* answers(source: AsyncIterable<unknown>) {
    for await (const rootValue of source) {
      yield toAnswer(await execute({ ...request, rootValue, contextValue: contextNow() }), caller);
    }
  }
  return answers(events);
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
  const source = await GraphqlLimitsSource.open(ctx.config);
  const limits = () => source.current;
  const cache = new DocumentCache(schema, limits);
  const callers = new WeakMap<Request, GraphqlCaller>();
  const app = new Elysia().use(
    yoga({
      schema,
      context: ({ request }): GraphqlContext => {
        const caller = callers.get(request);
        if (!caller) throw new Error('a GraphQL request arrived without its caller');
        return { ...caller, limits: limits() };
      },
      plugins: [cachedDocuments(cache, limits), upstreamEnvelope(callers)],
      parserCache: false,
      validationCache: false,
      maskedErrors: false,
      multipart: false,
      logging: false,
      graphiql: false,
      landingPage: false,
    }),
  );
  return {
    schema,
    close: () => source.close(),
    stream: (request, caller) => openStream(schema, cache, limits, request, caller),
    async handle({ query, variables, operationName }, caller) {
      const tooDeep = refusedForDepth({ query, variables });
      if (tooDeep) return Response.json(toAnswer({ errors: [tooDeep] }, caller));
      const request = new Request(INNER_URL, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
        body: JSON.stringify({ query, variables, operationName }),
        signal: caller.signal,
      });
      callers.set(request, caller);
      const response = await app.handle(request);
      if (response.ok) return response;
      throw new Error(`The GraphQL engine answered ${response.status}: ${await response.text()}`);
    },
  };
}
