/** The calls an agent makes to its manager: heartbeats with full state, and the ordered outbox. */
import * as v from 'valibot';
import { type Api, method } from '../rpc/api.ts';
import {
  actualKernel,
  desiredKernel,
  kernelCreationInfo,
  slotMap,
  terminationReason,
} from './kernel.ts';
import { statisticsReport } from './statistics.ts';

const eventBody = v.variant('kind', [
  v.object({ kind: v.literal('kernel-preparing') }),
  v.object({ kind: v.literal('kernel-pulling'), image: v.string() }),
  v.object({ kind: v.literal('kernel-pulled'), image: v.string() }),
  v.object({ kind: v.literal('kernel-creating') }),
  v.object({ kind: v.literal('kernel-started'), info: kernelCreationInfo }),
  v.object({
    kind: v.literal('kernel-terminated'),
    reason: terminationReason,
    exitCode: v.nullable(v.number()),
    /** What went wrong, for people; null when the end was asked for. */
    message: v.nullable(v.string()),
    /** Tail of the kernel's log; null when nothing was kept. */
    logs: v.nullable(v.string()),
  }),
  /** A batch session's startup command ended. */
  v.object({
    kind: v.literal('batch-finished'),
    result: v.picklist(['success', 'failure']),
    reason: terminationReason,
    exitCode: v.number(),
  }),
]);
export type AgentEventBody = v.InferOutput<typeof eventBody>;

/** An entry of the agent's outbox. `seq` grows by one per agent and is never reused. */
export const agentEvent = v.object({
  seq: v.number(),
  /** ISO-8601 time at which it happened, by the agent's clock. */
  at: v.string(),
  kernelId: v.string(),
  sessionId: v.string(),
  body: eventBody,
});
export type AgentEvent = v.InferOutput<typeof agentEvent>;

export const agentImage = v.object({
  canonical: v.string(),
  architecture: v.string(),
  digest: v.string(),
  sizeBytes: v.number(),
  labels: v.record(v.string(), v.string()),
  /** Short names under which people ask for it, such as `python`. */
  aliases: v.array(v.string()),
});
export type AgentImage = v.InferOutput<typeof agentImage>;

export const slotFormat = v.object({
  human_readable_name: v.pipe(v.string(), v.maxLength(128)),
  description: v.pipe(v.string(), v.maxLength(256)),
  display_unit: v.pipe(v.string(), v.maxLength(32)),
  number_format: v.object({
    binary: v.boolean(),
    round_length: v.pipe(v.number(), v.integer(), v.minValue(0)),
  }),
  display_icon: v.pipe(v.string(), v.maxLength(64)),
});
export type SlotFormat = v.InferOutput<typeof slotFormat>;

export const heartbeat = v.object({
  agentId: v.string(),
  version: v.string(),
  backend: v.picklist(['docker', 'process', 'dummy']),
  region: v.string(),
  scalingGroup: v.string(),
  architecture: v.string(),
  /** Where the manager reaches the agent: `http://host:port`, or `local:` inside `up`. */
  addr: v.string(),
  publicHost: v.string(),
  /** Ed25519 public key, base64url of the raw 32 bytes. */
  publicKey: v.string(),
  availableSlots: slotMap,
  slotTypes: v.record(v.string(), v.picklist(['count', 'bytes', 'unique'])),
  /** How slots that a cluster may not know are shown. An agent of before sends none. */
  slotFormats: v.optional(v.record(v.string(), slotFormat), {}),
  computePlugins: v.record(v.string(), v.record(v.string(), v.union([v.string(), v.boolean()]))),
  images: v.array(agentImage),
  /** Every kernel the agent holds, whatever its state. */
  kernels: v.array(actualKernel),
});
export type Heartbeat = v.InferOutput<typeof heartbeat>;

export const managerApi = {
  /** Registers or refreshes the agent. The answer lists what differs from what should be. */
  heartbeat: method({
    params: heartbeat,
    result: v.object({
      desired: v.array(desiredKernel),
      /** Last outbox entry applied. An agent whose outbox was lost continues after it. */
      lastEventSeq: v.optional(v.number()),
    }),
    timeoutMs: 10_000,
  }),
  /** Delivers outbox entries in order. The agent deletes entries up to `ackedSeq`. */
  deliver: method({
    params: v.object({
      agentId: v.string(),
      events: v.pipe(v.array(agentEvent), v.maxLength(500)),
    }),
    result: v.object({ ackedSeq: v.number() }),
    timeoutMs: 10_000,
  }),
  /** What the node and its kernels use. Says nothing about what runs; a lost one is not repeated. */
  reportStatistics: method({
    params: statisticsReport,
    result: v.null(),
    timeoutMs: 5_000,
  }),
  /** The agent leaves on purpose; its kernels keep running. */
  goodbye: method({
    params: v.object({ agentId: v.string(), reason: v.picklist(['shutdown', 'agent-restart']) }),
    result: v.null(),
    timeoutMs: 5_000,
  }),
} satisfies Api;
