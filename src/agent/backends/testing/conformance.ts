/**
 * What every backend must do, as one test suite. A backend's own test file calls it with a way to
 * open the backend; nothing here knows how kernels are run.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noAttachment } from '../../../accelerator/family.ts';
import type { ExecuteSlice } from '../../../common/protocol/execution.ts';
import type { KernelSpec } from '../../../common/protocol/kernel.ts';
import type { AgentImage } from '../../../common/protocol/manager.ts';
import { missingForSsh, sshRun } from '../../../testing/openssh.ts';
import { requireOrSkip } from '../../../testing/services.ts';
import { until } from '../../../testing/until.ts';
import { type Grant, noGrant } from '../../resources/grant.ts';
import type { Backend, KernelExit } from '../backend.ts';
import { deadline, eventually, runCode, testSpec } from './kernels.ts';

/** Until a runner has made its key. */
const KEY_DEADLINE_MS = 20_000;
const TEST_TIMEOUT_MS = 60_000;

export interface ConformanceSetup {
  /**
   * Opens the backend. Called again without closing the first one, it must find the kernels of the
   * first, as after a crash of the agent. */
  open(): Promise<Backend> | Backend;
  /** Removes what is left on the host. */
  cleanUp(): Promise<void>;
  /** An image with a shell as default language. */
  shellImage(images: readonly AgentImage[]): AgentImage | undefined;
}

export interface ConformanceTraits {
  /** Kernels really run code, in files of their own. */
  readonly runsCode: boolean;
  /** Folders can be mounted read-only and anywhere. */
  readonly mountsFolders: boolean;
  /** Kernels outlive the backend object. */
  readonly survivesCrash: boolean;
}

