/** An agent killed in the middle of starting kernels: nothing is lost, left over or doubled. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../common/clock.ts';
import { discoverHostRuntimes } from '../common/images/host-runtimes.ts';
import type { DesiredKernel, KernelSpec } from '../common/protocol/kernel.ts';
import { systemRandom } from '../common/random.ts';
import { generateKeys } from '../common/rpc/signature.ts';
import { ProcessBackend } from './backends/process/process-backend.ts';
import { eventually, testSpec } from './backends/testing/kernels.ts';
import { startAgent } from './main.ts';
import { RecordingManager, silentLog, testSettings } from './testing/fakes.ts';

const KERNELS = 6;
const ROUNDS = 3;
let stateDir = '';
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'agent-kill-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

/** An agent in a process of its own, which prints a line when it reports a running kernel. */
function agentProcess(specs: readonly KernelSpec[]) {
  const from = (path: string) => JSON.stringify(join(import.meta.dir, path));
  const script = `
    import { startAgent } from ${from('main.ts')};
    import { ProcessBackend } from ${from('backends/process/process-backend.ts')};
    import { RecordingManager, silentLog, testSettings } from ${from('testing/fakes.ts')};
    import { systemClock as clock } from ${from('../common/clock.ts')};
    import { systemRandom as random } from ${from('../common/random.ts')};
    import { generateKeys } from ${from('../common/rpc/signature.ts')};
    const [stateDir, specs] = process.argv.slice(1);
    const manager = new RecordingManager();
    manager.desired = JSON.parse(specs).map((spec) => ({ desired: 'running', spec }));
    const heartbeat = manager.heartbeat.bind(manager);
    manager.heartbeat = async (beat) => {
      if (beat.kernels.some(({ state }) => state === 'running')) console.log('running');
      return await heartbeat(beat);
    };
    await startAgent({
      settings: testSettings({ backend: 'process' }),
      backend: new ProcessBackend({ stateDir, clock, log: silentLog, kernelHost: '127.0.0.1' }),
      manager, keys: generateKeys(), stateDir, clock, random, log: silentLog,
    });
  `;
  return Bun.spawn([process.execPath, '-e', script, stateDir, JSON.stringify(specs)], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  });
}

/** The command lines of all processes of this host. */
async function commandLines(): Promise<string> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.join('\n');
}

test('every kernel runs or has ended, and nothing is left when all are ended', async () => {
  const image = (await discoverHostRuntimes()).find(({ aliases }) => aliases.includes('bash'));
  if (!image) throw new Error('bash is not installed');
  const slots = { cpu: '0.1', mem: String(128 * 1024 * 1024) };
  const specs = Array.from({ length: KERNELS }, () => testSpec(image, { slots }));
  for (let round = 0; round < ROUNDS; round += 1) {
    const child = agentProcess(specs);
    // Killed as soon as a kernel is up, with others on their way.
    await child.stdout.getReader().read();
    child.kill('SIGKILL');
    await child.exited;
  }
  const manager = new RecordingManager();
  manager.desired = specs.map((spec): DesiredKernel => ({ desired: 'running', spec }));
  const backend = new ProcessBackend({
    stateDir,
    clock: systemClock,
    log: silentLog,
    kernelHost: '127.0.0.1',
  });
  const agent = await startAgent({
    settings: testSettings({ backend: 'process' }),
    backend,
    manager,
    keys: generateKeys(),
    stateDir,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  const isSettled = async ({ kernelId }: KernelSpec) => {
    if (manager.last(kernelId, 'kernel-terminated')) return true;
    return await agent.api.interrupt({ kernelId }).then(
      () => true,
      () => false,
    );
  };
  await eventually(async () => (await Promise.all(specs.map(isSettled))).every(Boolean));
  for (const { kernelId } of specs) {
    const end = manager.last(kernelId, 'kernel-terminated');
    if (end) expect(end.reason).toMatch(/^(self-terminated|failed-to-)/);
  }
  manager.desired = [];
  await agent.api.sync({
    kernels: specs.map(({ kernelId, sessionId }) => ({
      desired: 'terminated',
      reason: 'user-requested',
      kernelId,
      sessionId,
    })),
  });
  await eventually(() =>
    specs.every(({ kernelId }) => manager.last(kernelId, 'kernel-terminated') !== undefined),
  );
  await eventually(async () => (await backend.list()).length === 0);
  expect(await readdir(join(stateDir, 'kernels'))).toEqual([]);
  await agent.stop();
  const commands = await commandLines();
  for (const { kernelId } of specs) expect(commands).not.toContain(kernelId);
}, 120_000);
