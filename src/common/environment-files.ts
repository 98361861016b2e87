/** The `env-local-<account>-api.sh` files that point a shell's clients at a cluster. */
import { writeFileSync } from 'node:fs';
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

/** Writes one file per account into `folder`, readable by the owner only. @returns their paths. */
export function writeEnvironmentFiles(
  folder: string,
  endpoint: string,
  accounts: readonly ApiAccount[],
): string[] {
  return accounts.map((account) => {
    const path = join(folder, `env-local-${account.name.replaceAll('-', '')}-api.sh`);
    const lines = [
      `# ${account.email} (${account.role}) on ${endpoint}`,
      `export BACKEND_ENDPOINT=${endpoint}`,
      'export BACKEND_ENDPOINT_TYPE=api',
      `export BACKEND_ACCESS_KEY=${account.accessKey}`,
      `export BACKEND_SECRET_KEY=${account.secretKey}`,
    ];
    writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 });
    return path;
  });
}
