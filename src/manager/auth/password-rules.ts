/** What a new password must look like. */
import { BackendError } from '../../common/errors.ts';

const MIN_LENGTH = 8;
/** Longer ones only cost time to hash. */
const MAX_LENGTH = 1024;

/** What is missing, as a sentence for the user; null for an acceptable password. */
export function passwordProblem(password: string): string | null {
  if (password.length < MIN_LENGTH) return `A password needs at least ${MIN_LENGTH} characters.`;
  if (password.length > MAX_LENGTH) return `A password has at most ${MAX_LENGTH} characters.`;
  if (!/\p{L}/u.test(password)) return 'A password needs at least one letter.';
  if (!/\d/.test(password)) return 'A password needs at least one digit.';
  if (!/[^\p{L}\d]/u.test(password)) return 'A password needs at least one special character.';
  return null;
}

/** @throws BackendError RejectedByHook, as clients know it, saying what is missing. */
export function requireGoodPassword(password: string): void {
  const problem = passwordProblem(password);
  if (problem !== null) throw new BackendError('RejectedByHook', problem);
}
