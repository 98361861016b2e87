/**
 * A private Docker daemon for tests: its own data, socket and network bridge, all removed at the end.
 * The run's shared one is named by BACKEND_TEST_DOCKER (the path of its socket).
 */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processTree } from './bench/measure.ts';
import { eventually, missingTool } from './services.ts';

export interface TestDocker {
  readonly socketPath: string;
  /** Ends the daemon and its containers and deletes its data. */
  stop(): Promise<void>;
}

const READY_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 20_000;

/** Whether a daemon answers on the socket. */
function ping(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path: '/_ping', timeout: 1000 }, (reply) => {
      reply.resume();
      resolve(reply.statusCode === 200);
    });
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(false));
    call.end();
  });
}

function command(...parts: string[]): void {
  const result = Bun.spawnSync(parts, { stdin: 'ignore' });
  if (!result.success) throw new Error(`${parts.join(' ')}: ${result.stderr.toString().trim()}`);
}

/** A bridge of its own, so that the daemon does not meet the machine's docker0. */
function makeBridge(): { name: string; remove(): void } {
  const [second = 0, third = 0] = randomBytes(2);
  const name = `bai${randomBytes(4).toString('hex')}`;
  command('ip', 'link', 'add', 'name', name, 'type', 'bridge');
  command('ip', 'addr', 'add', `10.${200 + (second % 50)}.${third}.1/24`, 'dev', name);
  command('ip', 'link', 'set', name, 'up');
  return { name, remove: () => command('ip', 'link', 'delete', name) };
}

/** Why no private daemon can be started here; null when one can. */
export const missingForDocker = (): string | null =>
  missingTool('dockerd', 'docker.io') ??
  (process.getuid?.() === 0 ? null : 'a private Docker daemon needs root');

/** A daemon of the test's own, which may be ended at any time. */
export interface PrivateDocker extends TestDocker {
  /** Ends the daemon at once, as a crash would. Its data stay. */
  kill(): Promise<void>;
  /** Starts it again on the same data. */
  revive(): Promise<void>;
}

/**
 * Starts a daemon; needs root. Of several that start at the same time on a busy machine one now and
 * then waits for its containerd for ever: then another one is started in its place, once.
 * @param options.ownsRules false beside the run's daemon: one that writes rules of the firewall begins
 *   with deleting those of all others, whose containers fail to start in that moment. Ports are
 *   published without rules as well.
 */
export async function startTestDocker(options = { ownsRules: true }): Promise<PrivateDocker> {
  try {
    return await startDaemon(options);
  } catch (error) {
    console.error('once more:', error);
    return await startDaemon(options);
  }
}

async function startDaemon({ ownsRules }: { readonly ownsRules: boolean }): Promise<PrivateDocker> {
  const folder = mkdtempSync(join(tmpdir(), 'bai-docker-'));
  const socketPath = join(folder, 'docker.sock');
  const bridge = makeBridge();
  const launch = () => {
    const log = openSync(join(folder, 'log'), 'a');
    const started = Bun.spawn(
      [
        'dockerd',
        ...['--data-root', join(folder, 'root'), '--exec-root', join(folder, 'exec')],
        ...['--host', `unix://${socketPath}`, '--pidfile', join(folder, 'pid')],
        ...['--bridge', bridge.name, '--log-level', 'warn', `--iptables=${ownsRules}`],
      ],
      { stdin: 'ignore', stdout: log, stderr: log },
    );
    closeSync(log);
    return started;
  };
  let daemon = launch();
  const ready = async () => {
    await eventually(
      'the private Docker daemon answers',
      async () => daemon.exitCode !== null || (await ping(socketPath)),
      READY_DEADLINE_MS,
    );
    if (daemon.exitCode !== null) throw new Error('dockerd ended at once');
  };
  const stop = async () => {
    daemon.kill('SIGTERM');
    const gone = await Promise.race([
      daemon.exited.then(() => true),
      Bun.sleep(STOP_DEADLINE_MS).then(() => false),
    ]);
    if (!gone) daemon.kill('SIGKILL');
    await daemon.exited;
    endContainersOf(folder);
    bridge.remove();
    unmountBelow(folder);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await ready();
  } catch (error) {
    const tail = readFileSync(join(folder, 'log'), 'utf8').trim().split('\n').slice(-5).join('\n');
    await stop();
    throw new Error(`the private Docker daemon did not start:\n${tail}`, { cause: error });
  }
  return {
    socketPath,
    stop,
    async kill() {
      daemon.kill('SIGKILL');
      await daemon.exited;
      // Where nothing reaps orphans, its containerd stays as a zombie that a new daemon waits for.
      rmSync(join(folder, 'exec/containerd/containerd.pid'), { force: true });
    },
    async revive() {
      daemon = launch();
      await ready();
    },
  };
}

/** A killed daemon leaves its containers running, each below a process that names its folder. */
function endContainersOf(folder: string): void {
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      if (!command.includes('containerd-shim') || !command.includes(folder)) continue;
      for (const pid of processTree(Number(name)).reverse()) process.kill(pid, 'SIGKILL');
    } catch {
      // Ended while we looked.
    }
  }
}

/** A killed daemon can leave overlay mounts, without which its folder cannot be deleted. */
function unmountBelow(folder: string): void {
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(folder))
    .reverse();
  for (const path of mounts) command('umount', '--lazy', path);
}

const noop = async () => {};

/** The run's daemon, or a private one. */
export async function sharedDocker(): Promise<TestDocker> {
  const socketPath = process.env.BACKEND_TEST_DOCKER;
  return socketPath ? { socketPath, stop: noop } : startTestDocker();
}
