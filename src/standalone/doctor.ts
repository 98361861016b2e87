/** What this machine can do for a local cluster, and what to install for what it cannot. */
import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ProcessBackend } from '../agent/backends/process/process-backend.ts';
import { systemClock } from '../common/clock.ts';
import { dockerSocketPath } from '../common/docker/socket.ts';
import { errorMessage, UserError } from '../common/errors.ts';
import { discoverHostRuntimes } from '../common/images/host-runtimes.ts';
import { probePort } from '../common/ports.ts';
import { formatSize } from '../common/sizes.ts';
import { silentLogger } from '../logging/logger.ts';
import { serverAccount } from './postgres/account.ts';

export interface Finding {
  readonly name: string;
  /** ok: works. limited: works with less. missing: something will not work. */
  readonly state: 'ok' | 'limited' | 'missing';
  readonly detail: string;
  /** What to do about it; absent when there is nothing to do. */
  readonly remedy?: string;
}

const NEEDED_DISK_BYTES = 300 * 1024 * 1024;
const SOCKET_TIMEOUT_MS = 2_000;

/** Runs all checks; none of them changes anything. */
export async function examine(folder: string, ports: readonly number[]): Promise<Finding[]> {
  return [
    platform(),
    postgresAccount(),
    disk(folder),
    await sandbox(),
    cgroups(),
    await runtimes(),
    await docker(),
    ...(await Promise.all(ports.map(port))),
  ];
}

function platform(): Finding {
  const here = `${process.platform}-${process.arch}`;
  const detail = `${here}, Bun ${Bun.version}`;
  return process.platform === 'linux'
    ? { name: 'platform', state: 'ok', detail }
    : {
        name: 'platform',
        state: 'limited',
        detail,
        remedy: 'Sessions of the process backend need Linux; use --backend docker here.',
      };
}

function postgresAccount(): Finding {
  try {
    const account = serverAccount();
    const detail = account ? `PostgreSQL runs as '${account.name}'` : 'PostgreSQL runs as you';
    return { name: 'account', state: 'ok', detail };
  } catch (error) {
    return {
      name: 'account',
      state: 'missing',
      detail: errorMessage(error),
      remedy: 'useradd --system postgres',
    };
  }
}

function existingParent(path: string): string {
  return existsSync(path) ? path : existingParent(dirname(path));
}

function disk(folder: string): Finding {
  const place = existingParent(folder);
  const { bavail, bsize } = statfsSync(place);
  const free = bavail * bsize;
  const detail = `${formatSize(free)} free for ${folder}`;
  try {
    accessSync(place, constants.W_OK);
  } catch {
    return {
      name: 'disk',
      state: 'missing',
      detail: `${place} is not writable`,
      remedy: 'Choose another place with --data-dir.',
    };
  }
  return free >= NEEDED_DISK_BYTES
    ? { name: 'disk', state: 'ok', detail }
    : {
        name: 'disk',
        state: 'missing',
        detail,
        remedy: `Free some space: a cluster needs ${formatSize(NEEDED_DISK_BYTES)}.`,
      };
}

/** Builds the sandbox that a session would get, and asks what it cannot do here. */
async function sandbox(): Promise<Finding> {
  const name = 'sandbox';
  const installed = Bun.which('bwrap') !== null;
  const stateDir = await mkdtemp(join(tmpdir(), 'backend.ai-doctor-'));
  const backend = new ProcessBackend({
    stateDir,
    clock: systemClock,
    log: silentLogger,
    kernelHost: '127.0.0.1',
  });
  try {
    const gaps = await backend.isolationGaps();
    const detail = gaps.length === 0 ? 'sessions are fully isolated' : gaps.join(' ');
    if (installed && gaps.length === 0) return { name, state: 'ok', detail };
    return {
      name,
      state: 'limited',
      detail,
      remedy: installed
        ? 'Use --backend docker for what is missing.'
        : 'apt-get install bubblewrap (and --backend docker for what is still missing)',
    };
  } catch (error) {
    return {
      name,
      state: 'missing',
      detail: errorMessage(error),
      remedy:
        'apt-get install bubblewrap, and allow user namespaces (sysctl user.max_user_namespaces)',
    };
  } finally {
    await backend.close();
    await rm(stateDir, { recursive: true, force: true });
  }
}

function cgroups(): Finding {
  const v2 = existsSync('/sys/fs/cgroup/cgroup.controllers');
  const root = v2 ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';
  if (!existsSync(root)) {
    return {
      name: 'cgroups',
      state: 'limited',
      detail: 'none are mounted: memory limits fall back to rlimits',
    };
  }
  try {
    accessSync(root, constants.W_OK);
    return { name: 'cgroups', state: 'ok', detail: `version ${v2 ? 2 : 1}, writable` };
  } catch {
    return {
      name: 'cgroups',
      state: 'limited',
      detail: `version ${v2 ? 2 : 1}, not writable by you: limits fall back to rlimits`,
      remedy: 'Run as root, or use --backend docker for hard limits.',
    };
  }
}

async function runtimes(): Promise<Finding> {
  const images = await discoverHostRuntimes();
  if (images.length === 0) {
    return {
      name: 'runtimes',
      state: 'missing',
      detail: 'no python3, node or bash was found: the process backend has no images',
      remedy: 'apt-get install python3',
    };
  }
  return {
    name: 'runtimes',
    state: 'ok',
    detail: images.map(({ canonical }) => canonical).join(', '),
  };
}

const INSTALL_DOCKER = 'apt-get install docker.io';

function docker(): Promise<Finding> {
  const absent = (detail: string, remedy: string): Finding => ({
    name: 'docker',
    state: 'limited',
    detail,
    remedy,
  });
  let path: string;
  try {
    path = dockerSocketPath(process.env);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return Promise.resolve(absent(error.message, error.hint ?? 'Unset DOCKER_HOST.'));
  }
  if (!existsSync(path)) {
    const remedy = Bun.which('dockerd') ? 'Start it: service docker start' : INSTALL_DOCKER;
    return Promise.resolve(absent(`no daemon at ${path}: only --backend docker needs it`, remedy));
  }
  return new Promise((resolve) => {
    const socket = connect({ path, timeout: SOCKET_TIMEOUT_MS });
    socket.once('connect', () => {
      socket.destroy();
      resolve({ name: 'docker', state: 'ok', detail: path });
    });
    socket.once('timeout', () => {
      socket.destroy();
      resolve(
        absent(`the daemon at ${path} does not answer`, 'Restart it: systemctl restart docker'),
      );
    });
    socket.once('error', (error) => {
      resolve(
        absent(
          `${path}: ${error.message}`,
          'Start the daemon, or join the group: usermod -aG docker $USER',
        ),
      );
    });
  });
}

async function port(number: number): Promise<Finding> {
  const name = `port ${number}`;
  return (await probePort(number, '127.0.0.1')) === null
    ? { name, state: 'limited', detail: `in use${holder(number)}: another port will be taken` }
    : { name, state: 'ok', detail: 'free' };
}

/** Who listens, as far as /proc/net/tcp tells: only that it is somebody on this machine. */
function holder(number: number): string {
  try {
    const hex = number.toString(16).toUpperCase().padStart(4, '0');
    const line = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .find((entry) => entry.includes(`:${hex} `) && entry.includes(' 0A '));
    const uid = line?.trim().split(/\s+/)[7];
    return uid === undefined ? '' : ` by a program of uid ${uid}`;
  } catch {
    return '';
  }
}
