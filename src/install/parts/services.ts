/** The components of one machine as processes in the background, known by their process ids. */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { UserError } from '../../common/errors.ts';
import { isProcessAlive, processStartTicks } from '../../common/processes.ts';
import { type InstallInfo, type Layout, writeOwnFile } from '../layout.ts';

export interface ServiceSpec {
  /** As users name it: `mgr`, `agent`, `storage`, `web`, `proxy`, `proxy-http` … */
  readonly name: string;
  readonly title: string;
  /** Arguments after `backend.ai`. */
  readonly args: readonly string[];
  /** It is ready when this port of this machine takes connections. */
  readonly port: number;
  readonly configFile: string;
}

const READY_TIMEOUT_MS = 60_000;
/** Agents wait for what they are doing; then they are killed. */
const STOP_TIMEOUT_MS = 40_000;
const POLL_MS = 50;
const CONNECT_TIMEOUT_MS = 1_000;
const LINES_OF_LOG = 8;

const pidRecord = v.object({ pid: v.number(), startTicks: v.nullable(v.number()) });

/** The coordinator first: workers register with it. */
function appProxyServices(port: (name: string) => number): ServiceSpec[] {
  const worker = (name: string, title: string, portName: string): ServiceSpec => ({
    name: `proxy-${name}`,
    title: `${title} worker of the app proxy`,
    args: ['app-proxy-worker', 'start-server'],
    port: port(portName),
    configFile: `app-proxy-worker-${name}.toml`,
  });
  return [
    {
      name: 'proxy',
      title: 'App proxy',
      args: ['app-proxy-coordinator', 'start-server'],
      port: port('appProxy'),
      configFile: 'app-proxy-coordinator.toml',
    },
    worker('http', 'HTTP', 'appProxyHttp'),
    worker('tcp', 'TCP', 'appProxyTcp'),
    worker('h2', 'HTTP/2', 'appProxyH2'),
  ];
}

const sftpAgentService = (port: (name: string) => number): ServiceSpec => ({
  name: 'sftp-agent',
  title: 'Agent for SFTP',
  args: ['ag', 'start-server'],
  port: port('sftpAgentRpc'),
  configFile: 'agent-sftp.toml',
});

/** In the order in which they start; they stop in the opposite one. */
export function servicesOf({
  ports,
  mode,
  app_proxy: appProxy,
  sftp_agent: hasSftpAgent = false,
}: Pick<InstallInfo, 'ports' | 'mode' | 'app_proxy' | 'sftp_agent'>): readonly ServiceSpec[] {
  const port = (name: string) => ports[name] ?? 0;
  const all: readonly ServiceSpec[] = [
    {
      name: 'storage',
      title: 'Storage proxy',
      args: ['storage', 'start-server'],
      port: port('storageManager'),
      configFile: 'storage-proxy.toml',
    },
    {
      name: 'mgr',
      title: 'Manager',
      args: ['mgr', 'start-server'],
      port: port('manager'),
      configFile: 'manager.toml',
    },
    ...(appProxy === undefined ? [] : appProxyServices(port)),
    {
      name: 'agent',
      title: 'Agent',
      args: ['ag', 'start-server'],
      port: port('agentRpc'),
      configFile: 'agent.toml',
    },
    ...(hasSftpAgent ? [sftpAgentService(port)] : []),
    {
      name: 'web',
      title: 'Web server',
      args: ['web', 'start-server'],
      port: port('web'),
      configFile: 'webserver.conf',
    },
  ];
  return mode === 'join' ? all.filter(({ name }) => name === 'agent') : all;
}

/** Of a column that holds the titles of all of them. Characters. */
export const titleWidth = (specs: readonly ServiceSpec[]): number =>
  Math.max(...specs.map(({ title }) => title.length));

export interface ServiceState {
  readonly spec: ServiceSpec;
  /** Null when it does not run. */
  readonly pid: number | null;
  readonly isReady: boolean;
}

const pidPath = (layout: Layout, { name }: ServiceSpec) => join(layout.run, `${name}.pid`);

/** What the process writes outside its own log: why it could not start, above all. */
export const outputPath = (layout: Layout, { name }: ServiceSpec) =>
  join(layout.logs, `${name}.out`);

export function runningPid(layout: Layout, spec: ServiceSpec): number | null {
  const path = pidPath(layout, spec);
  if (!existsSync(path)) return null;
  const found = v.safeParse(
    v.pipe(v.string(), v.parseJson(), pidRecord),
    readFileSync(path, 'utf8'),
  );
  if (!found.success) return null;
  const { pid, startTicks } = found.output;
  return isProcessAlive(pid, startTicks) ? pid : null;
}

