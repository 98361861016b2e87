/** Kernels in real containers: images of every kind, isolation, limits, files, ports and ends. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DockerEngine, isMissing } from '../../../common/docker/engine.ts';
import { sharedDocker } from '../../../testing/docker.ts';
import { importTestImage } from '../../../testing/images.ts';
import { REGISTRY_ACCOUNT, startTestRegistry } from '../../../testing/registry.ts';
import { missingTool, requireOrSkip } from '../../../testing/services.ts';
import { noGrant } from '../../resources/grant.ts';
import type { KernelExit, RunnerClient } from '../backend.ts';
import { recordText } from '../record.ts';
import { eventually, runCode, testSpec } from '../testing/kernels.ts';
import type { DockerBackend } from './docker-backend.ts';
import { canRunDocker, deadline, makeDockerSetup, startKernel } from './testing/setup.ts';

const TIMEOUT_MS = 90_000;
const MIB = 1024 * 1024;

const usable = canRunDocker();
const hasRegistry = requireOrSkip(missingTool('docker-registry', 'docker-registry'));
const daemon = usable ? await sharedDocker() : null;
if (daemon) {
  for (const name of ['python', 'musl', 'bare'] as const) {
    await importTestImage(daemon.socketPath, name);
  }
}
afterAll(async () => await daemon?.stop(), TIMEOUT_MS);

/** Runs a command in batch mode to its end. */
async function runBatch(runner: RunnerClient, command: string) {
  const runId = randomUUID();
  const request = { runId, code: '', waitMs: 2000, eager: true };
  const options = { clean: '', build: '', exec: command };
  let slice = await runner.call({ op: 'execute', request: { ...request, options, mode: 'batch' } });
  const items = [...slice.console];
  for (let turn = 0; turn < 500 && slice.status !== 'finished'; turn += 1) {
    slice = await runner.call({
      op: 'execute',
      request: { ...request, options: {}, mode: 'continue' },
    });
    items.push(...slice.console);
  }
  const text = items.map(([, value]) => (typeof value === 'string' ? value : '')).join('');
  return { text, exitCode: slice.exitCode };
}

