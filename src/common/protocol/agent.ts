/** The calls the manager makes to an agent. */
import * as v from 'valibot';
import { type Api, method } from '../rpc/api.ts';
import { commitState, commitTarget } from './commit.ts';
import { completionRequest, executeRequest, executeSlice, fileListing } from './execution.ts';
import { clusterJoin, desiredKernel, kernelCreationInfo } from './kernel.ts';
import { serviceOptions, servicePlace } from './service.ts';

const hardwareReport = v.record(
  v.string(),
  v.object({
    status: v.picklist(['healthy', 'degraded', 'offline', 'unavailable']),
    /** What is wrong, in plain words; null when nothing is. */
    status_info: v.nullable(v.string()),
    metadata: v.record(v.string(), v.string()),
  }),
);
/** Device name → its health and make. */
export type HardwareReport = v.InferOutput<typeof hardwareReport>;

const kernelRef = { kernelId: v.pipe(v.string(), v.uuid()) };

/** A mount point of a folder in which volumes are, and a file named `fstab` that is changed too. */
const volumeMount = { below: v.string(), name: v.string(), fstab: v.nullable(v.string()) };

export const agentApi = {
  ping: method({
    params: v.object({}),
    result: v.object({ agentId: v.string(), version: v.string() }),
    timeoutMs: 5_000,
  }),
  /** The node's devices and whether they work. */
  describeHardware: method({
    params: v.object({}),
    result: hardwareReport,
    timeoutMs: 5_000,
  }),
  /** Moves the agent to another resource group, also for its later starts. */
  assignGroup: method({
    params: v.object({ scalingGroup: v.pipe(v.string(), v.nonEmpty(), v.maxLength(64)) }),
    result: v.null(),
    timeoutMs: 5_000,
  }),
  /** The devices that each running kernel holds, by kernel id. */
  attachedDevices: method({
    params: v.object({}),
    result: v.record(v.string(), kernelCreationInfo.entries.attachedDevices),
    timeoutMs: 10_000,
  }),
  /**
   * Level-triggered: states what the named kernels should be. Returns once the wishes are recorded;
   * progress comes back through the outbox. Repeating a wish is harmless.
   */
  sync: method({
    params: v.object({ kernels: v.pipe(v.array(desiredKernel), v.maxLength(2000)) }),
    result: v.object({ accepted: v.number() }),
    timeoutMs: 10_000,
  }),
  /**
   * Tells running kernels of clusters where the others are. When it returns they know, and will after a
   * crash of the agent. Repeating it is harmless; kernels that are gone are passed over.
   */
  joinClusters: method({
    params: v.object({ joins: v.pipe(v.array(clusterJoin), v.maxLength(200)) }),
    result: v.null(),
    timeoutMs: 30_000,
  }),
  /** Runs code or asks for the next slice of a run's output. */
  execute: method({
    params: v.object({ ...kernelRef, request: executeRequest }),
    result: executeSlice,
    timeoutMs: 20_000,
  }),
  interrupt: method({ params: v.object(kernelRef), result: v.null(), timeoutMs: 10_000 }),
  complete: method({
    params: v.object({ ...kernelRef, request: completionRequest }),
    result: v.object({ suggestions: v.array(v.string()) }),
    timeoutMs: 10_000,
  }),
  /** The kernel's log so far, at most the last `maxBytes`. */
  logs: method({
    params: v.object({ ...kernelRef, maxBytes: v.number() }),
    result: v.object({ logs: v.string() }),
    timeoutMs: 15_000,
  }),
  /**
   * Starts a service of a kernel unless it runs, and waits until it takes connections.
   * Rejects with AppNotFound, or with KernelExecutionFailed and what the service said.
   */
  startService: method({
    params: v.object({ ...kernelRef, service: v.string(), options: serviceOptions }),
    result: servicePlace,
    timeoutMs: 45_000,
  }),
  /** Ends a service; harmless when it does not run. Those of the session itself stay. */
  shutdownService: method({
    params: v.object({ ...kernelRef, service: v.string() }),
    result: v.null(),
    timeoutMs: 20_000,
  }),
  /** Paths are relative to /home/work or absolute below it; anything else is refused. */
  listFiles: method({
    params: v.object({ ...kernelRef, path: v.string() }),
    result: fileListing,
    timeoutMs: 15_000,
  }),
  /** Writes one file below /home/work, creating folders. `data` is base64. */
  uploadFile: method({
    params: v.object({ ...kernelRef, path: v.string(), data: v.string() }),
    result: v.null(),
    timeoutMs: 60_000,
  }),
  /** A tar archive (base64) holding the file or folder. */
  downloadArchive: method({
    params: v.object({ ...kernelRef, path: v.string() }),
    result: v.object({ data: v.string() }),
    timeoutMs: 60_000,
  }),
  /** One file's bytes (base64). */
  downloadFile: method({
    params: v.object({ ...kernelRef, path: v.string() }),
    result: v.object({ data: v.string() }),
    timeoutMs: 60_000,
  }),
  /** Begins to commit a kernel's container. `started` is false while one of it is under way. */
  commit: method({
    params: v.object({ ...kernelRef, target: commitTarget }),
    result: v.object({ started: v.boolean() }),
    timeoutMs: 10_000,
  }),
  /** What a watcher of this node found wrong with a kernel; null when it found nothing. */
  abuseReport: method({
    params: v.object(kernelRef),
    result: v.nullable(v.record(v.string(), v.unknown())),
    timeoutMs: 10_000,
  }),
  /** The mount points of this node at and below a path. */
  mounts: method({
    params: v.object({ below: v.string() }),
    result: v.object({ mounts: v.array(v.string()) }),
    timeoutMs: 10_000,
  }),
  /** What a file named `fstab` of this node holds. Rejects with ObjectNotFound. */
  fstab: method({
    params: v.object({ path: v.string() }),
    result: v.object({ content: v.string() }),
    timeoutMs: 10_000,
  }),
  /** Mounts a network file system on this node. Rejects with InvalidAPIParameters. */
  mountVolume: method({
    params: v.object({
      ...volumeMount,
      location: v.string(),
      type: v.string(),
      options: v.string(),
    }),
    result: v.object({ message: v.string() }),
    timeoutMs: 20_000,
  }),
  /** Undoes that. Rejects with InvalidAPIParameters. */
  unmountVolume: method({
    params: v.object(volumeMount),
    result: v.object({ message: v.string() }),
    timeoutMs: 20_000,
  }),
  /** How far the last commit of a kernel is. */
  commitState: method({ params: v.object(kernelRef), result: commitState, timeoutMs: 10_000 }),
  /** The kernels that are being committed now. */
  ongoingCommits: method({
    params: v.object({}),
    result: v.object({ kernelIds: v.array(v.string()) }),
    timeoutMs: 5_000,
  }),
} satisfies Api;
