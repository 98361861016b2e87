/** Runs GraphQL documents against the merged schema of all features. */
import { makeExecutableSchema } from '@graphql-tools/schema';
import {
  createSourceEventStream,
  type DocumentNode,
  type ExecutionArgs,
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

const isSingle = (result: unknown): result is ExecutionResult =>
  typeof result === 'object' && result !== null && !(Symbol.asyncIterator in result);

/** The result as clients see it: errors have upstream's codes; what they must not see is logged. */
function toAnswer(result: ExecutionResult, caller: GraphqlCaller): GraphqlAnswer {
  const report = (cause: unknown, path: string): void =>
    caller.ctx.log.error('a GraphQL field failed unexpectedly', {
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

/** The answer as a response. What JSON cannot express is a mistake of a resolver. */
function toResponse(answer: GraphqlAnswer, caller: GraphqlCaller): Response {
  try {
    return Response.json(answer);
  } catch (error) {
    const originalError = error instanceof Error ? error : new Error(String(error));
    const failure = new GraphQLError(originalError.message, { originalError });
    return Response.json(toAnswer({ errors: [failure] }, caller));
  }
}

/** The schema of all modules together. @throws Error when they don't fit each other. */
export function mergeModules(modules: readonly SchemaPart[]): GraphQLSchema {
  const all: readonly SchemaPart[] = [baseGraphql, nodePart(modules), ...modules];
  return makeExecutableSchema<GraphqlContext>({
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

/** An operation that may be executed, or what is wrong with the request. */
type Prepared =
  | { readonly kind: 'refused'; readonly errors: readonly GraphQLError[] }
  | {
      readonly kind: 'operation';
      readonly isSubscription: boolean;
      readonly args: Omit<ExecutionArgs, 'contextValue'>;
    };

/** Answers operations; HTTP, event streams and WebSockets are others' business. */
class Executor {
  readonly #schema: GraphQLSchema;
  readonly #limits: () => GraphqlLimits;
  readonly #documents: DocumentCache;

  constructor(schema: GraphQLSchema, limits: () => GraphqlLimits) {
    this.#schema = schema;
    this.#limits = limits;
    this.#documents = new DocumentCache(schema, limits);
  }

  #prepare({ query, variables, operationName }: GraphqlRequest): Prepared {
    const refused = (...errors: GraphQLError[]): Prepared => ({ kind: 'refused', errors });
    const tooDeep = refusedForDepth({ query, variables });
    if (tooDeep) return refused(tooDeep);
    let document: DocumentNode;
    try {
      document = this.#documents.parse(query);
    } catch (error) {
      if (!(error instanceof GraphQLError)) throw error;
      return refused(error);
    }
    const invalid = this.#documents.validate(document);
    if (invalid.length > 0) return refused(...invalid);
    const operation = getOperationAST(document, operationName);
    const variableValues = variables ?? {};
    const tooCostly = refusedForCost(document, operation, variableValues, this.#limits().maxCost);
    if (tooCostly) return refused(tooCostly);
    return {
      kind: 'operation',
      isSubscription: operation?.operation === OperationTypeNode.SUBSCRIPTION,
      args: { schema: this.#schema, document, variableValues, operationName },
    };
  }

  /** Made anew for every event: what loaders remember of one is old at the next. */
  #contextOf(caller: GraphqlCaller): GraphqlContext {
    return { ...caller, limits: this.#limits() };
  }

  async #run(
    args: Omit<ExecutionArgs, 'contextValue'>,
    caller: GraphqlCaller,
  ): Promise<GraphqlAnswer> {
    return toAnswer(await execute({ ...args, contextValue: this.#contextOf(caller) }), caller);
  }

  /** The answer of a query or mutation. */
  async answer(request: GraphqlRequest, caller: GraphqlCaller): Promise<GraphqlAnswer> {
    const prepared = this.#prepare(request);
    if (prepared.kind === 'refused') return toAnswer(prepared, caller);
    if (!prepared.isSubscription) return this.#run(prepared.args, caller);
    const message =
      "A subscription needs a stream: send 'Accept: text/event-stream', or use a WebSocket.";
    return toAnswer({ errors: [new GraphQLError(message)] }, caller);
  }

  /** The answers of any operation; a subscription has begun when this resolves. */
  async answers(
    request: GraphqlRequest,
    caller: GraphqlCaller,
  ): Promise<AsyncGenerator<GraphqlAnswer, void>> {
    const prepared = this.#prepare(request);
    if (prepared.kind === 'refused') return only(toAnswer(prepared, caller));
    const { args } = prepared;
    if (!prepared.isSubscription) return only(await this.#run(args, caller));
    const events = await createSourceEventStream({
      ...args,
      contextValue: this.#contextOf(caller),
    });
    if (isSingle(events)) return only(toAnswer(events, caller));
    return this.#answersTo(events, args, caller);
  }

  async *#answersTo(
    events: AsyncIterable<unknown>,
    args: Omit<ExecutionArgs, 'contextValue'>,
    caller: GraphqlCaller,
  ): AsyncGenerator<GraphqlAnswer, void> {
    for await (const rootValue of events) yield await this.#run({ ...args, rootValue }, caller);
  }
}

async function* only(answer: GraphqlAnswer): AsyncGenerator<GraphqlAnswer, void> {
  yield answer;
}

/** Prepares the schema and starts following its limits. */
export async function createGraphqlEngine(
  ctx: Pick<ManagerContext, 'config'>,
  modules: readonly SchemaPart[],
): Promise<GraphqlEngine> {
  const source = await GraphqlLimitsSource.open(ctx.config);
  const executor = new Executor(mergeModules(modules), () => source.current);
  return {
    close: () => source.close(),
    handle: async (request, caller) => toResponse(await executor.answer(request, caller), caller),
    stream: (request, caller) => executor.answers(request, caller),
  };
}
