/** Workers for archives: one that ends, for whatever reason, is told of, and the next order gets another. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../common/clock.ts';
import { readTar } from '../../common/tar.ts';
import { until } from '../../testing/until.ts';
import { ArchiveWorkers } from './workers.ts';

const FILES = 40;
const root = mkdtempSync(join(tmpdir(), 'bai-workers-'));
for (let i = 0; i < FILES; i++)
  writeFileSync(join(root, `file${i}`), Buffer.alloc(200_000, `${i} `));
afterAll(() => rmSync(root, { recursive: true }));

const archive = { root, top: [], names: ['.'], format: 'tar' } as const;

async function namesOf(body: AsyncIterable<Uint8Array>): Promise<string[]> {
  const names: string[] = [];
  const isWhole = await readTar(body, {
    wants({ name }) {
      names.push(name);
      return false;
    },
    file: () => undefined,
  });
  expect(isWhole).toBe(true);
  return names;
}

test('an archive that is being sent when the proxy is stopped breaks off, and that is told', async () => {
  const workers = new ArchiveWorkers(systemClock);
  const told: string[] = [];
  const body = await workers.make('volume1', archive, (error) => told.push(error.message));
  const reader = body.getReader();
  expect((await reader.read()).value?.length).toBeGreaterThan(0);
  workers.stop();
  const rest = async () => {
    while (!(await reader.read()).done);
  };
  await expect(rest()).rejects.toThrow('being stopped');
  expect(told).toEqual(['The storage proxy is being stopped.']);
});

test('a worker with nothing to do ends, and the next archive gets another one', async () => {
  let idle: (() => void) | undefined;
  const clock: Clock = {
    ...systemClock,
    timer(_ms, fn) {
      idle = fn;
      return {
        cancel() {
          idle = undefined;
        },
      };
    },
  };
  const workers = new ArchiveWorkers(clock);
  const broke = (error: Error) => {
    throw error;
  };
  try {
    for (let run = 0; run < 2; run++) {
      const names = await namesOf(await workers.make('volume1', archive, broke));
      expect(names).toHaveLength(FILES);
      expect(idle).toBeDefined();
      idle?.();
    }
    await workers.check('volume1', archive);
    // Bun's `rejects` would not let the worker's answer in.
    const refused = await workers.check('volume1', { ...archive, names: ['none'] }).then(
      () => 'nothing',
      (error: Error) => error.message,
    );
    expect(refused).toContain('no "none"');
  } finally {
    workers.stop();
  }
});

test('an archive that nobody reads to its end makes room for others', async () => {
  const workers = new ArchiveWorkers(systemClock);
  try {
    const bodies = await Promise.all(
      Array.from({ length: 64 }, () => workers.make('volume1', archive, () => {})),
    );
    const refused = await workers.make('volume1', archive, () => {}).catch(String);
    expect(refused).toContain('Try again');
    // Others do not wait for that volume.
    expect(await namesOf(await workers.make('volume2', archive, () => {}))).toHaveLength(FILES);
    await Promise.all(bodies.map((body) => body.cancel()));
    const names = await until(
      () => workers.make('volume1', archive, () => {}).then(namesOf, () => null),
      'there is room for another archive',
    );
    expect(names).toHaveLength(FILES);
  } finally {
    workers.stop();
  }
});