describe.skipIf(!usable)('docker backend', () => {
  const socketPath = daemon?.socketPath ?? '';
  const engine = new DockerEngine(socketPath);
  let setup: Awaited<ReturnType<typeof makeDockerSetup>>;
  let backend: DockerBackend;

  const open = async (options: Parameters<typeof makeDockerSetup>[1] = {}) => {
    setup = await makeDockerSetup(socketPath, options);
    backend = setup.open();
  };
  const close = () => setup.takeAway(backend);

  beforeEach(() => open(), TIMEOUT_MS);
  afterEach(close, TIMEOUT_MS);

  const start = (alias: string, overrides = {}) => startKernel(backend, alias, overrides);
  const shell = async (runner: RunnerClient, code: string) => (await runCode(runner, code)).stdout;

  test(
    'Python in a glibc image: state between runs, the whole library, its own C library',
    async () => {
      const { runner } = await start('python');
      expect(await shell(runner, 'print("hello world")')).toBe('hello world\n');
      await shell(runner, 'import ssl, sqlite3, lzma, ctypes; answer = 42');
      expect(await shell(runner, 'print(answer)')).toBe('42\n');
      const maps = 'print(open("/proc/self/maps").read().count("/opt/backend.ai/"))';
      expect(await shell(runner, maps)).toBe('0\n');
      const batch = await runBatch(runner, 'python3 -c "print(6 * 7)"');
      expect(batch).toEqual({ text: '42\n', exitCode: 0 });
      expect((await runBatch(runner, 'exit 3')).exitCode).toBe(3);
    },
    TIMEOUT_MS,
  );

  test.each(['musl', 'bare'])(
    'a shell in the image %s, by query and by batch',
    async (alias) => {
      const { runner } = await start(alias);
      expect(await shell(runner, 'echo hello world; x=5')).toBe('hello world\n');
      expect(await shell(runner, 'echo $x')).toBe('5\n');
      expect(await runBatch(runner, 'echo batch; exit 4')).toEqual({
        text: 'batch\n',
        exitCode: 4,
      });
      if (alias === 'musl') expect(await shell(runner, 'hello-musl')).toBe('hello from musl\n');
    },
    TIMEOUT_MS,
  );

  test(
    'user programs are not root, hold no capability and can gain none',
    async () => {
      const { runner } = await start('python');
      const code = 'print(open("/proc/self/status").read())';
      const status = new Map(
        (await shell(runner, code))
          .split('\n')
          .map((line) => line.split(':\t'))
          .map(([name = '', value = '']) => [name, value.trim()]),
      );
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) {
        expect([set, BigInt(`0x${status.get(set)}`) & ~0x804000n]).toEqual([set, 0n]);
      }
      expect(BigInt(`0x${status.get('CapEff')}`)).toBe(0n);
      // IPC_LOCK and SYS_NICE, as upstream leaves them.
      expect(BigInt(`0x${status.get('CapBnd')}`)).toBe(0x804000n);
      expect(status.get('NoNewPrivs')).toBe('1');
      expect(status.get('Seccomp')).toBe('2');
      expect(status.get('Uid')).toStartWith('1000\t');
      expect(await shell(runner, 'import pwd, os; print(pwd.getpwuid(os.getuid()).pw_name)')).toBe(
        'work\n',
      );
    },
    TIMEOUT_MS,
  );

  test(
    'environment, folders and files are as documented, and the host is out of sight',
    async () => {
      const { runner, spec } = await start('python', {
        slots: { cpu: '2', mem: String(256 * MIB) },
      });
      const list = `
import os, json
seen = {name: os.environ.get(name) for name in (
  "HOME", "USER", "OMP_NUM_THREADS", "LOCAL_USER_ID", "BACKENDAI_TEST", "LD_LIBRARY_PATH",
  "BACKENDAI_RUNNER_SOCKET", "PATH")}
print(json.dumps({
  "env": seen, "cwd": os.getcwd(), "host": os.uname().nodename,
  "sockets": [p for p in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(p)],
  "writable": [p for p in ("/home/work", "/tmp", "/home/config", "/opt/backend.ai", "/etc/passwd", "/usr")
               if os.access(p, os.W_OK)],
  "owner": os.stat("/home/work").st_uid,
  "tmp": [l.split()[2] for l in open("/proc/mounts") if l.split()[1] == "/tmp"],
  "pids": [p for p in os.listdir("/proc") if p.isdigit()].__len__() < 20,
  "config": sorted(os.listdir("/home/config")),
}))`;
      const seen = JSON.parse(await shell(runner, list));
      expect(seen).toMatchObject({
        env: {
          HOME: '/home/work',
          USER: 'work',
          OMP_NUM_THREADS: '2',
          LOCAL_USER_ID: '1000',
          BACKENDAI_TEST: spec.environ.BACKENDAI_TEST,
          LD_LIBRARY_PATH: null,
          BACKENDAI_RUNNER_SOCKET: null,
        },
        cwd: '/home/work',
        host: 'main1',
        sockets: [],
        writable: ['/home/work', '/tmp'],
        owner: 1000,
        tmp: ['tmpfs'],
        pids: true,
        config: ['environ.txt', 'resource.txt'],
      });
      const resources = await shell(runner, 'print(open("/home/config/resource.txt").read())');
      expect(resources).toMatch(/^CID=[0-9a-f]{64}$/m);
    },
    TIMEOUT_MS,
  );

  test(
    "the user's variables for loaders and runtimes reach user programs, not the runner",
    async () => {
      const environ = { LD_LIBRARY_PATH: '/nowhere', BUN_BE_BUN: '1', NODE_OPTIONS: '--odd' };
      const { runner } = await start('bare', { environ });
      const text = 'echo "$LD_LIBRARY_PATH $BUN_BE_BUN $NODE_OPTIONS"; env | grep -c RUNNER';
      expect(await shell(runner, text)).toBe('/nowhere 1 --odd\n0\n');
    },
    TIMEOUT_MS,
  );

  test(
    'the program is ended for want of memory, not the session, however small its processes',
    async () => {
      const { runner } = await start('python', { slots: { cpu: '1', mem: String(96 * MIB) } });
      const many = `
import subprocess, sys
code = "x = b'x' * (6 * 1024 * 1024); import time; time.sleep(20)"
all = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(20)]
print(sum(p.wait() != 0 for p in all) > 0)
`;
      const { stdout, last } = await runCode(runner, many);
      expect(last.status).toBe('finished');
      // Either some of its children were killed or the interpreter itself.
      if (last.exitCode === 0) expect(stdout).toBe('True\n');
      expect(await shell(runner, 'print("still here")')).toBe('still here\n');
    },
    TIMEOUT_MS,
  );

  test(
    'memory is limited: the hog is killed and the user told, other sessions go on',
    async () => {
      const [{ runner, spec }, other] = [
        await start('python', { slots: { cpu: '1', mem: String(128 * MIB) } }),
        await start('bare'),
      ];
      const { last, stderr } = await runCode(runner, 'x = b"x" * (1024 * 1024 * 1024)');
      expect(last.status).toBe('finished');
      expect(last.exitCode).not.toBe(0);
      expect(stderr).toContain('SIGKILL');
      expect(await shell(runner, 'print("still here")')).toBe('still here\n');
      expect(await shell(other.runner, 'echo here too')).toBe('here too\n');
      await eventually(async () => await backend.ranOutOfMemory(spec.kernelId));
      expect(await backend.ranOutOfMemory(other.spec.kernelId)).toBe(false);
    },
    TIMEOUT_MS,
  );

  test(
    'processes are limited: a fork bomb ends at the bound',
    async () => {
      await close();
      await open({ pidsLimit: 60 });
      const { runner, containerId } = await start('bare');
      const other = await start('musl');
      const bomb = await runBatch(
        runner,
        'i=0; while [ $i -lt 300 ]; do sleep 30 & i=$((i+1)); done',
      );
      expect(bomb.text).toContain("can't fork");
      const top = await engine.call((docker) => docker.getContainer(containerId).top());
      expect(top.Processes.length).toBeLessThanOrEqual(60);
      expect(await shell(other.runner, 'echo fine')).toBe('fine\n');
    },
    TIMEOUT_MS,
  );

  test(
    'CPU time and pinning are set as granted',
    async () => {
      const image = (await backend.scanImages()).find(({ aliases }) => aliases.includes('bare'));
      if (!image) throw new Error('no image');
      const spec = testSpec(image, { slots: { cpu: '0.5', mem: String(64 * MIB) } });
      const allocations = { cpu: { cpu: { '0': '0.5' } } };
      const { containerId } = await backend.create(
        spec,
        { ...noGrant, cpuIds: [0], allocations },
        deadline(),
      );
      const { HostConfig } = await engine.call((docker) =>
        docker.getContainer(containerId).inspect(),
      );
      expect(HostConfig).toMatchObject({
        NanoCpus: 500_000_000,
        CpusetCpus: '0',
        Memory: 64 * MIB,
        MemorySwap: 64 * MIB,
        CapDrop: ['ALL'],
        Privileged: false,
      });
      expect((await backend.list())[0]?.allocations).toEqual(allocations);
    },
    TIMEOUT_MS,
  );

  test(
    'files go in and out',
    async () => {
      const { runner, spec } = await start('bare');
      const data = Buffer.from('one\ntwo\n').toString('base64');
      await runner.call({ op: 'write-file', path: 'folder/file.txt', offset: 0, data });
      expect(await shell(runner, 'cat folder/file.txt')).toBe('one\ntwo\n');
      await shell(runner, 'echo three >> folder/file.txt');
      const read = await runner.call({ op: 'read-file', path: 'folder/file.txt', offset: 0 });
      expect(Buffer.from(read.data, 'base64').toString()).toBe('one\ntwo\nthree\n');
      const path = join(setup.folder, 'scratches', spec.kernelId, 'work/folder/file.txt');
      expect(await readFile(path, 'utf8')).toBe('one\ntwo\nthree\n');
      expect((await stat(path)).uid).toBe(1000);
    },
    TIMEOUT_MS,
  );

  test(
    'services are reachable on the ports given',
    async () => {
      const image = (await backend.scanImages()).find(({ aliases }) => aliases.includes('python'));
      if (!image) throw new Error('no image');
      const spec = testSpec(image, { preopenPorts: [8080, 9090] });
      const { servicePorts } = await backend.create(spec, noGrant, deadline());
      const runner = await backend.connectRunner(spec.kernelId, deadline());
      await runCode(
        runner,
        'import threading, http.server as h\n' +
          's = h.ThreadingHTTPServer(("0.0.0.0", 8080), h.SimpleHTTPRequestHandler)\n' +
          'threading.Thread(target=s.serve_forever, daemon=True).start()\n' +
          'open("hi.txt", "w").write("from inside")',
      );
      const port = servicePorts.find(({ name }) => name === '8080')?.host_ports[0];
      const reply = await fetch(`http://127.0.0.1:${port}/hi.txt`);
      expect(await reply.text()).toBe('from inside');
      expect((await backend.list())[0]?.servicePorts).toEqual(servicePorts);
    },
    TIMEOUT_MS,
  );

  test(
    'a container killed from outside is told with its exit code',
    async () => {
      const exits: KernelExit[] = [];
      backend.onExit((exit) => exits.push(exit));
      const { spec, containerId, runner } = await start('bare');
      await engine.call((docker) => docker.getContainer(containerId).kill());
      await runner.closed;
      await eventually(() => exits.length > 0);
      expect(exits).toEqual([{ kernelId: spec.kernelId, exitCode: 137 }]);
      expect(await backend.destroy(spec.kernelId, 0)).toBe(137);
    },
    TIMEOUT_MS,
  );

  test(
    'containers whose folder is lost and folders whose container is lost are found and removed',
    async () => {
      const first = await start('bare');
      const second = await start('bare');
      await rm(join(setup.folder, 'scratches', first.spec.kernelId), { recursive: true });
      await engine.call((docker) =>
        docker.getContainer(second.containerId).remove({ force: true }),
      );
      await backend.close();
      backend = setup.open();
      const found = new Map((await backend.list()).map((kernel) => [kernel.kernelId, kernel]));
      expect(found.get(first.spec.kernelId)).toMatchObject({
        state: 'running',
        spec: null,
        sessionId: first.spec.sessionId,
      });
      expect(found.get(second.spec.kernelId)).toMatchObject({ state: 'exited', exitCode: null });
      for (const id of found.keys()) await backend.destroy(id, 1000);
      expect(await backend.list()).toEqual([]);
      const left = await readdir(join(setup.folder, 'scratches'));
      expect(left.filter((name) => !name.startsWith('.'))).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'agents of the same name do not touch the kernels of each other',
    async () => {
      const { spec } = await start('bare');
      const other = await makeDockerSetup(socketPath);
      const namesake = other.open();
      expect(await namesake.list()).toEqual([]);
      expect(await namesake.destroy(spec.kernelId, 0)).toBeNull();
      expect(await backend.list()).toMatchObject([{ state: 'running' }]);
      await namesake.close();
      await other.cleanUp();
    },
    TIMEOUT_MS,
  );

  test(
    'images that come and go are seen at once',
    async () => {
      const aliases = async () => (await backend.scanImages()).flatMap((image) => image.aliases);
      expect(await aliases()).toContain('bare');
      await engine.call((docker) =>
        docker.getImage('testing/bare:1').tag({ repo: 'testing/passing', tag: '2' }),
      );
      const canonical = 'local/testing/passing:2';
      const isListed = async () =>
        (await backend.scanImages()).some((found) => found.canonical === canonical);
      await eventually(isListed);
      const listed = (await backend.scanImages()).find((found) => found.canonical === canonical);
      if (!listed) throw new Error('it was just there');
      expect(await backend.hasImage(testSpec(listed))).toBe(true);
      await engine.call((docker) => docker.getImage('testing/passing:2').remove());
      await eventually(async () => !(await isListed()));
      expect(await backend.hasImage(testSpec(listed))).toBe(false);
    },
    TIMEOUT_MS,
  );

  test(
    'an image that can not be had is refused with the reason',
    async () => {
      const image = (await backend.scanImages())[0];
      if (!image) throw new Error('no image');
      const spec = testSpec(image);
      const named = (canonical: string) => ({ ...spec, image: { ...spec.image, canonical } });
      expect(await backend.hasImage(named('local/nothing:1'))).toBe(false);
      await expect(backend.pullImage(named('local/nothing:1'), deadline())).rejects.toThrow(
        "Build or load it there as 'nothing:1'",
      );
      await expect(
        backend.pullImage(named('127.0.0.1:1/some/image:1'), deadline()),
      ).rejects.toThrow('127.0.0.1:1/some/image:1 could not be pulled');
    },
    TIMEOUT_MS,
  );

  test.skipIf(!hasRegistry)(
    'an image of a closed registry is pulled with the account of that registry, which is not kept',
    async () => {
      const registry = await startTestRegistry();
      const canonical = `${registry.addr}/closed/image:1`;
      const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
      try {
        await registry.push('closed/image', '1', [{ architecture }]);
        const image = (await backend.scanImages())[0];
        if (!image) throw new Error('no image');
        const spec = testSpec(image);
        const as = (registryAccount: typeof spec.image.registryAccount) => ({
          ...spec,
          image: { ...spec.image, canonical, registryAccount },
        });
        await expect(backend.pullImage(as(null), deadline())).rejects.toThrow('may the account');
        const wrong = { ...REGISTRY_ACCOUNT, password: 'wrong' };
        await expect(backend.pullImage(as(wrong), deadline())).rejects.toThrow('may the account');
        await backend.pullImage(as(REGISTRY_ACCOUNT), deadline());
        expect(await backend.hasImage(as(null))).toBe(true);
        const kept = recordText({ spec: as(REGISTRY_ACCOUNT) });
        expect(kept).toContain(canonical);
        expect(kept).not.toContain(REGISTRY_ACCOUNT.password);
      } finally {
        await engine
          .call((docker) => docker.getImage(canonical).remove())
          .catch((error: unknown) => {
            if (!isMissing(error)) throw error;
          });
        await registry.stop();
      }
    },
    TIMEOUT_MS,
  );
});
