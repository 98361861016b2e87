/** `web health check` and `web config generate-sample`. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommands } from '../../testing/commands.ts';
import { webCommands } from './index.ts';

setDefaultTimeout(60_000);

const folder = mkdtempSync(join(tmpdir(), 'web-checks-'));
afterAll(() => rmSync(folder, { recursive: true }));

const web = (...argv: string[]) => runCommands(webCommands, folder, argv);

test('health check: each manager, and Redis if one is configured', async () => {
  const manager = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('{}') });
  const url = manager.url.origin;
  try {
    writeFileSync(join(folder, 'webserver.conf'), `[api]\nendpoint = "${url}"\n`);
    const healthy = await web('health', 'check', '--no-timestamps');
    expect(healthy.stdout).toContain(`▶ managers\n  ✓ ${url}\n`);
    expect(healthy.code).toBe(0);
    writeFileSync(
      join(folder, 'webserver.conf'),
      `[api]\nendpoint = "${url},http://127.0.0.1:1"\n[session.redis]\naddr = "127.0.0.1:1"\n`,
    );
    const ill = await web('dependencies', 'verify', '--no-timestamps');
    expect(ill.code).toBe(1);
    expect(ill.stdout).toContain(`  ✓ ${url}\n  ✗ http://127.0.0.1:1 - `);
    expect(ill.stdout).toContain('▶ redis\n  ✗ 127.0.0.1:1 - ');
    expect(ill.stdout).toEndWith('2 of the dependencies are missing.\n');
  } finally {
    await manager.stop(true);
  }
});

test('config generate-sample', async () => {
  expect((await web('config', 'generate-sample', '-e', 'prod')).code).toBe(0);
  const text = readFileSync(join(folder, 'configs/webserver/sample.toml'), 'utf8');
  expect(text).toContain('endpoint = "http://127.0.0.1:8080"');
});
