/** How failures of resolvers look to clients. */
import { GraphQLError } from 'graphql';
import type { BackendError } from '../../common/errors.ts';
import { problems } from '../../common/problems.ts';
import { toKnownError } from '../http/known-error.ts';

const INVALID_QUERY_CODE = problems.InvalidAPIParameters.code;

/** A failure in upstream's words. */
export const clientMessage = (error: BackendError): string => {
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
  const known = toKnownError(originalError);
  if (known !== originalError && known.status >= 500)
    onUnexpected(originalError, path?.join('.') ?? '');
  const extensions = { code: problems[known.problem].code };
  return new GraphQLError(clientMessage(known), { ...location, extensions });
}
