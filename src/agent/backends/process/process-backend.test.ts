/** The process backend: the conformance suite in every kind of sandbox, and what is special to it. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../common/clock.ts';
import type { Logger } from '../../../common/logger.ts';
import type { AgentImage } from '../../../common/protocol/manager.ts';
import { noGrant } from '../../resources/grant.ts';
import type { RunnerClient } from '../backend.ts';
import { backendConformance } from '../testing/conformance.ts';
import { eventually, runCode, testSpec } from '../testing/kernels.ts';
import { prepareCgroups } from './cgroup.ts';
import { clearOrphans } from './orphans.ts';
import { ProcessBackend, type ProcessBackendOptions } from './process-backend.ts';
import type { SandboxKind } from './sandbox-plan.ts';

const silent: Logger = {
  trace() {},
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silent,
};

const shellImage = (images: readonly AgentImage[]) =>
  images.find((image) => image.aliases.includes('bash'));

async function makeSetup(options: Partial<ProcessBackendOptions>) {
  const stateDir = await mkdtemp(join(tmpdir(), 'process-backend-'));
  return {
    stateDir,
    open: () =>
      new ProcessBackend({
        stateDir,
        clock: systemClock,
        log: silent,
        kernelHost: '127.0.0.1',
        ...options,
      }),
    cleanUp: () => rm(stateDir, { recursive: true, force: true }),
    shellImage,
  };
}

/** Whether a kind of sandbox can be built here; CI machines must offer all of them. */
async function works(sandbox: SandboxKind): Promise<boolean> {
  const { open, cleanUp, stateDir } = await makeSetup({ sandbox });
  const backend = open();
  try {
    const image = shellImage(await backend.scanImages());
    if (!image) throw new Error('bash is not installed');
    const spec = testSpec(image);
    await backend.create(spec, noGrant, AbortSignal.timeout(10_000));
    await backend.destroy(spec.kernelId, 0);
    return true;
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    console.log(`skipped: no ${sandbox} sandbox in ${stateDir}: ${error}`);
    return false;
  } finally {
    await backend.close();
    await cleanUp();
  }
}

const kinds: readonly SandboxKind[] = ['bubblewrap', 'unshare', 'none'];
const usable = new Map<SandboxKind, boolean>();
for (const kind of kinds) usable.set(kind, await works(kind));

for (const sandbox of kinds.filter((kind) => usable.get(kind))) {
  backendConformance(`process backend, sandbox ${sandbox}`, () => makeSetup({ sandbox }), {
    runsCode: true,
    mountsFolders: sandbox !== 'none',
    survivesCrash: true,
  });
}
backendConformance(
  'process backend without control groups',
  () => makeSetup({ useCgroups: false }),
  {
    runsCode: true,
    mountsFolders: false,
    survivesCrash: true,
  },
);

const isolated = kinds.filter((kind) => kind !== 'none' && usable.get(kind));

