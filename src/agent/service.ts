/** The calls of the manager, answered. */
import type { DeviceFamily } from '../accelerator/family.ts';
import { BackendError } from '../common/errors.ts';
import { readFstab, readMounts } from '../common/mounts.ts';
import type { agentApi } from '../common/protocol/agent.ts';
import type { ClusterJoin, DesiredKernel } from '../common/protocol/kernel.ts';
import type { ApiOf } from '../common/rpc/api.ts';
import { readAbuseReport } from './abuse-report.ts';
import type { Backend } from './backends/backend.ts';
import type { Commits } from './commits.ts';
import { downloadArchive, downloadFile, uploadFile } from './file-transfer.ts';
import { describeHardware } from './hardware.ts';
import type { KernelRegistry } from './kernels.ts';
import { attachedDevicesOf } from './resources/grant.ts';
import { shutdownService, startService } from './services.ts';
import { mountVolume, unmountVolume } from './volume-mounts.ts';

/** Longest log that one call answers. Bytes. */
const MAX_LOG_BYTES = 16 * 1024 * 1024;
/** What an execution call takes beside its own waiting time. Milliseconds. */
const EXECUTE_MARGIN_MS = 8_000;

export interface ServiceOptions {
  agentId: string;
  version: string;
  registry: KernelRegistry;
  backend: Backend;
  families: readonly DeviceFamily[];
  commits: Commits;
  /** Folder in which a watcher of this node leaves its reports; null when there is none. */
  abuseReportPath: string | null;
  /** Records wishes for kernels. @returns how many were new or still matter. */
  accept: (wishes: readonly DesiredKernel[]) => number;
  /** Tells kernels of clusters of each other. */
  join: (joins: readonly ClusterJoin[]) => Promise<void>;
  /** Moves the agent to another resource group and tells the manager. */
  assignGroup: (scalingGroup: string) => Promise<void>;
}

/** Implements the agent's side of the protocol. */
export function agentService(options: ServiceOptions): ApiOf<typeof agentApi> {
  const { agentId, version, registry, backend, families, accept, assignGroup } = options;
  const { commits, abuseReportPath } = options;
  const runner = (kernelId: string) => registry.runner(kernelId);
  return {
    ping: async () => ({ agentId, version }),
    describeHardware: () => describeHardware(families),
    assignGroup: async ({ scalingGroup }) => {
      await assignGroup(scalingGroup);
      return null;
    },
    attachedDevices: async () =>
      Object.fromEntries(
        registry
          .running()
          .flatMap((id) => registry.get(id) ?? [])
          .map((kernel) => [kernel.kernelId, attachedDevicesOf(families, kernel.allocations)]),
      ),
    sync: async ({ kernels }) => ({ accepted: accept(kernels) }),
    joinClusters: async ({ joins }) => {
      await options.join(joins);
      return null;
    },
    execute: async ({ kernelId, request }) =>
      runner(kernelId).call(
        { op: 'execute', request },
        { timeoutMs: request.waitMs + EXECUTE_MARGIN_MS },
      ),
    interrupt: async ({ kernelId }) => await runner(kernelId).call({ op: 'interrupt' }),
    complete: async ({ kernelId, request }) => runner(kernelId).call({ op: 'complete', request }),
    logs: async ({ kernelId, maxBytes }) => ({
      logs: await backend.logs(kernelId, Math.min(Math.max(0, maxBytes), MAX_LOG_BYTES)),
    }),
    startService: (params) => startService(registry, params),
    shutdownService: (params) => shutdownService(registry, params),
    listFiles: async ({ kernelId, path }) => runner(kernelId).call({ op: 'list-files', path }),
    uploadFile: async ({ kernelId, path, data }) => {
      await uploadFile(runner(kernelId), path, data);
      return null;
    },
    downloadArchive: async ({ kernelId, path }) => ({
      data: await downloadArchive(runner(kernelId), path),
    }),
    commit: async ({ kernelId, target }) => {
      if (!registry.running().includes(kernelId)) {
        throw new BackendError('KernelNotFound', `Kernel ${kernelId} does not run on this agent.`);
      }
      return { started: commits.start(kernelId, target) };
    },
    abuseReport: ({ kernelId }) => readAbuseReport(abuseReportPath, kernelId),
    mounts: async ({ below }) => ({ mounts: await readMounts(below) }),
    fstab: async ({ path }) => ({ content: await readFstab(path) }),
    mountVolume: async (wanted) => ({ message: await mountVolume(wanted) }),
    unmountVolume: async (wanted) => ({ message: await unmountVolume(wanted) }),
    commitState: async ({ kernelId }) => commits.state(kernelId),
    ongoingCommits: async () => ({ kernelIds: commits.ongoing() }),
    downloadFile: async ({ kernelId, path }) => ({
      data: await downloadFile(runner(kernelId), path),
    }),
  };
}
