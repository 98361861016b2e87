/**
 * Upstream's problem types: HTTP status, slug of the `type` URI, title and error code of each error
 * class that this product raises. Clients match on slug and code, so they are a foreign contract;
 * add a row to its topic in `problems/` when a feature first needs it.
 */
import { accountsProblems } from './problems/accounts.ts';
import { foldersProblems } from './problems/folders.ts';
import { generalProblems } from './problems/general.ts';
import { sessionsProblems } from './problems/sessions.ts';

export const problems = {
  ...generalProblems,
  ...accountsProblems,
  ...sessionsProblems,
  ...foldersProblems,
} as const;

export type ProblemName = keyof typeof problems;

export const isProblemName = (name: string): name is ProblemName => Object.hasOwn(problems, name);
