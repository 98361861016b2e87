/** The dummy backend: the parts of the conformance suite that make sense, and its configuration. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { systemClock } from '../../../common/clock.ts';
import { UserError } from '../../../common/errors.ts';
import { systemRandom } from '../../../common/random.ts';
import { backendConformance } from '../testing/conformance.ts';
import { testSpec } from '../testing/kernels.ts';
import { dummyConfig, instantDummyConfig, loadDummyConfig, pickDelayMs } from './config.ts';
import { DummyBackend } from './dummy-backend.ts';

const open = (config = instantDummyConfig()) =>
  new DummyBackend({ config, clock: systemClock, random: systemRandom, kernelHost: '127.0.0.1' });

backendConformance(
  'dummy backend',
  async () => ({
    open: () => open(),
    cleanUp: async () => {},
    shellImage: (images) => images[0],
  }),
  { runsCode: false, mountsFolders: false, survivesCrash: false },
);

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dummy-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('an image that is to be pulled is there afterwards; a missing one never', async () => {
  const config = instantDummyConfig();
  config.agent.image['need-to-pull'].push('local/later:1');
  const backend = open(config);
  const [image] = await backend.scanImages();
  if (!image) throw new Error('no image');
  const later = testSpec({ ...image, canonical: 'local/later:1' });
  expect(await backend.hasImage(later)).toBe(false);
  await backend.pullImage(later, new AbortController().signal);
  expect(await backend.hasImage(later)).toBe(true);
  const never = testSpec({ ...image, canonical: 'local/never:1' });
  await expect(backend.pullImage(never, new AbortController().signal)).rejects.toThrow(
    'local/never',
  );
});

test('the file is read, and a mistake in it is named', async () => {
  const path = join(folder, 'agent.dummy.toml');
  await writeFile(
    path,
    '[agent.delay]\nscan-image = [0.5, 1.5]\n[agent.resource.cpu]\nnum-core = 9\n',
  );
  const config = await loadDummyConfig([folder]);
  expect(config.agent.delay['scan-image']).toEqual([0.5, 1.5]);
  expect(config.agent.delay['pull-image']).toBe(1);
  expect(config.agent.resource.cpu['num-core']).toBe(9);
  await writeFile(path, '[agent.delay]\nscan-image = "soon"\n');
  await expect(loadDummyConfig([folder])).rejects.toBeInstanceOf(UserError);
  expect(await loadDummyConfig([join(folder, 'absent')])).toEqual(dummyConfig());
});

test('a picked delay lies in its range', () => {
  fc.assert(
    fc.property(fc.nat(100), fc.nat(100), (least, extra) => {
      const ms = pickDelayMs([least, least + extra], systemRandom);
      expect(ms).toBeGreaterThanOrEqual(least * 1000);
      expect(ms).toBeLessThanOrEqual((least + extra) * 1000);
    }),
  );
});