export function backendConformance(
  title: string,
  setUp: () => Promise<ConformanceSetup>,
  traits: ConformanceTraits,
): void {
  describe(title, () => {
    let setup: ConformanceSetup;
    let backend: Backend;
    let image: AgentImage;

    beforeEach(async () => {
      setup = await setUp();
      backend = await setup.open();
      const found = setup.shellImage(await backend.scanImages());
      if (!found) throw new Error('the backend offers no shell image');
      image = found;
    }, TEST_TIMEOUT_MS);

    afterEach(async () => {
      for (const { kernelId } of await backend.list()) await backend.destroy(kernelId, 0);
      await backend.close();
      await setup.cleanUp();
    }, TEST_TIMEOUT_MS);

    const start = async (spec: KernelSpec) => {
      const created = await backend.create(spec, noGrant, deadline());
      return { created, runner: await backend.connectRunner(spec.kernelId, deadline()) };
    };

    test(
      'offers capacity and well-formed images',
      async () => {
        const { cpus, memoryBytes } = await backend.capacity();
        expect(cpus).toBeGreaterThan(0);
        expect(memoryBytes).toBeGreaterThan(0);
        for (const { canonical, digest } of await backend.scanImages()) {
          expect(canonical).toMatch(/^[^\s]+\/[^\s]+:[^\s]+$/);
          expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
        }
        expect(await backend.hasImage(testSpec(image))).toBe(true);
      },
      TEST_TIMEOUT_MS,
    );

    test(
      'creates, lists, connects to and destroys a kernel',
      async () => {
        const spec = testSpec(image);
        const { created, runner } = await start(spec);
        expect(created.containerId).toBeString();
        expect(created.kernelHost).not.toBe('');
        const listed = await backend.list();
        expect(listed).toHaveLength(1);
        expect(listed[0]).toMatchObject({
          kernelId: spec.kernelId,
          sessionId: spec.sessionId,
          state: 'running',
          spec,
          kernelHost: created.kernelHost,
          isolationGaps: created.isolationGaps,
        });
        const status = await runner.call({ op: 'status' });
        expect(Date.parse(status.startedAt)).toBeGreaterThan(0);
        await backend.destroy(spec.kernelId, 2000);
        await runner.closed;
        expect(await backend.list()).toEqual([]);
      },
      TEST_TIMEOUT_MS,
    );

    test(
      'tells what running kernels use, and nothing of others',
      async () => {
        const spec = testSpec(image);
        const { runner } = await start(spec);
        const usages = await backend.usage([spec.kernelId, randomUUID()]);
        expect([...usages.keys()]).toEqual([spec.kernelId]);
        expect(usages.get(spec.kernelId)?.memoryBytes).toBeGreaterThanOrEqual(0);
        await backend.destroy(spec.kernelId, 0);
        await runner.closed;
        expect((await backend.usage([spec.kernelId])).size).toBe(0);
      },
      TEST_TIMEOUT_MS,
    );

    test(
      'destroying twice, or what never was, succeeds',
      async () => {
        const spec = testSpec(image);
        await start(spec);
        await backend.destroy(spec.kernelId, 0);
        expect(await backend.destroy(spec.kernelId, 0)).toBeNull();
        expect(await backend.destroy(randomUUID(), 0)).toBeNull();
      },
      TEST_TIMEOUT_MS,
    );

    test(
      'a kernel that can not be made leaves nothing behind',
      async () => {
        const spec = testSpec(image);
        const missing = { ...spec.image, canonical: 'local/missing:0' };
        const creation = backend.create({ ...spec, image: missing }, noGrant, deadline());
        await expect(creation).rejects.toThrow('local/missing:0');
        await expect(
          backend.create(spec, noGrant, AbortSignal.abort(new Error('gone'))),
        ).rejects.toThrow();
        expect(await backend.list()).toEqual([]);
      },
      TEST_TIMEOUT_MS,
    );

    test(
      'tells when a kernel ends by itself, with its exit code',
      async () => {
        const spec = testSpec(image);
        const exits: KernelExit[] = [];
        backend.onExit((exit) => exits.push(exit));
        const { runner } = await start(spec);
        await runner.call({ op: 'shutdown' });
        await eventually(() => exits.length > 0);
        expect(exits).toEqual([{ kernelId: spec.kernelId, exitCode: 0 }]);
        expect(await backend.list()).toMatchObject([{ state: 'exited', exitCode: 0 }]);
        expect(await backend.destroy(spec.kernelId, 0)).toBe(0);
      },
      TEST_TIMEOUT_MS,
    );

    test(
      'connecting to a kernel that is not there gives up when asked to',
      async () => {
        const attempt = backend.connectRunner(randomUUID(), AbortSignal.timeout(200));
        await expect(attempt).rejects.toThrow();
      },
      TEST_TIMEOUT_MS,
    );

    if (traits.survivesCrash) crashTests();
    if (traits.runsCode) codeTests();
    if (traits.mountsFolders) folderTests();

    if (traits.mountsFolders) {
      test(
        'a kernel sees the devices it was given, and can not change the record of them',
        async () => {
          const folder = await realpath(await mkdtemp(join(tmpdir(), 'bai-hook-')));
          await chmod(folder, 0o755);
          // No library: programs say so and go on.
          const hook = join(folder, 'libhook.so');
          await writeFile(hook, 'not a library');
          const grant: Grant = {
            allocations: {
              cuda: { 'cuda.shares': { g0: '0.5', g1: '0.5' } },
              mem: { mem: { root: String(256 * 1024 * 1024) } },
            },
            cpuIds: [],
            attachment: {
              ...noAttachment,
              environment: { DEVICES: 'g0,g1' },
              resourceLines: { CUDA_GLOBAL_DEVICE_IDS: '0:g0,1:g1' },
              hooks: [hook],
            },
            environment: { GPU_COUNT: '2', N_GPUS: '2' },
            slotTypes: { 'cuda.shares': 'count', mem: 'bytes' },
          };
          try {
            const spec = testSpec(image, { environ: { DEVICES: 'all', N_GPUS: '7' } });
            await backend.create(spec, grant, deadline());
            const runner = await backend.connectRunner(spec.kernelId, deadline());
            const read = async (code: string) => (await runCode(runner, code)).stdout;
            expect(await read('echo $DEVICES $GPU_COUNT $N_GPUS')).toBe('g0,g1 2 7\n');
            const resources = (await read('cat /home/config/resource.txt')).split('\n');
            expect(resources).toContain('CUDA.SHARES_SHARES=g0:0.5,g1:0.5');
            expect(resources).toContain('MEM_SHARES=root:256m');
            expect(resources).toContain('CUDA_GLOBAL_DEVICE_IDS=0:g0,1:g1');
            expect(await read('cat /home/config/environ.txt')).toContain('\nDEVICES=g0,g1\n');
            expect(await read('echo x > /home/config/environ.txt || echo sealed')).toBe('sealed\n');
            expect(await read('cat $(echo $LD_PRELOAD | cut -d: -f1)')).toBe('not a library');
            const [found] = await backend.list();
            expect(found?.allocations).toEqual(grant.allocations);
          } finally {
            await rm(folder, { recursive: true });
          }
        },
        TEST_TIMEOUT_MS,
      );
    }

    function folderTests(): void {
      let host: string;
      beforeEach(async () => {
        host = await realpath(await mkdtemp(join(tmpdir(), 'bai-folders-')));
        for (const name of ['open', 'fixed', 'fixed/inner']) {
          await mkdir(join(host, name));
          // Kernels may run as another user than the agent.
          await chmod(join(host, name), 0o777);
        }
        await writeFile(join(host, 'fixed', 'inner', 'text'), 'from the host');
        await chmod(host, 0o755);
      });
      afterEach(() => rm(host, { recursive: true, force: true }));

      const mount = (name: string, target: string, readOnly: boolean, subpath = '.') => ({
        ...{ name, root: join(host, name), subpath, target, readOnly },
      });

      test(
        'mounts folders: what is written is in the folder, read-only is read-only',
        async () => {
          const mounts = [
            mount('open', '/home/work/open', false),
            mount('fixed', '/home/work/deep/er', true, 'inner'),
          ];
          const spec = testSpec(image, { mounts });
          const { runner } = await start(spec);
          const written = await runCode(runner, 'echo mine > open/file && cat deep/er/text');
          expect(written).toMatchObject({ stdout: 'from the host' });
          expect(await readFile(join(host, 'open', 'file'), 'utf8')).toBe('mine\n');
          const refused = await runCode(runner, 'echo no > deep/er/text || echo refused');
          expect(refused.stdout).toContain('refused');
          await runCode(runner, 'rm -f deep/er/text; mv deep/er/text deep/er/x; true');
          expect(await readFile(join(host, 'fixed', 'inner', 'text'), 'utf8')).toBe(
            'from the host',
          );
          await backend.destroy(spec.kernelId, 0);
          // Ending a kernel deletes its own files, and nothing of its folders.
          expect(await readdir(join(host, 'open'))).toEqual(['file']);
          expect(await readdir(join(host, 'fixed', 'inner'))).toEqual(['text']);
        },
        TEST_TIMEOUT_MS,
      );

      test(
        'a folder that is gone, or left through a link, is not mounted',
        async () => {
          await symlink('/etc', join(host, 'open', 'link'));
          const create = (changes: object) => {
            const mounts = [{ ...mount('open', '/home/work/open', false), ...changes }];
            return backend.create(testSpec(image, { mounts }), noGrant, deadline());
          };
          await expect(create({ root: join(host, 'gone') })).rejects.toThrow('not there');
          await expect(create({ subpath: 'link' })).rejects.toThrow('leads out');
          await expect(create({ subpath: '../fixed' })).rejects.toThrow('leads out');
          expect(await backend.list()).toEqual([]);
        },
        TEST_TIMEOUT_MS,
      );
    }

    function crashTests(): void {
      test(
        'a new backend adopts running kernels and learns how they end',
        async () => {
          const spec = testSpec(image);
          const { created, runner } = await start(spec);
          runner.close();
          await backend.close();
          backend = await setup.open();
          const exits: KernelExit[] = [];
          backend.onExit((exit) => exits.push(exit));
          expect(await backend.list()).toMatchObject([
            { kernelId: spec.kernelId, state: 'running', spec, containerId: created.containerId },
          ]);
          const again = await backend.connectRunner(spec.kernelId, deadline());
          await again.call({ op: 'shutdown' });
          await eventually(() => exits.length > 0);
          expect(exits[0]?.exitCode).toBe(0);
        },
        TEST_TIMEOUT_MS,
      );

      test(
        'a kernel that ended while no agent was there is listed with its exit code',
        async () => {
          const spec = testSpec(image);
          const { runner } = await start(spec);
          await backend.close();
          await runner.call({ op: 'shutdown' });
          backend = await setup.open();
          await eventually(async () => (await backend.list())[0]?.state === 'exited');
          expect(await backend.list()).toMatchObject([{ state: 'exited', exitCode: 0 }]);
        },
        TEST_TIMEOUT_MS,
      );
    }

    function codeTests(): void {
      test(
        'counts the CPU time, memory and files of a kernel as they grow',
        async () => {
          const spec = testSpec(image);
          const { runner } = await start(spec);
          const look = async () => (await backend.usage([spec.kernelId])).get(spec.kernelId);
          await eventually(async () => typeof (await look())?.scratchBytes === 'number');
          const before = await look();
          await runCode(runner, 'i=0; while [ "$i" -lt 200000 ]; do i=$((i + 1)); done');
          const after = await look();
          expect(after?.cpuUsedMs).toBeGreaterThan((before?.cpuUsedMs ?? 0) + 50);
          expect(after?.memoryBytes).toBeGreaterThan(1024 * 1024);
          expect(after?.memoryLimitBytes ?? 256 * 1024 * 1024).toBe(256 * 1024 * 1024);
        },
        TEST_TIMEOUT_MS,
      );

      test(
        'runs code with the environment given, in /home/work, and keeps its output in the log',
        async () => {
          const spec = testSpec(image);
          const { runner } = await start(spec);
          const { stdout } = await runCode(runner, 'echo "$BACKENDAI_TEST"; echo "$((40 + 2))"');
          expect(stdout).toBe("it's\nset\n42\n");
          await eventually(async () => (await backend.logs(spec.kernelId, 10_000)).includes('42'));
          expect(await backend.logs(spec.kernelId, 2)).toBe('2\n');
          expect(await backend.logs(randomUUID(), 100)).toBe('');
        },
        TEST_TIMEOUT_MS,
      );

      test.each([
        ['query', { code: 'echo begun; sleep 600' }],
        ['batch', { code: '', options: { exec: 'echo begun; sleep 600' } }],
      ] as const)(
        'a silent program does not keep the session from answering (%s)',
        async (mode, program) => {
          const { runner } = await start(testSpec(image));
          const runId = randomUUID();
          const common = { runId, options: {}, waitMs: 2000, eager: true };
          const slice = await runner.call({
            op: 'execute',
            request: { ...common, mode, ...program },
          });
          const output = [...slice.console];
          const next = async (): Promise<ExecuteSlice> => {
            const request = { ...common, mode: 'continue', code: '' } as const;
            const more = await runner.call({ op: 'execute', request });
            output.push(...more.console);
            return more;
          };
          const hasBegun = () => JSON.stringify(output).includes('begun');
          await eventually(async () => {
            if (!hasBegun()) await next();
            return hasBegun();
          });
          // With the program silent, a call that waits for its output does not hold up the others.
          const waiting = next();
          expect((await runner.call({ op: 'status' })).languages).toContain('shell');
          expect((await runner.call({ op: 'list-files', path: '.' })).errors).toBe('');
          const completion = { code: 'ech', options: {} };
          const { suggestions } = await runner.call({ op: 'complete', request: completion });
          expect(suggestions).toBeArray();
          expect((await waiting).status).toBe('continued');
          await runner.call({ op: 'interrupt' });
          await eventually(async () => (await next()).status === 'finished');
        },
        TEST_TIMEOUT_MS,
      );

      test(
        'runs the bootstrap script before the first code',
        async () => {
          const spec = testSpec(image, { bootstrapScript: 'echo booted > booted.txt' });
          const { runner } = await start(spec);
          expect((await runCode(runner, 'cat booted.txt')).stdout).toBe('booted\n');
        },
        TEST_TIMEOUT_MS,
      );

      test(
        'dotfiles lie in the home folder, with their modes, before the bootstrap script runs',
        async () => {
          const spec = testSpec(image, {
            bootstrapScript: 'cat .greeting > seen.txt',
            dotfiles: [
              { path: '.greeting', mode: 0o600, data: 'héllo\n' },
              { path: '.deep/er/run.sh', mode: 0o755, data: '#!/bin/sh\necho ran\n' },
            ],
          });
          const { runner } = await start(spec);
          expect((await runCode(runner, 'cat seen.txt')).stdout).toBe('héllo\n');
          const listed = await runCode(runner, 'ls -ln .greeting .deep/er/run.sh | cut -c1-10');
          expect(listed.stdout).toBe('-rwxr-xr-x\n-rw-------\n');
          expect((await runCode(runner, './.deep/er/run.sh')).stdout).toBe('ran\n');
          const changed = 'echo more >> .greeting && touch .deep/er/new && echo done';
          expect((await runCode(runner, changed)).stdout).toBe('done\n');
        },
        TEST_TIMEOUT_MS,
      );

      test.skipIf(!requireOrSkip(missingForSsh()))(
        'an SSH client comes in by the key in the home folder, and gets a terminal',
        async () => {
          const { created, runner } = await start(testSpec(image));
          const port = created.servicePorts.find(({ name }) => name === 'sshd')?.host_ports[0];
          const key = await until(
            () =>
              runner.call({ op: 'read-file', path: 'id_container', offset: 0 }).catch(() => null),
            'there is a key',
            KEY_DEADLINE_MS,
          );
          const folder = await mkdtemp(join(tmpdir(), 'ssh-key-'));
          try {
            await writeFile(join(folder, 'id_container'), Buffer.from(key.data, 'base64'), {
              mode: 0o600,
            });
            const target = { keyFolder: folder, to: port ?? 0 };
            const done = await sshRun(target, ['-tt', 'test -t 1; echo $? $HOME $BACKENDAI_TEST']);
            expect(done).toMatchObject({ exitCode: 0 });
            expect(done.stdout).toMatch(/^0 \/\S+ it's set\r\n$/);
          } finally {
            await rm(folder, { recursive: true, force: true });
          }
        },
        TEST_TIMEOUT_MS,
      );

      test(
        'kernels do not see each other',
        async () => {
          const [first, second] = [testSpec(image), testSpec(image)];
          const one = (await start(first)).runner;
          const two = (await start(second)).runner;
          await runCode(one, 'echo private > mine.txt; echo private > "$TMPDIR/mine.txt"');
          const seen = await runCode(two, 'ls; ls "$TMPDIR"; ls -a "$HOME"');
          expect(seen.stdout).not.toContain('mine.txt');
          expect((await runCode(one, 'cat mine.txt')).stdout).toBe('private\n');
        },
        TEST_TIMEOUT_MS,
      );
    }
  });
}
