/** `ag health check` and `ag config generate-sample`. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommands } from '../../testing/commands.ts';
import { agCommands } from './index.ts';

setDefaultTimeout(60_000);

const folder = mkdtempSync(join(tmpdir(), 'ag-checks-'));
afterAll(() => rmSync(folder, { recursive: true }));

const ag = (...argv: string[]) => runCommands(agCommands, folder, argv);
const configure = (managerAddr: string) =>
  writeFileSync(
    join(folder, 'agent.toml'),
    `[agent]\nbackend = "dummy"\nid = "i-ag"\nmanager-addr = "${managerAddr}"\n` +
      'manager-public-key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"\n',
  );

test('health check: the manager and the backend', async () => {
  const status = { code: 200 };
  const manager = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: () => new Response('{}', { status: status.code }),
  });
  try {
    configure(manager.url.host);
    const healthy = await ag('health', 'check', '--no-timestamps');
    expect(healthy.stdout).toContain('▶ manager\n  ✓ manager\n\n▶ backend\n  ✓ dummy\n');
    expect(healthy.code).toBe(0);
    status.code = 503;
    const ill = await ag('dependencies', 'verify', '--no-timestamps');
    expect(ill.code).toBe(1);
    expect(ill.stdout).toContain('/health answers 503.');
  } finally {
    await manager.stop(true);
  }
  const away = await ag('health', 'check', '--no-timestamps');
  expect(away.code).toBe(1);
  expect(away.stdout).toMatch(/✗ manager - http:\/\/127\.0\.0\.1:\d+ does not answer\./);
  const loud = await ag('health', 'check', '--log-level', 'loud');
  expect(loud).toMatchObject({ code: 2, stderr: expect.stringContaining("'loud' is not a log") });
});

test('config generate-sample', async () => {
  expect((await ag('config', 'generate-sample')).code).toBe(0);
  const text = readFileSync(join(folder, 'configs/agent/sample.toml'), 'utf8');
  expect(text).toContain('addr = "127.0.0.1:2379"');
});