describe.each(isolated)('isolation by %s', (sandbox) => {
  let setup: Awaited<ReturnType<typeof makeSetup>>;
  let backend: ProcessBackend;
  let runner: RunnerClient;
  let secretFolder: string;
  let kernelId: string;

  beforeEach(async () => {
    secretFolder = await mkdtemp(join(homedir(), '.secret-'));
    await writeFile(join(secretFolder, 'key'), 'hidden');
    setup = await makeSetup({ sandbox });
    backend = setup.open();
    const image = shellImage(await backend.scanImages());
    if (!image) throw new Error('bash is not installed');
    const spec = testSpec(image);
    kernelId = spec.kernelId;
    await backend.create(spec, noGrant, AbortSignal.timeout(10_000));
    runner = await backend.connectRunner(kernelId, AbortSignal.timeout(10_000));
  });

  afterEach(async () => {
    await backend.destroy(kernelId, 0);
    await backend.close();
    await setup.cleanUp();
    await rm(secretFolder, { recursive: true });
  });

  const shell = async (code: string) => await runCode(runner, code);

  test('homes, the state folder and root-only files can not be read', async () => {
    const paths = [
      join(secretFolder, 'key'),
      join(setup.stateDir, 'kernels', kernelId, 'kernel.json'),
    ];
    for (const path of paths) {
      expect((await stat(path)).isFile()).toBe(true);
      expect((await shell(`cat ${path} || echo refused`)).stdout).toBe('refused\n');
    }
    expect((await shell('cat /etc/shadow')).stdout).toBe('');
    expect((await shell('ls /home')).stdout).toBe('config\nwork\n');
    expect((await shell('ls /var')).stdout).toBe('tmp\n');
  });

  test('the host is read-only and its processes are out of sight', async () => {
    for (const path of ['/x', '/etc/x', '/usr/x', '/home/x', '/run/x', '/etc/passwd']) {
      expect((await shell(`echo x > ${path} && echo written`)).stdout).toBe('');
    }
    expect((await shell('cat /proc/[0-9]*/environ')).stdout).not.toContain('PYENV_ROOT');
    const { stdout } = await shell('ls -d /proc/[0-9]* | wc -l');
    expect(Number(stdout)).toBeLessThan(15);
    expect((await shell(`kill -0 ${process.pid} && echo reached`)).stdout).toBe('');
  });

  test('mounts and the host name can not be changed', async () => {
    const attempts = ['mount -o remount,rw /usr', 'umount -l /etc', 'hostname other'];
    for (const attempt of attempts) {
      expect((await shell(`${attempt} && echo done`)).stdout).toBe('');
    }
    expect((await shell('uname -n; id -un; id -u; pwd')).stdout).toBe(
      'main1\nwork\n1000\n/home/work\n',
    );
  });

  test('settings of the host can not be changed, even by a kernel of root’s agent', async () => {
    // The same value as before, so that the host stays as it is should the protection fail.
    const path = '/proc/sys/kernel/core_pattern';
    expect((await shell(`cat ${path}`)).stdout).toBe(await readFile(path, 'utf8'));
    const { stdout } = await shell(`(v=$(cat ${path}); echo "$v" > ${path}) && echo written`);
    expect(stdout).toBe('');
  });

  test('files written below /home/work and /tmp stay the kernel’s own', async () => {
    await shell(
      'echo mine > a.txt; echo temporary > /tmp/b.txt; mkdir -p locked/x; chmod 000 locked',
    );
    const folder = join(setup.stateDir, 'kernels', kernelId);
    expect(await readFile(join(folder, 'work', 'a.txt'), 'utf8')).toBe('mine\n');
    expect(await readFile(join(folder, 'tmp', 'b.txt'), 'utf8')).toBe('temporary\n');
    await backend.destroy(kernelId, 0);
    expect(await readdir(join(setup.stateDir, 'kernels'))).toEqual([]);
    expect(await readdir(join(setup.stateDir, 'trash'))).toEqual([]);
  });

  test('an endless output does not fill the disk', async () => {
    const runId = crypto.randomUUID();
    const request = { runId, options: {}, waitMs: 50, eager: true };
    const code = 'yes 0123456789012345678901234567890123456789';
    await runner.call({ op: 'execute', request: { ...request, mode: 'query', code } });
    const folder = join(setup.stateDir, 'kernels', kernelId);
    const turn = () =>
      runner.call({ op: 'execute', request: { ...request, mode: 'continue', code: '' } });
    await eventually(async () => {
      await turn();
      const turnedOver = await stat(join(folder, 'log.1')).catch(() => null);
      return turnedOver !== null;
    });
    for (const name of ['log', 'log.1']) {
      const size = (await stat(join(folder, name)).catch(() => null))?.size ?? 0;
      expect(size).toBeLessThanOrEqual(512 * 10_240);
    }
  }, 60_000);
});

