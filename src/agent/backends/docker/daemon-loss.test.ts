/** What happens to the docker backend when the daemon is away, crashes, or comes back. */
import { describe, expect, test } from 'bun:test';
import { startTestDocker } from '../../../testing/docker.ts';
import { importTestImage } from '../../../testing/images.ts';
import type { KernelExit } from '../backend.ts';
import { eventually, runCode } from '../testing/kernels.ts';
import { canRunDocker, makeDockerSetup, startKernel } from './testing/setup.ts';

const TIMEOUT_MS = 120_000;

test('without a daemon the message says where it was looked for', async () => {
  const setup = await makeDockerSetup('/nonexistent/docker.sock');
  const backend = setup.open();
  await expect(backend.capacity()).rejects.toThrow(
    "Docker can't be reached at /nonexistent/docker.sock",
  );
  await expect(backend.list()).rejects.toThrow('DOCKER_HOST=unix://');
  await backend.close();
  await setup.cleanUp();
});

describe.skipIf(!canRunDocker())('a daemon that crashes', () => {
  test(
    'ends its kernels; the backend says so, stays alive and goes on when it is back',
    async () => {
      const daemon = await startTestDocker({ ownsRules: false });
      const setup = await makeDockerSetup(daemon.socketPath);
      const backend = setup.open();
      try {
        await importTestImage(daemon.socketPath, 'bare');
        const exits: KernelExit[] = [];
        backend.onExit((exit) => exits.push(exit));
        const doomed = (await startKernel(backend, 'bare')).spec.kernelId;
        const other = (await startKernel(backend, 'bare')).spec.kernelId;
        const images = await backend.scanImages();

        await daemon.kill();
        expect(await backend.scanImages()).toEqual(images);
        await expect(backend.list()).rejects.toThrow("Docker can't be reached");
        await expect(backend.destroy(doomed, 0)).rejects.toThrow("Docker can't be reached");

        await daemon.revive();
        await eventually(() => exits.some(({ kernelId }) => kernelId === other));
        // The daemon stops what it finds running, politely first; so the runner ends as asked.
        expect(exits).toEqual([{ kernelId: other, exitCode: 0 }]);
        for (const id of [doomed, other]) await backend.destroy(id, 0);
        expect(await backend.list()).toEqual([]);

        const next = await startKernel(backend, 'bare');
        expect((await runCode(next.runner, 'echo again')).stdout).toBe('again\n');
        await backend.destroy(next.spec.kernelId, 0);
      } finally {
        await backend.close();
        await daemon.stop();
        await setup.cleanUp();
      }
    },
    TIMEOUT_MS,
  );
});
