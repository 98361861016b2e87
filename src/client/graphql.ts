/** GraphQL queries and mutations on `/admin/gql`. */
import * as v from 'valibot';
import { ApiError, ConnectionError } from './errors.ts';
import type { HttpClient } from './http.ts';

const PROBLEM_TYPE = 'https://api.backend.ai/probs/graphql-error';

const envelope = v.object({
  data: v.optional(v.nullable(v.unknown())),
  errors: v.optional(
    v.nullable(
      v.array(
        v.object({
          message: v.string(),
          path: v.optional(v.nullable(v.array(v.union([v.string(), v.number()])))),
        }),
      ),
    ),
  ),
});

export class GraphQLApi {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  /**
   * Runs a document and parses its data.
   * @throws ApiError of type graphql-error with the errors as `data` when there are any;
   * ConnectionError when the data has another shape.
   */
  async query<S extends v.GenericSchema>(
    schema: S,
    document: string,
    variables: Readonly<Record<string, unknown>> = {},
  ): Promise<v.InferOutput<S>> {
    const { data, errors } = await this.http.json(envelope, {
      method: 'POST',
      path: '/admin/gql',
      body: { query: document, variables },
    });
    if (errors && errors.length > 0) {
      throw new ApiError(400, 'Bad Request', {
        type: PROBLEM_TYPE,
        title: 'GraphQL-generated error.',
        msg: errors.map((error) => error.message).join('\n'),
        data: errors,
      });
    }
    const parsed = v.safeParse(schema, data);
    if (parsed.success) return parsed.output;
    const [issue] = parsed.issues;
    throw new ConnectionError(
      await this.http.endpoint(),
      `The answer is not what this client understands (${v.getDotPath(issue)}: ${issue.message}).`,
    );
  }

  /** Runs a document with one root field and parses what that answers. @throws as `query`. */
  async field<S extends v.GenericSchema>(
    root: string,
    schema: S,
    document: string,
    variables: Readonly<Record<string, unknown>> = {},
  ): Promise<v.InferOutput<S>> {
    const only = v.pipe(
      v.looseObject({ [root]: v.unknown() }),
      v.transform((data) => data[root]),
      schema,
    );
    return await this.query(only, document, variables);
  }
}
