/** Sessions on the process backend: from the command line, through the API, and inside. */
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { readClientConfig } from '../../client/config.ts';
import { Client } from '../../client/index.ts';
import { findLocalCluster } from '../../common/local-cluster.ts';
import { scratch } from './executable.ts';
import { exec, printTable, processTree, proportionalMemory, sample } from './measure.ts';

const CLI_RUNS = 20;
const SESSIONS = 40;
const QUERIES = 300;
/** As many as the machine has room for: each session takes a CPU. */
const MEMORY_SESSIONS = Math.min(4, availableParallelism());

export async function run(executable: string): Promise<void> {
  const base = scratch('hello');
  mkdirSync(base, { recursive: true });
  chmodSync(dirname(base), 0o755);
  const env = {
    BACKEND_DATA_DIR: base,
    HOME: base,
    BACKEND_ENDPOINT: undefined,
    BACKEND_ACCESS_KEY: undefined,
  };
  await exec([executable, 'up', '--detach', '--quiet'], env);
  try {
    await measure(executable, base, env);
  } finally {
    await exec([executable, 'down', '--sessions'], env);
  }
}

async function measure(
  executable: string,
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
  const python = await exec(['python3', '-c', 'import sys; print(sys.executable)']);
  const directly = await sample(CLI_RUNS, async () => {
    await exec([python.trim(), '-c', 'print("hello world")']);
  });
  const hello = async () => {
    const output = await exec(
      [executable, 'run', '--rm', 'python', '-c', 'print("hello world")'],
      env,
    );
    if (output !== 'hello world\n') throw new Error(`unexpected output: ${output}`);
  };
  await hello();
  const cli = await sample(CLI_RUNS, hello);

  const sandbox = [
    'bwrap',
    '--unshare-all',
    '--ro-bind',
    '/',
    '/',
    '--proc',
    '/proc',
    '--dev',
    '/dev',
  ];
  const bare = await sample(SESSIONS, async () => {
    await exec([...sandbox, python.trim(), '-c', 'pass']);
  });
  const running: number[] = [];
  for (let index = 0; index < SESSIONS; index += 1) {
    const name = `bench-${index}`;
    running.push(
      ...(await sample(
        1,
        async () => void (await client.session.create({ image: 'python', name })),
      )),
    );
    await client.session.destroy(name, { forced: true });
  }

  await client.session.create({ image: 'python', name: 'bench-query' });
  const query = () => client.session.execute('bench-query', { mode: 'query', code: 'print(1)' });
  await query();
  const queries = await sample(QUERIES, async () => void (await query()));
  const health = await sample(QUERIES, async () => {
    await (await fetch(`${cluster.endpoint}/health`)).arrayBuffer();
  });
  await client.session.destroy('bench-query', { forced: true });

  const runners = await runnerMemory(client, executable);
  printTable('hello (process backend)', [
    {
      what: 'run … print, whole command',
      samples: cli,
      unit: 'ms',
      goal: 400,
      peer: { what: 'python3 -c directly', samples: directly },
    },
    {
      what: 'API call → RUNNING',
      samples: running,
      unit: 'ms',
      goal: 100,
      peer: { what: 'bwrap python3', samples: bare },
    },
    {
      what: 'query round trip',
      samples: queries,
      unit: 'ms',
      goal: 5,
      peer: { what: 'GET /health', samples: health },
    },
    { what: 'memory of a runner', samples: runners, unit: 'MiB', goal: 35 },
  ]);
}

/** Memory of each session's runner, without the user's interpreter. */
async function runnerMemory(client: Client, executable: string): Promise<number[]> {
  const names = Array.from({ length: MEMORY_SESSIONS }, (_, index) => `bench-memory-${index}`);
  for (const name of names) await client.session.create({ image: 'python', name });
  await Bun.sleep(1000);
  const runners: number[] = [];
  const program = statSync(executable).ino;
  for (const pid of processTree(1)) {
    const command = await Bun.file(`/proc/${pid}/cmdline`)
      .text()
      .catch(() => '');
    if (command.split('\0')[1] !== 'kernel-runner') continue;
    if (statSync(`/proc/${pid}/exe`).ino === program) runners.push(proportionalMemory([pid]));
  }
  for (const name of names) await client.session.destroy(name, { forced: true });
  return runners;
}
