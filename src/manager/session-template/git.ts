/** The part of a bootstrap script that clones a template's repository. Pure. */
import { BackendError } from '../../common/errors.ts';
import type { GitSource } from './schema.ts';

/** A word of a shell command that stands for exactly this text. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The address with the account in it. @throws BackendError for one that takes no account. */
function addressOf({ repository, credential }: GitSource): string {
  if (credential === null) return repository;
  const [protocol, rest, ...more] = repository.split('://');
  if (rest === undefined || more.length > 0) {
    throw new BackendError(
      'InvalidAPIParameters',
      `The template's repository '${repository}' takes no credential: it has no '://'.`,
    );
  }
  const account = [credential.username, credential.password].map(encodeURIComponent).join(':');
  return `${protocol}://${account}@${rest}`;
}

/**
 * Shell commands that clone the repository, below the folder where bootstrap scripts run unless
 * `dest_dir` is absolute. Whatever fails says so in the session's log; the session starts all the same.
 */
export function cloneScript(git: GitSource): string {
  const target =
    git.dest_dir || git.repository.replace(/\/+$/, '').split('/').at(-1) || 'repository';
  const branch = git.branch ? ` -b ${quoted(git.branch)}` : '';
  const clone = `git clone${branch} -- ${quoted(addressOf(git))} ${quoted(target)}`;
  if (!git.commit) return `${clone}\n`;
  return `${clone} && git -C ${quoted(target)} checkout --detach ${quoted(git.commit)} --\n`;
}
