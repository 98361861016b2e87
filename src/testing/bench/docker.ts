/** Sessions on the docker backend, beside `docker run` of the same image on the same daemon. */
import { chmodSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readClientConfig } from '../../client/config.ts';
import { Client } from '../../client/index.ts';
import { findLocalCluster } from '../../common/local-cluster.ts';
import { startTestDocker } from '../docker.ts';
import { importTestImage } from '../images.ts';
import { scratch } from './executable.ts';
import { exec, percentile, printTable, sample } from './measure.ts';

const SESSIONS = 30;
const WARM_UP = 2;
const HELLOS = 10;
const MAX_RATIO = 1.3;

export async function run(executable: string): Promise<void> {
  const base = scratch('docker');
  mkdirSync(base, { recursive: true });
  chmodSync(dirname(base), 0o755);
  const daemon = await startTestDocker();
  try {
    const image = await importTestImage(daemon.socketPath, 'python');
    const env = {
      BACKEND_DATA_DIR: base,
      HOME: base,
      DOCKER_HOST: `unix://${daemon.socketPath}`,
      BACKEND_ENDPOINT: undefined,
      BACKEND_ACCESS_KEY: undefined,
    };
    await exec([executable, 'up', '--detach', '--quiet', '--backend', 'docker'], env);
    try {
      await measure(executable, image, base, env);
    } finally {
      await exec([executable, 'down', '--sessions'], env);
    }
  } finally {
    await daemon.stop();
  }
}

async function measure(
  executable: string,
  image: string,
  base: string,
  env: Record<string, string | undefined>,
): Promise<void> {
  const cluster = findLocalCluster(join(base, 'default'));
  const account = cluster?.accounts.find(({ name }) => name === 'user');
  if (!cluster || !account) throw new Error('the cluster is not running');
  const client = new Client(
    readClientConfig({
      BACKEND_ENDPOINT: cluster.endpoint,
      BACKEND_ACCESS_KEY: account.accessKey,
      BACKEND_SECRET_KEY: account.secretKey,
    }),
  );
  const docker = (...args: string[]) => exec(['docker', ...args], env);
  const create = (name: string) => async () =>
    void (await client.session.create({ image: 'python', name }));
  const started: number[] = [];
  const detached: number[] = [];
  const completed: number[] = [];
  // Turn by turn, so that whatever else the machine does weighs on all of them alike.
  for (let turn = 0; turn < SESSIONS + WARM_UP; turn += 1) {
    const name = `bench-${turn}`;
    const ours = await sample(1, create(name));
    const theirs = await sample(
      1,
      async () => void (await docker('run', '-d', '--name', name, image, 'sleep', '600')),
    );
    await client.session.destroy(name, { forced: true });
    await docker('rm', '-f', name);
    const whole = await sample(1, async () => void (await docker('run', '--rm', image, 'true')));
    if (turn < WARM_UP) continue;
    started.push(...ours);
    detached.push(...theirs);
    completed.push(...whole);
  }
  const hello = ['-c', 'print("hello world")'];
  const cli = await sample(HELLOS, async () => {
    await exec([executable, 'run', '--rm', 'python', ...hello], env);
  });
  const plain = await sample(HELLOS, async () => {
    await docker('run', '--rm', image, 'python3', ...hello);
  });
  const limit = (peer: readonly number[]) => Math.round(MAX_RATIO * percentile(peer, 0.5));
  printTable(`docker (goal: at most ${MAX_RATIO} times docker run)`, [
    {
      what: 'API call → RUNNING',
      samples: started,
      unit: 'ms',
      goal: limit(detached),
      peer: { what: 'docker run -d', samples: detached },
    },
    {
      what: 'API call → RUNNING',
      samples: started,
      unit: 'ms',
      goal: limit(completed),
      peer: { what: 'docker run --rm … true', samples: completed },
    },
    {
      what: 'run … print, whole command',
      samples: cli,
      unit: 'ms',
      peer: { what: 'docker run --rm … python3 -c', samples: plain },
    },
  ]);
}
