/** The files that point a shell's clients at a cluster. */
import { expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeEnvironmentFiles } from './environment-files.ts';

test('one private file per account, with an endpoint that any client can append a path to', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bai-env-'));
  try {
    const account = { email: 'a@example.com', role: 'admin', accessKey: 'AK', secretKey: 'SK' };
    const [path = ''] = writeEnvironmentFiles(folder, 'http://127.0.0.1:8091', [
      { ...account, name: 'domain-admin' },
    ]);
    expect(path).toBe(join(folder, 'env-local-domainadmin-api.sh'));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, 'utf8').split('\n').slice(1)).toEqual([
      'export BACKEND_ENDPOINT=http://127.0.0.1:8091',
      'export BACKEND_ENDPOINT_TYPE=api',
      'export BACKEND_ACCESS_KEY=AK',
      'export BACKEND_SECRET_KEY=SK',
      '',
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
