/** A release made here and installed from, as its users do: from a folder, and from an address. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { missingTool, requireOrSkip } from '../src/testing/services.ts';

setDefaultTimeout(300_000);
const root = join(import.meta.dir, '..');
const release = join(root, 'dist/release');
const home = mkdtempSync(join(tmpdir(), 'bai-release-'));
const platform = `${process.platform}-${process.arch}`;
const packed = `backend.ai-${platform}.xz`;
const executable = join(home, 'local/bin/backend.ai');
const env = {
  PATH: process.env.PATH ?? '',
  HOME: home,
  LANG: 'C.UTF-8',
  BACKEND_DATA_DIR: join(home, 'data'),
};

async function run(argv: string[], cwd = home, more: Record<string, string> = {}) {
  const child = Bun.spawn(argv, {
    cwd,
    env: { ...env, ...more },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code };
}

const options = ['--mode', 'standalone', '--target-path', join(home, 'local'), '--non-interactive'];

beforeAll(async () => {
  const build = Bun.spawn(
    ['sh', join(root, 'scripts/build.sh'), '--release', '--quick', platform],
    {
      cwd: root,
      stdout: 'ignore',
      stderr: 'inherit',
    },
  );
  expect(await build.exited).toBe(0);
});

afterAll(async () => {
  if (existsSync(executable)) await run([executable, 'down', '--purge']);
  rmSync(home, { recursive: true, force: true });
});

describe('a release', () => {
  test('tells what is in it, with licences and checksums', () => {
    const bill = v.parse(
      v.object({
        specVersion: v.literal('1.6'),
        components: v.array(
          v.looseObject({
            name: v.string(),
            version: v.string(),
            licenses: v.optional(v.array(v.unknown())),
          }),
        ),
      }),
      JSON.parse(readFileSync(join(release, 'backend.ai.cdx.json'), 'utf8')),
    );
    const names = bill.components.map(({ name }) => name);
    expect(names).toContain('bun');
    expect(names).toContain('postgresql');
    expect(names).toContain('react');
    expect(names).not.toContain('typescript');
    expect(bill.components.filter(({ licenses }) => licenses === undefined)).toEqual([]);
  });

  test('a damaged file is refused before it is run', async () => {
    const damaged = mkdtempSync(join(home, 'damaged-'));
    for (const name of ['SHA256SUMS', 'install.sh']) {
      copyFileSync(join(release, name), join(damaged, name));
    }
    writeFileSync(join(damaged, packed), 'something else');
    const { code, stderr } = await run(['sh', join(damaged, 'install.sh'), ...options]);
    expect(stderr).toContain(`${packed} is damaged`);
    expect(code).toBe(1);
    expect(existsSync(executable)).toBe(false);
  });

  /** What install.sh needs, and nothing else. */
  const bareMachine = (
    folder: string,
    more: Readonly<Record<string, string>> = {},
    others: readonly string[] = [],
  ) => {
    mkdirSync(folder);
    const tools = 'sh uname mktemp cp grep sed cut tr gzip chmod rm dirname sha256sum awk df';
    for (const name of [...tools.split(' '), ...others]) {
      symlinkSync(Bun.which(name) ?? '', join(folder, name));
    }
    for (const [name, text] of Object.entries(more)) {
      writeFileSync(join(folder, name), text, { mode: 0o755 });
    }
    return { PATH: folder };
  };
  const dryRun = ['sh', join(release, 'install.sh'), ...options, '--dry-run'];

  test('a machine without xz gets what gzip unpacks', async () => {
    const { code, stdout, stderr } = await run(dryRun, home, bareMachine(join(home, 'bare')));
    expect(stderr).toContain(`fetching backend.ai-${platform}.gz`);
    expect(stderr).not.toContain(packed);
    expect(stdout).toContain('Start the cluster');
    expect(code).toBe(0);
  });

  test('so does one whose xz is too old', async () => {
    const old = { xz: '#!/bin/sh\necho "xz: Unsupported options" >&2\nexit 1\n' };
    const { code, stderr } = await run(dryRun, home, bareMachine(join(home, 'old'), old));
    expect(stderr).toContain(`fetching ${packed}`);
    expect(stderr).toContain(`fetching backend.ai-${platform}.gz`);
    expect(code).toBe(0);
  });

  // Part of every Debian, and of no other system.
  const reasonForDpkg = Bun.which('dpkg-deb') === null ? 'this system has no dpkg-deb' : null;

  test.if(requireOrSkip(reasonForDpkg))(
    'without xz, Debian unpacks the smaller one as it does packages',
    async () => {
      const machine = bareMachine(join(home, 'debian'), {}, ['dpkg-deb', 'wc', 'cat']);
      const { code, stderr } = await run(dryRun, home, machine);
      expect(stderr).toContain(`fetching ${packed}`);
      expect(stderr).not.toContain(`backend.ai-${platform}.gz`);
      expect(code).toBe(0);
    },
  );

  const script = join(release, 'install.sh');

  test('a newer version that is installed is not replaced', async () => {
    mkdirSync(join(home, 'local/bin'), { recursive: true });
    writeFileSync(executable, '#!/bin/sh\necho backend.ai 99.1.0\n', { mode: 0o755 });
    const { code, stdout, stderr } = await run(['sh', script, ...options]);
    expect(stdout + stderr).toContain(
      `${executable} is version 99.1.0, and this program the older`,
    );
    expect(code).toBe(1);
    expect(readFileSync(executable, 'utf8')).toContain('99.1.0');
    rmSync(executable);
  });

  const reasonForBwrap = missingTool('bwrap', 'bubblewrap');

  test.if(requireOrSkip(reasonForBwrap))('a full disk is said to be so', async () => {
    const small = ['--size', String(40 << 20), '--tmpfs', '/mnt'];
    const { code, stderr } = await run(
      ['bwrap', '--dev-bind', '/', '/', ...small, ...dryRun],
      home,
      { TMPDIR: '/mnt' },
    );
    expect(stderr).toMatch(/\/mnt\/backend\.ai-install\.\w+ has only \d+ MB left/);
    expect(stderr).toContain('TMPDIR=');
    expect(code).toBe(1);
  });

  test('is installed by one line, from an address, up to a session that says hello', async () => {
    using server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: (request) => new Response(Bun.file(join(release, new URL(request.url).pathname))),
    });
    const line = `curl -fsSL ${server.url}install.sh | sh -s -- --from ${server.url} ${options.join(' ')} --verbose`;
    const { code, stdout, stderr } = await run(['sh', '-c', line]);
    expect(stderr).toContain('✓ the checksum is right');
    expect(stderr).toContain('  hello world\n');
    expect(stdout).toContain('admin@lablup.com');
    expect(code).toBe(0);
  });

  test('once more from the folder finds everything done', async () => {
    const { code, stderr } = await run(['sh', join(release, 'install.sh'), ...options]);
    expect(stderr).toContain('Start the cluster (was done)');
    expect(code).toBe(0);
  });

  test('what it installed passes the smoke test', async () => {
    const { code, stderr } = await run(['sh', join(root, 'scripts/smoke.sh'), executable]);
    expect(stderr).toContain('✓ all well');
    expect(code).toBe(0);
  });

  test.if(requireOrSkip(reasonForBwrap))(
    'needs nothing of the checkout that it was built in',
    async () => {
      const config = join(home, 'manager.toml');
      const nobody = 'addr = "127.0.0.1:1"\n';
      writeFileSync(config, `[db]\nname = "b"\nuser = "b"\n${nobody}[etcd]\n${nobody}`);
      const hidden = ['--dev-bind', '/', '/', '--tmpfs', join(root, 'node_modules')];
      const command = ['mgr', 'etcd', 'get', 'x', '-f', config];
      const { stderr } = await run(['bwrap', ...hidden, executable, ...command]);
      expect(stderr).toContain('etcd at 127.0.0.1:1 is not available');
    },
  );

  test('is uninstalled without leaving anything', async () => {
    const how = ['--mode', 'maintain', '--action', 'uninstall', '--purge', '--non-interactive'];
    const { code } = await run([
      executable,
      'install',
      ...how,
      '--target-path',
      join(home, 'local'),
    ]);
    expect(code).toBe(0);
    expect(existsSync(executable)).toBe(false);
    expect(existsSync(join(home, 'data/default'))).toBe(false);
  });
});
