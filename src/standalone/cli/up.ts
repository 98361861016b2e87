/** `up`: runs the whole cluster in this process, or starts it in the background. */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import {
  type CommandIo,
  choice,
  defineCommand,
  flag,
  integer,
  option,
  UsageError,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { selfCommand } from '../../common/executable.ts';
import { printStatus } from '../../common/glyphs.ts';
import { DEFAULT_ENV_ID, findLocalCluster, type LocalCluster } from '../../common/local-cluster.ts';
import { lockOwner, notWritable } from '../lock.ts';
import { folderOf, placeOptions } from './options.ts';

const START_TIMEOUT_MS = 60_000;
const POLL_MS = 15;
/** Lines of the background process that are progress for the user, as `printStatus` writes them. */
const PROGRESS_LINE = /^[∙⋯✗✘] /;

/** The folder of a WebUI, made absolute: the background process has another working folder. */
function webuiFolder(text: string): string {
  const folder = resolve(text);
  if (existsSync(join(folder, 'index.html'))) return folder;
  throw new UsageError(
    `'${text}' holds no index.html; scripts/download-webui-release.sh fetches a WebUI.`,
  );
}

const options = {
  ...placeOptions,
  detach: flag(['-d', '--detach'], 'Run in the background; return when it is ready.'),
  backend: option(
    ['--backend'],
    '[process|docker|dummy]',
    'How sessions run: as namespaces on this host, as containers, or simulated. [default: process]',
    choice(['process', 'docker', 'dummy']),
  ),
  port: option(
    ['--port'],
    'PORT',
    'Port of the API. [default: 8091, or a free one]',
    integer({ min: 1, max: 65535 }),
  ),
  webui: option(
    ['--webui'],
    'DIR',
    'Serve the files of this WebUI, unpacked, on the web port instead of the plain page.',
    webuiFolder,
  ),
  mockAccelerator: option(
    ['--mock-accelerator'],
    'FILE',
    'Offer the simulated accelerators that this mock-accelerator.toml describes.',
    (text) => resolve(text),
  ),
  quiet: flag(['-q', '--quiet'], 'Print progress only, no summary.'),
  debug: flag(['--debug'], 'Log everything.'),
};

type Options = Parameters<Parameters<typeof defineCommand<typeof options>>[0]['run']>[0]['options'];

function printSummary(io: CommandIo, folder: string, cluster: LocalCluster): void {
  const lines = [
    `API endpoint  ${cluster.endpoint}`,
    `Web page      ${cluster.webUrl}`,
    `State         ${folder}`,
    '',
  ];
  const width = Math.max(...cluster.accounts.map(({ email }) => email.length));
  const row = (email: string, role: string, password: string, accessKey: string, rest: string) =>
    lines.push(
      `${email.padEnd(width)}  ${role.padEnd(10)}  ${password.padEnd(16)}  ${accessKey.padEnd(20)}  ${rest}`,
    );
  row('Account', 'Role', 'Password', 'Access key', 'Secret key');
  for (const { email, role, password, accessKey, secretKey } of cluster.accounts) {
    row(email, role, password, accessKey, secretKey);
  }
  lines.push(
    '',
    'Clients on this machine find the cluster by themselves. To name it yourself:',
    `  source ${join(folder, 'env-local-user-api.sh')}`,
    '',
  );
  io.stdout.write(lines.join('\n'));
}

/** What the background process, whose working folder is another, needs to become this cluster. */
function childArguments(folder: string, given: Options): string[] {
  const out = ['up', '--quiet', '--env-id', basename(folder), '--data-dir', dirname(folder)];
  if (given.backend !== undefined) out.push('--backend', given.backend);
  if (given.port !== undefined) out.push('--port', String(given.port));
  if (given.webui !== undefined) out.push('--webui', given.webui);
  if (given.mockAccelerator !== undefined) {
    out.push('--mock-accelerator', given.mockAccelerator);
  }
  if (given.debug) out.push('--debug');
  return out;
}

const logPathIn = (folder: string) => join(folder, 'up.log');

/** Starts `up` as a process of its own, which writes to the log. */
function launch(io: CommandIo, folder: string, given: Options) {
  let log: number;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    log = openSync(logPathIn(folder), 'w', 0o600);
  } catch (error) {
    throw notWritable(folder, error);
  }
  const child = Bun.spawn([...selfCommand(), ...childArguments(folder, given)], {
    stdin: 'ignore',
    stdout: log,
    stderr: log,
    // A session of its own: closing the terminal must not end the cluster.
    detached: true,
    cwd: folder,
    env: { ...io.env },
  });
  closeSync(log);
  return child;
}

