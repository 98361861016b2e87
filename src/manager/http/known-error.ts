/** What clients are told of a failure that no operation expected. */
import { BackendError, errorCode } from '../../common/errors.ts';
import { isDatabaseAway } from '../db/errors.ts';

/** A statement ran into its time limit, or waited too long for a lock. */
const TOOK_TOO_LONG = /^(57014|55P03)$/;

/**
 * Data that no column can hold: a NUL character, a number out of range, text that is too long or no id.
 * Features check what they know about; this is for what they let through to a query.
 */
const UNFIT_DATA = /^(22001|22003|22007|22008|22021|22P0[235])$/;

/** The failure that a client is told of: the database's as such, others as an internal error. */
export function toKnownError(error: unknown): BackendError {
  if (error instanceof BackendError) return error;
  const code = errorCode(error);
  if (isDatabaseAway(error)) {
    const message = 'The database cannot be reached at present. Try again later.';
    return new BackendError('DatabaseError', message, { cause: error });
  }
  if (TOOK_TOO_LONG.test(code)) {
    const message = 'The database took too long. Ask for less at once, or try again later.';
    return new BackendError('DatabaseError', message, { cause: error });
  }
  if (error instanceof Error && UNFIT_DATA.test(code)) {
    return new BackendError('InvalidAPIParameters', `${error.message}.`, { cause: error });
  }
  return new BackendError('InternalServerError', undefined, { cause: error });
}
