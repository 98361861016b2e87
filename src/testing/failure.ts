/** Failures that a test expects. */
import { BackendError } from '../common/errors.ts';

/** The BackendError with which `work` fails. @throws when it succeeds or fails with something else. */
export async function failure(work: Promise<unknown>): Promise<BackendError> {
  const error = await work.then(
    () => null,
    (thrown) => thrown,
  );
  if (error instanceof BackendError) return error;
  throw new Error(`expected a BackendError, got ${error}`);
}