/** Starts the cluster in the background and waits until it is ready, relaying its progress. */
async function detach(io: CommandIo, folder: string, given: Options): Promise<LocalCluster> {
  const logPath = logPathIn(folder);
  const owner = lockOwner(folder);
  let child = owner === null ? launch(io, folder, given) : null;
  if (child === null)
    printStatus(io.stderr, 'wait', `Process ${owner} starts or stops it; waiting`);
  const deadlineMs = systemClock.monotonicMs() + START_TIMEOUT_MS;
  let relayed = 0;
  for (;;) {
    const lines = child === null ? [] : readFileSync(logPath, 'utf8').split('\n').slice(0, -1);
    for (const line of lines.slice(relayed))
      if (PROGRESS_LINE.test(line)) io.stderr.write(`${line}\n`);
    relayed = lines.length;
    const cluster = findLocalCluster(folder);
    if (cluster !== null) {
      child?.unref();
      return cluster;
    }
    const isFree = lockOwner(folder) === null;
    if (child === null) {
      if (isFree) child = launch(io, folder, given);
    } else if (isFree && (child.exitCode !== null || child.signalCode !== null)) {
      throw new UserError('The local cluster did not start.', {
        hint: `See the messages above; the whole log is ${logPath}.`,
      });
    }
    if (systemClock.monotonicMs() > deadlineMs) {
      child?.kill('SIGTERM');
      throw new UserError(
        `The local cluster is not ready after ${START_TIMEOUT_MS / 1000} seconds.`,
        {
          hint: `Its log is ${logPath}.`,
        },
      );
    }
    await systemClock.sleep(POLL_MS);
  }
}

/** Resolves when the user or the system asks this process to end. */
function endSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.once(signal, () => resolve());
  });
}

async function runHere(io: CommandIo, folder: string, given: Options): Promise<void> {
  const [
    { startCluster },
    { createLogger },
    { systemRandom },
    { tracersFromEnvironment },
    { serviceReady },
  ] = await Promise.all([
    import('../cluster.ts'),
    import('../../logging/logger.ts'),
    import('../../common/random.ts'),
    import('../../tracing/open.ts'),
    import('../../common/service-manager.ts'),
  ]);
  const ended = endSignal();
  const log = createLogger({ component: 'up', level: given.debug ? 'debug' : 'warn' });
  const tracers = tracersFromEnvironment(io.env, { log });
  const cluster = await startCluster({
    envId: given.envId ?? io.env.BACKEND_ENV_ID ?? DEFAULT_ENV_ID,
    folder,
    backend: given.backend ?? 'process',
    managerPort: given.port,
    webuiFolder: given.webui,
    mockAcceleratorFile: given.mockAccelerator,
    clock: systemClock,
    random: systemRandom,
    log,
    tracerOf: tracers.of,
    progress: (message) => printStatus(io.stderr, 'wait', message),
  });
  const ready = serviceReady(io.env, systemClock);
  const { endpoint, isolationGaps } = cluster.record;
  if (isolationGaps.length > 0) {
    printStatus(io.stderr, 'warn', `Sessions on this machine: ${isolationGaps.join(' ')}`);
  }
  printStatus(io.stderr, 'done', `The cluster is ready at ${endpoint}.`);
  if (!given.quiet) {
    printSummary(io, folder, cluster.record);
    printStatus(io.stderr, 'info', 'Press Ctrl-C to stop it; its data stays.');
  }
  try {
    await Promise.race([ended, cluster.failed]);
  } finally {
    ready[Symbol.dispose]();
    printStatus(io.stderr, 'wait', 'Stopping');
    await cluster.stop();
    await tracers.close();
    printStatus(io.stderr, 'done', 'Stopped.');
  }
}

export default defineCommand({
  options,
  async run({ options: given, io, globals }) {
    const folder = folderOf(given, io);
    const running = findLocalCluster(folder);
    if (!given.detach) {
      await runHere(io, folder, given);
      return 0;
    }
    const cluster = running ?? (await detach(io, folder, given));
    if (globals.output === 'json') {
      io.stdout.write(`${JSON.stringify({ ...cluster, folder }, null, 2)}\n`);
    } else if (!given.quiet) {
      if (running) printStatus(io.stderr, 'info', 'It is running already.');
      printSummary(io, folder, cluster);
      printStatus(io.stderr, 'info', 'Stop it with `backend.ai down`.');
    }
    return 0;
  },
});
