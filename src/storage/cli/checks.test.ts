/** `storage health check` and `storage config generate-sample`. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommands } from '../../testing/commands.ts';
import { storageCommands } from './index.ts';

setDefaultTimeout(60_000);

const folder = mkdtempSync(join(tmpdir(), 'storage-checks-'));
afterAll(() => rmSync(folder, { recursive: true }));

const storage = (...argv: string[]) => runCommands(storageCommands, folder, argv);

test('a sample that the checks take, and what each volume is', async () => {
  const made = await storage('config', 'generate-sample', '-o', 'storage-proxy.toml');
  expect(made.code).toBe(0);
  const missing = await storage('health', 'check', '--no-timestamps');
  expect(missing.code).toBe(1);
  expect(missing.stdout).toContain('▶ volumes\n  ✗ volume1 - This user cannot use ');
  mkdirSync(join(folder, 'volumes'));
  writeFileSync(join(folder, 'volumes/volume1'), 'no folder');
  const file = await storage('dependencies', 'verify', '--no-timestamps');
  expect(file.stdout).toContain('volume1 is not a folder.');
  rmSync(join(folder, 'volumes/volume1'));
  mkdirSync(join(folder, 'volumes/volume1'));
  const healthy = await storage('health', 'check', '--no-timestamps');
  expect(healthy.stdout).toContain('▶ volumes\n  ✓ volume1\n');
  expect(healthy.code).toBe(0);
});
