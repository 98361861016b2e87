/** Reports of a watcher, as files of every kind. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAbuseReport } from './abuse-report.ts';

const folder = mkdtempSync(join(tmpdir(), 'abuse-'));
afterAll(() => rmSync(folder, { recursive: true }));

const put = (kernelId: string, text: string) =>
  writeFileSync(join(folder, `report.${kernelId}.json`), text);

test('a report, none, no watcher, and what is no report', async () => {
  put('k1', '{"state": "mining"}');
  put('k2', '{"half": ');
  put('k3', `{"x": "${'x'.repeat(1024 * 1024)}"}`);
  expect(await readAbuseReport(folder, 'k1')).toEqual({ state: 'mining' });
  expect(await readAbuseReport(folder, 'k0')).toBeNull();
  expect(await readAbuseReport(null, 'k1')).toBeNull();
  await expect(readAbuseReport(folder, 'k2')).rejects.toThrow('report on kernel k2');
  await expect(readAbuseReport(folder, 'k3')).rejects.toThrow('more than');
});
