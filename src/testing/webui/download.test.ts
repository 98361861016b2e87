/** `scripts/download-webui-release.sh` against a local place with releases. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingTool, requireOrSkip } from '../services.ts';

const script = join(import.meta.dir, '../../../scripts/download-webui-release.sh');
const canRun = ['curl', 'unzip', 'python3'].every((tool) => requireOrSkip(missingTool(tool, tool)));

describe.skipIf(!canRun)('download-webui-release.sh', () => {
  let folder: string;
  let server: Bun.Server<undefined>;
  let bundles: Readonly<Record<string, Uint8Array<ArrayBuffer>>>;

  /** An archive with these files. */
  async function archive(...files: string[]): Promise<Uint8Array<ArrayBuffer>> {
    const path = join(folder, 'made.zip');
    const code = `import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as out:
    for name in sys.argv[2:]: out.writestr(name, '<html>' + name)`;
    const made = Bun.spawnSync(['python3', '-c', code, path, ...files]);
    if (!made.success) throw new Error(made.stderr.toString());
    return new Uint8Array(await Bun.file(path).arrayBuffer());
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'bai-webui-'));
    bundles = {
      '/v1.0.0/backend.ai-webui-bundle-1.0.0.zip': await archive('index.html', 'assets/a.js'),
      '/v1.1.0/backend.ai-webui-bundle-1.1.0.zip': await archive('bundle/index.html'),
      '/v1.2.0/backend.ai-webui-bundle-1.2.0.zip': await archive('README'),
      '/v1.3.0/backend.ai-webui-bundle-1.3.0.zip': new TextEncoder().encode('no archive'),
    };
    server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: (request) => {
        const bundle = bundles[new URL(request.url).pathname];
        return bundle ? new Response(bundle) : new Response('', { status: 404 });
      },
    });
  });
  afterAll(async () => {
    await server.stop(true);
    rmSync(folder, { recursive: true, force: true });
  });

  async function download(version: string, into = join(folder, version)) {
    const child = Bun.spawn(['sh', script, version, into], {
      env: { ...process.env, WEBUI_RELEASES: server.url.origin },
      stdout: 'ignore',
      stderr: 'pipe',
    });
    const complaint = await new Response(child.stderr).text();
    return { exitCode: await child.exited, complaint, into };
  }

  test('unpacks a release, its only folder or not', async () => {
    const flat = await download('1.0.0');
    expect(flat.exitCode).toBe(0);
    expect(readFileSync(join(flat.into, 'index.html'), 'utf8')).toBe('<html>index.html');
    expect(existsSync(join(flat.into, 'assets/a.js'))).toBe(true);
    const nested = await download('v1.1.0');
    expect(nested.exitCode).toBe(0);
    expect(existsSync(join(nested.into, 'index.html'))).toBe(true);
  });

  test.each([
    ['9.9.9', 1, 'no such release'],
    ['1.2.0', 1, 'no index.html'],
    ['1.3.0', 1, 'no archive'],
    ['../x', 2, 'usage'],
  ])('%s: says what is wrong and leaves nothing behind', async (version, code, says) => {
    const before = readdirSync(folder);
    const { exitCode, complaint } = await download(version, join(folder, 'refused'));
    expect(exitCode).toBe(code);
    expect(complaint).toContain(says);
    expect(readdirSync(folder)).toEqual(before);
  });

  test('a folder that is not empty is left alone', async () => {
    const into = join(folder, 'full');
    await Bun.write(join(into, 'mine'), '1');
    const { exitCode, complaint } = await download('1.0.0', into);
    expect(exitCode).toBe(1);
    expect(complaint).toContain('not empty');
    expect(readdirSync(into)).toEqual(['mine']);
  });
});
