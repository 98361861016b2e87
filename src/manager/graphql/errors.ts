/** How failures of resolvers look to clients. */
import { GraphQLError } from 'graphql';
import { BackendError } from '../../common/errors.ts';
import { problems } from '../../common/problems.ts';

const INVALID_QUERY_CODE = problems.InvalidAPIParameters.code;

const messageOf = (error: BackendError): string => {
  const { title, msg, data } = error.toDocument();
  const first = msg === undefined ? title : `${title} (${msg})`;
  return data === undefined ? first : `${first}\n -> extra_data: ${JSON.stringify(data)}`;
};

/**
 * The error as clients see it: upstream's title, message and code. A failure that is nobody's
 * expected answer is told to `onUnexpected` and hidden.
 */
export function toClientError(
  error: GraphQLError,
  onUnexpected: (cause: unknown, path: string) => void,
): GraphQLError {
  const { nodes, source, positions, path, originalError } = error;
  const location = { nodes, source, positions, path };
  if (originalError === undefined || originalError instanceof GraphQLError) {
    const extensions = { code: INVALID_QUERY_CODE };
    return new GraphQLError(error.message, { ...location, extensions });
  }
  if (originalError instanceof BackendError) {
    const extensions = { code: problems[originalError.problem].code };
    return new GraphQLError(messageOf(originalError), { ...location, extensions });
  }
  onUnexpected(originalError, path?.join('.') ?? '');
  const { title, code } = problems.InternalServerError;
  return new GraphQLError(title, { ...location, extensions: { code } });
}