test.each([true, false])(
  'memory beyond the slot is refused, control groups: %p',
  async (useCgroups) => {
    const setup = await makeSetup({ useCgroups });
    const backend = setup.open();
    const image = shellImage(await backend.scanImages());
    if (!image) throw new Error('bash is not installed');
    const spec = testSpec(image, { slots: { cpu: '1', mem: String(128 * 1024 * 1024) } });
    try {
      const { isolationGaps } = await backend.create(
        spec,
        { ...noGrant, cpuIds: [0] },
        AbortSignal.timeout(10_000),
      );
      expect(isolationGaps.length).toBeGreaterThan(useCgroups ? 0 : 4);
      const runner = await backend.connectRunner(spec.kernelId, AbortSignal.timeout(10_000));
      // `tail` keeps what it may have to print in memory.
      const hungry = 'head -c 900000000 /dev/zero | tail -c 850000000 | wc -c';
      const { stdout } = await runCode(runner, hungry);
      expect(Number(stdout)).toBeLessThan(850_000_000);
      expect((await runCode(runner, 'grep Cpus_allowed_list /proc/self/status')).stdout).toMatch(
        /\t0\n/,
      );
    } finally {
      await backend.destroy(spec.kernelId, 0);
      await backend.close();
      await setup.cleanUp();
    }
  },
  60_000,
);

test('a kernel whose folder was deleted under it is ended; what may be in use stays', async () => {
  const hierarchy = await prepareCgroups();
  const parent = hierarchy?.folders.get('pids');
  if (!parent) {
    expect(process.env.CI).not.toBe('true');
    console.log('skipped: control groups are not writable');
    return;
  }
  const setup = await makeSetup({});
  const kernels = join(setup.stateDir, 'kernels');
  const backend = setup.open();
  const image = shellImage(await backend.scanImages());
  if (!image) throw new Error('bash is not installed');
  const spec = testSpec(image);
  await backend.create(spec, noGrant, AbortSignal.timeout(10_000));
  const runner = await backend.connectRunner(spec.kernelId, AbortSignal.timeout(10_000));
  expect(await clearOrphans(kernels, hierarchy, systemClock)).not.toContain(spec.kernelId);
  const empty = join(parent, crypto.randomUUID());
  await mkdir(empty);
  await clearOrphans(kernels, hierarchy, systemClock);
  expect((await stat(empty)).isDirectory()).toBe(true);
  await rmdir(empty);
  await setup.cleanUp();
  const elsewhere = join(setup.stateDir, 'other', 'kernels');
  expect(await clearOrphans(elsewhere, hierarchy, systemClock)).not.toContain(spec.kernelId);
  expect(await clearOrphans(kernels, hierarchy, systemClock)).toContain(spec.kernelId);
  await runner.closed;
  await expect(stat(join(parent, spec.kernelId))).rejects.toThrow('ENOENT');
  await backend.close();
}, 60_000);

test('a sandbox that can not be built is named', async () => {
  const setup = await makeSetup({ sandbox: 'bubblewrap' });
  const path = process.env.PATH;
  const backend = setup.open();
  try {
    const image = shellImage(await backend.scanImages());
    if (!image) throw new Error('bash is not installed');
    const folder = join(setup.stateDir, 'bin');
    await mkdir(folder);
    await symlink('/bin/bash', join(folder, 'bash'));
    process.env.PATH = folder;
    const creation = backend.create(testSpec(image), noGrant, AbortSignal.timeout(10_000));
    await expect(creation).rejects.toThrow('bubblewrap');
  } finally {
    process.env.PATH = path;
    await backend.close();
    await setup.cleanUp();
  }
});

const TOOLS = ['unshare', 'mount', 'umount', 'mkdir', 'hostname', 'pivot_root', 'sh', 'bash'];

test.skipIf(!usable.get('unshare'))(
  'the unshare sandbox finds its tools when PATH names only folders that it hides',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tools-'));
    const path = process.env.PATH;
    for (const tool of TOOLS) {
      const found = Bun.which(tool);
      if (found) await symlink(found, join(folder, tool));
    }
    try {
      process.env.PATH = folder;
      expect(await works('unshare')).toBe(true);
    } finally {
      process.env.PATH = path;
      await rm(folder, { recursive: true });
    }
  },
);
