/** The files that point a shell's clients at a cluster. */
import { expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeEnvironmentFiles } from './environment-files.ts';

const account = { email: 'a@example.com', role: 'admin', accessKey: 'AK', secretKey: 'SK' };

test('one private file per account, with an endpoint that any client can append a path to', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bai-env-'));
  try {
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

test('whatever a fixture says, the file is in the folder, private, and only sets variables', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bai-env-'));
  try {
    const name = '../up';
    const secretKey = "'; touch pwned #$(touch pwned)";
    writeFileSync(join(folder, 'env-local-..up-api.sh'), '', { mode: 0o644 });
    const [path = ''] = writeEnvironmentFiles(folder, 'http://h', [
      { ...account, name, email: 'a\ntouch pwned', secretKey },
    ]);
    expect(path).toBe(join(folder, 'env-local-..up-api.sh'));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const shell = Bun.spawnSync(['sh', '-c', `. "${path}"; printf %s "$BACKEND_SECRET_KEY"`], {
      cwd: folder,
    });
    expect(shell.stdout.toString()).toBe(secretKey);
    expect(existsSync(join(folder, 'pwned'))).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
