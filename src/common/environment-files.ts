/** The `env-local-<account>-api.sh` files that point a shell's clients at a cluster. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** An account as a client needs to know it. */
export interface ApiAccount {
  /** admin, domain-admin, user, … */
  readonly name: string;
  readonly email: string;
  readonly role: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** As one word of a shell; plain words stay as they are. */
const quote = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** Writes one file per account into `folder`, readable by the owner only. @returns their paths. */
export function writeEnvironmentFiles(
  folder: string,
  endpoint: string,
  accounts: readonly ApiAccount[],
): string[] {
  return accounts.map((account) => {
    // Names and secrets may come from a fixture: neither a path nor a command may be hidden in them.
    const name = account.name.replace(/[^A-Za-z0-9_.]/g, '');
    const path = join(folder, `env-local-${name}-api.sh`);
    const lines = [
      `# ${`${account.email} (${account.role})`.replace(/[\r\n]+/g, ' ')} on ${endpoint}`,
      `export BACKEND_ENDPOINT=${quote(endpoint)}`,
      'export BACKEND_ENDPOINT_TYPE=api',
      `export BACKEND_ACCESS_KEY=${quote(account.accessKey)}`,
      `export BACKEND_SECRET_KEY=${quote(account.secretKey)}`,
    ];
    // The mode counts for new files only.
    rmSync(path, { force: true });
    writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 });
    return path;
  });
}
