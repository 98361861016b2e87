/** What it means when Docker does not start a container. */
import { DockerError } from '../../../common/docker/engine.ts';
import { BackendError } from '../../../common/errors.ts';
import { asNetworkFailure } from './cluster-networks.ts';

/** As Docker says that it can't bind a host port. */
export const isPortTaken = (error: unknown): boolean =>
  error instanceof BackendError &&
  error.cause instanceof DockerError &&
  /address already in use|port is already allocated/.test(error.cause.message);

/** @returns KernelCreationFailed for what Docker says; anything else as it is. */
export function asCreationFailure(given: unknown): unknown {
  const error = asNetworkFailure(given);
  if (!(error instanceof DockerError)) return error;
  return new BackendError('KernelCreationFailed', `Docker could not start it: ${error.message}.`, {
    cause: error,
  });
}
