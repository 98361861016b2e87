/**
 * An agent for tests of the manager's side: it keeps files in memory and "runs" code of one word.
 *
 * - `say TEXT` prints TEXT and finishes; `fail` prints on stderr and finishes with exit code 1
 * - `ask` waits for a line, then prints it; an interrupt ends it with exit code 130
 * - `flood` prints without end, one slice per call, until it is interrupted
 */
import { BackendError } from '../common/errors.ts';
import type { agentApi } from '../common/protocol/agent.ts';
import type { CommitState, CommitTarget } from '../common/protocol/commit.ts';
import type { ConsoleItem, ExecuteRequest, ExecuteSlice } from '../common/protocol/execution.ts';
import type { ServicePlace } from '../common/protocol/service.ts';
import type { ApiOf } from '../common/rpc/api.ts';

type AgentClient = ApiOf<typeof agentApi>;

export class ScriptedAgent {
  readonly requests: ExecuteRequest[] = [];
  readonly files = new Map<string, Buffer>();
  /** Kernels that were interrupted, in order. */
  readonly interrupted: string[] = [];
  /** Resource groups that the agent was moved to, in order. */
  readonly groups: string[] = [];
  /** Where its services are reached, by name. */
  readonly services = new Map<string, ServicePlace>();
  /** What it was asked to commit, in order, and how far that is, by kernel. */
  readonly commitTargets: CommitTarget[] = [];
  readonly abuseReports = new Map<string, Record<string, unknown>>();
  readonly commits = new Map<string, CommitState>();
  /** What it has mounted, by mount point. */
  readonly volumes = new Map<string, string>();
  /** Devices by kernel, as it tells when it is asked. */
  devices: Awaited<ReturnType<AgentClient['attachedDevices']>> = {};
  /** While true every call fails as if the agent's machine were gone. */
  away = false;
  readonly #codes = new Map<string, string>();
  /** Whether the active run was interrupted. */
  #stopped = false;

  readonly client: AgentClient = {
    ping: async () => ({ agentId: 'i-one', version: '26.4.4' }),
    joinClusters: async () => null,
    sync: async ({ kernels }) => ({ accepted: kernels.length }),
    describeHardware: async () =>
      this.#reachable(() => ({
        cpu: { status: 'healthy', status_info: null, metadata: { logical_cpus: '4' } },
      })),
    assignGroup: async ({ scalingGroup }) =>
      this.#reachable(() => {
        this.groups.push(scalingGroup);
        return null;
      }),
    attachedDevices: async () => this.#reachable(() => this.devices),
    execute: async ({ request }) => this.#reachable(() => this.#execute(request)),
    interrupt: async ({ kernelId }) =>
      this.#reachable(() => {
        this.interrupted.push(kernelId);
        this.#stopped = true;
        return null;
      }),
    complete: async ({ request }) =>
      this.#reachable(() => ({ suggestions: [`${request.code}${request.options.post ?? ''}!`] })),
    logs: async () => this.#reachable(() => ({ logs: 'a live log' })),
    startService: async ({ service }) =>
      this.#reachable(() => {
        const place = this.services.get(service);
        if (!place) throw new BackendError('AppNotFound', `no app ${service}`);
        return place;
      }),
    shutdownService: async ({ service }) =>
      this.#reachable(() => {
        this.services.delete(service);
        return null;
      }),
    listFiles: async ({ path }) =>
      this.#reachable(() => ({
        entries: [...this.files].map(([filename, data]) => ({
          mode: '-rw-r--r--',
          size: data.length,
          ctime: 1,
          mtime: 2,
          atime: 3,
          filename,
        })),
        errors: '',
        abspath: `/home/work/${path}`,
      })),
    uploadFile: async ({ path, data }) =>
      this.#reachable(() => {
        this.files.set(path, Buffer.from(data, 'base64'));
        return null;
      }),
    downloadArchive: async ({ path }) => this.#reachable(() => this.#read(path)),
    commit: async ({ kernelId, target }) =>
      this.#reachable(() => {
        if (this.commits.get(kernelId)?.state === 'ongoing') return { started: false };
        this.commitTargets.push(target);
        this.commits.set(kernelId, { state: 'ongoing', message: 'Committing', image: null });
        return { started: true };
      }),
    mounts: async ({ below }) => this.#reachable(() => ({ mounts: [`${below}/scripted`] })),
    mountVolume: async ({ below, name, location }) =>
      this.#reachable(() => {
        this.volumes.set(`${below}/${name}`, location);
        return { message: `${location} is mounted at ${below}/${name}.` };
      }),
    unmountVolume: async ({ below, name }) =>
      this.#reachable(() => {
        if (this.volumes.delete(`${below}/${name}`)) return { message: 'It is mounted no more.' };
        throw new BackendError('InvalidAPIParameters', `Nothing is mounted at ${below}/${name}.`);
      }),
    fstab: async ({ path }) => this.#reachable(() => ({ content: `# ${path}\n` })),
    abuseReport: async ({ kernelId }) =>
      this.#reachable(() => this.abuseReports.get(kernelId) ?? null),
    commitState: async ({ kernelId }) =>
      this.#reachable(
        () => this.commits.get(kernelId) ?? { state: 'none', message: '', image: null },
      ),
    ongoingCommits: async () =>
      this.#reachable(() => {
        const ongoing = [...this.commits].filter(([, { state }]) => state === 'ongoing');
        return { kernelIds: ongoing.map(([kernelId]) => kernelId) };
      }),
    downloadFile: async ({ path }) => this.#reachable(() => this.#read(path)),
  };

  #reachable<T>(answer: () => T): T {
    if (this.away) throw new BackendError('AgentConnectionUnavailable', 'connection refused');
    return answer();
  }

  #read(path: string) {
    const data = this.files.get(path);
    if (!data) throw new BackendError('ObjectNotFound', `No such file: ${path}`);
    return { data: data.toString('base64') };
  }

  #execute(request: ExecuteRequest): ExecuteSlice {
    this.requests.push(request);
    const { runId, mode } = request;
    if (mode === 'query') {
      this.#codes.set(runId, request.code);
      this.#stopped = false;
    }
    const slice = (status: ExecuteSlice['status'], console: ConsoleItem[] = []): ExecuteSlice => ({
      runId,
      status,
      exitCode: status.endsWith('finished') ? 0 : null,
      isPassword: false,
      console,
    });
    if (mode === 'batch') {
      this.#codes.set(runId, 'say built');
      return slice('build-finished', [['stdout', `${request.options.build}\n`]]);
    }
    if (mode === 'input') return slice('finished', [['stdout', `${request.code}\n`]]);
    const [word, ...rest] = (this.#codes.get(runId) ?? '').split(' ');
    switch (word) {
      case 'say':
        return slice('finished', [['stdout', `${rest.join(' ')}\n`]]);
      case 'fail':
        return { ...slice('finished', [['stderr', 'no\n']]), exitCode: 1 };
      case 'ask':
        if (this.#stopped) return { ...slice('finished'), exitCode: 130 };
        return {
          ...slice('waiting-input', mode === 'query' ? [['stdout', 'name? ']] : []),
          isPassword: true,
        };
      case 'flood':
        return slice('continued', [['stdout', 'x'.repeat(64 * 1024)]]);
      default:
        throw new BackendError('KernelExecutionFailed', `No run ${runId}.`);
    }
  }
}
