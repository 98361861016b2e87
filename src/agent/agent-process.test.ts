/** An agent on real processes: restarts, batch sessions and file transfers. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { discoverHostRuntimes } from '../common/images/host-runtimes.ts';
import type { DesiredKernel, KernelSpec } from '../common/protocol/kernel.ts';
import { systemRandom } from '../common/random.ts';
import { generateKeys } from '../common/rpc/signature.ts';
import { ProcessBackend } from './backends/process/process-backend.ts';
import { eventually, testSpec } from './backends/testing/kernels.ts';
import { type RunningAgent, startAgent } from './main.ts';
import { RecordingManager, silentLog, testSettings } from './testing/fakes.ts';

const TEST_TIMEOUT_MS = 60_000;
let stateDir = '';
let manager: RecordingManager;
let agent: RunningAgent;

const backend = () =>
  new ProcessBackend({ stateDir, clock: systemClock, log: silentLog, kernelHost: '127.0.0.1' });

const start = () =>
  startAgent({
    settings: testSettings({ backend: 'process' }),
    backend: backend(),
    manager,
    keys: generateKeys(),
    stateDir,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'agent-process-'));
  manager = new RecordingManager();
  agent = await start();
});
afterEach(async () => {
  await agent.stop();
  const cleaner = backend();
  for (const { kernelId } of await cleaner.list()) await cleaner.destroy(kernelId, 0);
  await cleaner.close();
  await rm(stateDir, { recursive: true });
}, TEST_TIMEOUT_MS);

async function newSpec(overrides: Partial<KernelSpec> = {}): Promise<KernelSpec> {
  const image = (await discoverHostRuntimes()).find(({ aliases }) => aliases.includes('bash'));
  if (!image) throw new Error('bash is not installed');
  return testSpec(image, overrides);
}

const run = (spec: KernelSpec): DesiredKernel => ({ desired: 'running', spec });
const ended = (spec: KernelSpec) => manager.last(spec.kernelId, 'kernel-terminated');
const started = (spec: KernelSpec) => manager.last(spec.kernelId, 'kernel-started');
const running = async (spec: KernelSpec) => {
  await agent.api.sync({ kernels: [run(spec)] });
  await eventually(() => started(spec) !== undefined || ended(spec) !== undefined);
  expect(ended(spec)).toBeUndefined();
};

async function query(spec: KernelSpec, code: string): Promise<string> {
  const request = { runId: crypto.randomUUID(), options: {}, waitMs: 2000, eager: true };
  const { kernelId } = spec;
  let slice = await agent.api.execute({ kernelId, request: { ...request, mode: 'query', code } });
  let output = '';
  for (let turn = 0; turn < 100; turn += 1) {
    output += slice.console.map(([kind, text]) => (kind === 'stdout' ? text : '')).join('');
    if (slice.status !== 'continued') break;
    slice = await agent.api.execute({
      kernelId,
      request: { ...request, mode: 'continue', code: '' },
    });
  }
  return output;
}

test(
  'a restarted agent goes on with the kernels it left, state and all',
  async () => {
    const spec = await newSpec();
    await running(spec);
    await query(spec, 'answer=42');
    await agent.stop();
    manager.heartbeats.length = 0;
    agent = await start();
    await eventually(() => manager.heartbeats.at(-1)?.kernels[0]?.state === 'running');
    await eventually(async () =>
      agent.api.interrupt({ kernelId: spec.kernelId }).then(
        () => true,
        () => false,
      ),
    );
    expect(await query(spec, 'echo $answer')).toBe('42\n');
    expect(manager.kinds(spec.kernelId).filter((kind) => kind === 'kernel-started')).toHaveLength(
      1,
    );
  },
  TEST_TIMEOUT_MS,
);

test(
  'a kernel that ended while the agent was away is reported with its exit code',
  async () => {
    const spec = await newSpec();
    await running(spec);
    await agent.stop();
    const outside = backend();
    const runner = await outside
      .connectRunner(spec.kernelId, AbortSignal.timeout(5000))
      .catch(async () => {
        await outside.list();
        return await outside.connectRunner(spec.kernelId, AbortSignal.timeout(5000));
      });
    await runner.call({ op: 'shutdown' });
    await eventually(async () => (await outside.list())[0]?.state === 'exited');
    await outside.close();
    agent = await start();
    await eventually(() => ended(spec) !== undefined);
    expect(ended(spec)).toMatchObject({ reason: 'self-terminated', exitCode: 0 });
  },
  TEST_TIMEOUT_MS,
);

test.each([
  ['echo done; true', null, 'success', 'task-finished', 0],
  ['echo bad >&2; exit 3', null, 'failure', 'task-failed', 3],
  ['sleep 1000', 300, 'failure', 'task-timeout', -2],
] as const)(
  'a batch session runs `%s` and ends',
  async (startupCommand, batchTimeoutMs, result, reason, exitCode) => {
    const spec = await newSpec({ sessionType: 'batch', startupCommand, batchTimeoutMs });
    await running(spec);
    await eventually(() => ended(spec) !== undefined);
    expect(manager.last(spec.kernelId, 'batch-finished')).toMatchObject({
      result,
      reason,
      exitCode,
    });
    expect(ended(spec)?.reason).toBe(reason);
    const expected = /echo (\w+)/.exec(startupCommand)?.[1];
    if (expected) expect(ended(spec)?.logs).toContain(expected);
  },
  TEST_TIMEOUT_MS,
);

test(
  'files travel both ways, larger than one chunk',
  async () => {
    const spec = await newSpec();
    await running(spec);
    const { kernelId } = spec;
    const bytes = Buffer.from(crypto.getRandomValues(new Uint8Array(65_536))).toString('hex');
    const data = Buffer.from(bytes.repeat(20)).toString('base64');
    await agent.api.uploadFile({ kernelId, path: 'deep/file.txt', data });
    await agent.api.uploadFile({ kernelId, path: 'empty.txt', data: '' });
    expect((await agent.api.downloadFile({ kernelId, path: 'deep/file.txt' })).data).toBe(data);
    expect((await agent.api.downloadFile({ kernelId, path: 'empty.txt' })).data).toBe('');
    const listed = await agent.api.listFiles({ kernelId, path: '.' });
    expect(listed.entries.map(({ filename }) => filename)).toEqual(
      expect.arrayContaining(['deep', 'empty.txt']),
    );
    const archive = Buffer.from(
      (await agent.api.downloadArchive({ kernelId, path: 'deep' })).data,
      'base64',
    );
    expect(archive.includes(Buffer.from(bytes.slice(0, 1000)))).toBe(true);
    const outside = agent.api.downloadFile({ kernelId, path: '/etc/passwd' });
    await expect(outside).rejects.toMatchObject({ problem: 'GenericForbidden' });
  },
  TEST_TIMEOUT_MS,
);

test(
  'a kernel whose runner does not come up is reported with the end of its log',
  async () => {
    const spec = await newSpec({
      bootstrapScript: 'echo going down > /proc/$PPID/fd/2; kill -9 $PPID; sleep 5',
    });
    await agent.api.sync({ kernels: [run(spec)] });
    await eventually(() => ended(spec) !== undefined);
    expect(ended(spec)).toMatchObject({ reason: 'failed-to-start', exitCode: 137 });
    expect(ended(spec)?.message).toContain('going down');
    expect(started(spec)).toBeUndefined();
  },
  TEST_TIMEOUT_MS,
);
