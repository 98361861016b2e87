/**
 * The operating-system account PostgreSQL runs under. PostgreSQL refuses to run as root, so root
 * hands it to an unprivileged account; everybody else runs it as themselves.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { UserError } from '../../common/errors.ts';

export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
}

/** Candidates in order of preference: the distribution's own account, then the powerless one. */
const CANDIDATES = ['postgres', 'nobody'];

/**
 * @returns the account to switch to, or null when the present one will do.
 * @throws UserError when root finds no unprivileged account in /etc/passwd.
 */
export function serverAccount(): ServerAccount | null {
  if (process.getuid?.() !== 0) return null;
  const entries = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const candidate of CANDIDATES) {
    const entry = entries.find(([name]) => name === candidate);
    if (entry) return { name: candidate, uid: Number(entry[2]), gid: Number(entry[3]) };
  }
  throw new UserError(
    `PostgreSQL does not run as root, and neither ${CANDIDATES.join(' nor ')} exists here.`,
    {
      hint: 'Run the command as an ordinary user, or add an account: useradd --system postgres',
    },
  );
}

/** Whether the account can enter every folder above `path`, as it must to use files there. */
export function canReach(account: ServerAccount | null, path: string): boolean {
  if (account === null) return true;
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    try {
      const info = statSync(folder);
      const bit = info.uid === account.uid ? 0o100 : info.gid === account.gid ? 0o010 : 0o001;
      if ((info.mode & bit) === 0) return false;
    } catch {
      // A folder that does not exist yet will be made by root with the usual 0755.
    }
    if (folder === dirname(folder)) return true;
  }
}