/**
 * Finds a component that runs though no record of it was left: its installer was killed between starting
 * it and writing its process id down. Where there is no /proc nothing is found.
 */
function findUnrecorded(layout: Layout, spec: ServiceSpec): number | null {
  if (!existsSync('/proc/self/cmdline')) return null;
  const wanted = `\0${[...spec.args, '-f', join(layout.config, spec.configFile)].join('\0')}\0`;
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      // Anybody may give a process any arguments; one of another account is not ours to end.
      const isOurs = statSync(`/proc/${name}`).uid === process.geteuid?.();
      const found = isOurs && readFileSync(`/proc/${name}/cmdline`, 'utf8').endsWith(wanted);
      if (found) return Number(name);
    } catch {
      // Ended while we looked.
    }
  }
  return null;
}

function recordPid(layout: Layout, spec: ServiceSpec, pid: number): void {
  writeOwnFile(pidPath(layout, spec), JSON.stringify({ pid, startTicks: processStartTicks(pid) }));
}

/** The process of a component, with a record of it made if there was none; null when it does not run. */
export function adopt(layout: Layout, spec: ServiceSpec): number | null {
  const recorded = runningPid(layout, spec);
  if (recorded !== null) return recorded;
  const found = findUnrecorded(layout, spec);
  if (found !== null) recordPid(layout, spec, found);
  return found;
}

/** Whether something takes connections at a port of this machine. */
export function accepts(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: CONNECT_TIMEOUT_MS });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

export async function stateOf(layout: Layout, spec: ServiceSpec): Promise<ServiceState> {
  const pid = runningPid(layout, spec);
  return { spec, pid, isReady: pid !== null && (await accepts(spec.port)) };
}

function endOfOutput(path: string): string {
  if (!existsSync(path)) return '';
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-LINES_OF_LOG).join('\n');
}

/**
 * Starts a component and waits until it takes connections; one that runs is left as it is.
 * @param command how this program is started, without arguments.
 * @throws UserError with the end of its output when it ends or is not ready in time.
 */
export async function startService(
  layout: Layout,
  spec: ServiceSpec,
  command: readonly string[],
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  mkdirSync(layout.logs, { recursive: true });
  const out = outputPath(layout, spec);
  if (adopt(layout, spec) === null) {
    if (await accepts(spec.port)) {
      throw new UserError(`Port ${spec.port} of the ${spec.title.toLowerCase()} is taken.`, {
        hint: 'End the program that listens there, or install with another port.',
      });
    }
    const log = openSync(out, 'w', 0o600);
    const child = Bun.spawn(
      [...command, ...spec.args, '-f', join(layout.config, spec.configFile)],
      {
        cwd: layout.config,
        stdin: 'ignore',
        stdout: log,
        stderr: log,
        // A session of its own: it outlives the terminal and the installer.
        detached: true,
      },
    );
    closeSync(log);
    recordPid(layout, spec, child.pid);
    child.unref();
  }
  const deadlineMs = clock.monotonicMs() + READY_TIMEOUT_MS;
  while (!(await accepts(spec.port))) {
    signal.throwIfAborted();
    if (runningPid(layout, spec) === null) {
      throw new UserError(`The ${spec.title.toLowerCase()} ended:\n${endOfOutput(out)}`, {
        hint: `Its whole output is in ${out}.`,
      });
    }
    if (clock.monotonicMs() > deadlineMs) {
      throw new UserError(
        `The ${spec.title.toLowerCase()} is not ready after ${READY_TIMEOUT_MS / 1000} s:\n${endOfOutput(out)}`,
        { hint: `Its output is in ${out}, its log in ${layout.logs}.` },
      );
    }
    await clock.sleep(POLL_MS);
  }
}

/** Ends a component: politely, and after a while by force. @returns whether it ran. */
export async function stopService(
  layout: Layout,
  spec: ServiceSpec,
  { clock }: { readonly clock: Clock },
): Promise<boolean> {
  const pid = adopt(layout, spec);
  if (pid === null) return false;
  process.kill(pid, 'SIGTERM');
  const deadlineMs = clock.monotonicMs() + STOP_TIMEOUT_MS;
  while (runningPid(layout, spec) !== null) {
    if (clock.monotonicMs() > deadlineMs) {
      process.kill(pid, 'SIGKILL');
      break;
    }
    await clock.sleep(POLL_MS);
  }
  rmSync(pidPath(layout, spec), { force: true });
  return true;
}
