/** The docker backend on a real daemon, held to what every backend must do. */
import { afterAll } from 'bun:test';
import { sharedDocker } from '../../../testing/docker.ts';
import { importTestImage } from '../../../testing/images.ts';
import { backendConformance } from '../testing/conformance.ts';
import { canRunDocker, makeDockerSetup } from './testing/setup.ts';

if (canRunDocker()) {
  const daemon = await sharedDocker();
  afterAll(() => daemon.stop(), 60_000);
  await importTestImage(daemon.socketPath, 'bare');
  backendConformance('docker backend', () => makeDockerSetup(daemon.socketPath), {
    runsCode: true,
    mountsFolders: true,
    survivesCrash: true,
  });
}
