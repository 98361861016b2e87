/** Start times and idle memory: the program, and the whole cluster, cold and warm. */
import { chmodSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findLocalCluster } from '../../common/local-cluster.ts';
import { ensurePostgresBinaries } from '../../standalone/postgres/binaries.ts';
import { emptyProgram, scratch } from './executable.ts';
import { exec, printTable, processTree, proportionalMemory, sample } from './measure.ts';

const COLD_RUNS = 5;
const WARM_RUNS = 7;
const HELP_RUNS = 30;

const settle = () => Bun.sleep(3000);

export async function run(executable: string): Promise<void> {
  const empty = await emptyProgram();
  const floor = await sample(HELP_RUNS, async () => void (await exec([empty])));
  const help = await sample(HELP_RUNS, async () => void (await exec([executable, '--help'])));

  const base = scratch('start');
  mkdirSync(base, { recursive: true });
  // PostgreSQL's own account must be able to pass through.
  chmodSync(dirname(base), 0o755);
  const env = (index: number) => ({ BACKEND_DATA_DIR: join(base, `cold-${index}`), HOME: base });
  const up = (index: number) => exec([executable, 'up', '--detach', '--quiet'], env(index));
  const down = (index: number) => exec([executable, 'down'], env(index));

  const cold: number[] = [];
  for (let index = 0; index < COLD_RUNS; index += 1) {
    cold.push(...(await sample(1, async () => void (await up(index)))));
    await down(index);
  }
  const warm: number[] = [];
  for (let index = 0; index < WARM_RUNS; index += 1) {
    warm.push(...(await sample(1, async () => void (await up(0)))));
    if (index < WARM_RUNS - 1) await down(0);
  }
  await settle();
  const cluster = findLocalCluster(join(base, 'cold-0', 'default'));
  const idle = proportionalMemory(processTree(cluster?.pid ?? process.pid));
  await down(0);

  printTable('start', [
    {
      what: '--help, compiled',
      samples: help,
      unit: 'ms',
      goal: 60,
      peer: { what: 'empty program', samples: floor },
    },
    {
      what: 'up, cold (initdb included)',
      samples: cold,
      unit: 'ms',
      goal: 3000,
      peer: { what: 'initdb alone', samples: await initdb(base) },
    },
    { what: 'up, warm', samples: warm, unit: 'ms', goal: 1000 },
    {
      what: 'memory of an idle cluster, PostgreSQL included',
      samples: [idle],
      unit: 'MiB',
      goal: 200,
    },
  ]);
}

/** What PostgreSQL itself needs to make a new cluster, as the floor of a cold start. */
async function initdb(base: string): Promise<number[]> {
  const binaries = await ensurePostgresBinaries(join(base, 'floor'));
  const asUser =
    process.getuid?.() === 0
      ? ['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups']
      : [];
  const data = join(base, 'initdb');
  mkdirSync(data, { recursive: true });
  chmodSync(data, 0o777);
  return sample(COLD_RUNS, async (index) => {
    await exec(
      [
        ...asUser,
        join(binaries, 'bin/initdb'),
        '-D',
        join(data, String(index)),
        '--no-sync',
        '--locale=C',
        '-A',
        'trust',
      ],
      { LD_LIBRARY_PATH: join(binaries, 'lib') },
    );
  });
}
