/** The JSON options of a resource group, with upstream's defaults for whatever is left out. */
import * as v from 'valibot';
import { sessionTypes } from '../../common/protocol/kernel.ts';

const json = v.record(v.string(), v.unknown());

/** Whether and how sessions of low priority make room for others that wait with a higher one. */
const preemption = v.object({
  enabled: v.optional(v.boolean(), false),
  /** Sessions of at most this priority may be preempted. */
  preemptible_priority: v.optional(v.number(), 5),
  /** Who is preempted first, among those of the same priority. */
  order: v.optional(
    v.picklist(['oldest', 'newest', 'fewest-sessions', 'smallest-resources']),
    'oldest',
  ),
  mode: v.optional(v.picklist(['terminate', 'reschedule']), 'terminate'),
  /** A session may be preempted once it has run for so long. Seconds. */
  preemption_min_runtime: v.optional(v.pipe(v.number(), v.minValue(0)), 0),
  /** Whose sessions may be preempted: those of the same user, project, domain, or anybody's. */
  victim_scope: v.optional(v.picklist(['user', 'project', 'domain', 'resource-group']), 'user'),
});
export type PreemptionOptions = v.InferOutput<typeof preemption>;

/** Column `scheduler_opts`. */
export const schedulerOptions = v.object({
  allowed_session_types: v.optional(v.array(v.picklist(sessionTypes)), [
    'interactive',
    'batch',
    'inference',
  ]),
  /** Seconds after which a waiting session is given up; 0 means never. */
  pending_timeout: v.optional(v.pipe(v.number(), v.minValue(0)), 0),
  config: v.optional(json, {}),
  agent_selection_strategy: v.optional(
    v.picklist(['dispersed', 'concentrated', 'roundrobin', 'legacy']),
    'dispersed',
  ),
  agent_selector_config: v.optional(json, {}),
  enforce_spreading_endpoint_replica: v.optional(v.boolean(), false),
  allow_fractional_resource_fragmentation: v.optional(v.boolean(), true),
  route_cleanup_target_statuses: v.optional(v.array(v.string()), ['unhealthy']),
  preemption: v.optional(preemption, {}),
});
export type SchedulerOptions = v.InferOutput<typeof schedulerOptions>;

const handlerOptions = v.object({
  /** Seconds a session may stay in the handler's phase; null means unlimited. */
  timeout: v.optional(v.nullable(v.number()), null),
  /** null means unlimited. */
  max_retry_count: v.optional(v.nullable(v.number()), 5),
});

/** Column `default_session_options`. */
export const defaultSessionOptions = v.object({
  priority: v.optional(v.number(), 10),
  is_preemptible: v.optional(v.boolean(), true),
  cluster_mode: v.optional(v.picklist(['single-node', 'multi-node']), 'single-node'),
  default_failure_policy: v.optional(v.picklist(['strict', 'boot-all', 'tolerant']), 'strict'),
  default_kernel_execution_spec: v.optional(v.nullable(json), null),
  handler_options: v.optional(
    v.object({
      default: v.optional(handlerOptions, {}),
      by_handler: v.optional(v.record(v.string(), handlerOptions), {}),
    }),
    {},
  ),
  agent_selection_policy: v.optional(v.picklist(['strict', 'preferred']), 'preferred'),
});
export type DefaultSessionOptions = v.InferOutput<typeof defaultSessionOptions>;

const deploymentHandlerOptions = v.object({
  timeout: v.optional(v.nullable(v.number()), null),
  max_retry_count: v.optional(v.nullable(v.number()), null),
});

/** Column `default_deployment_options`: limits of the phases of deployments; null means none. */
export const deploymentOptions = v.object({
  handler_options: v.optional(
    v.object({
      default: v.optional(deploymentHandlerOptions, {}),
      by_handler: v.optional(v.record(v.string(), deploymentHandlerOptions), {}),
    }),
    {},
  ),
});
export type DeploymentOptions = v.InferOutput<typeof deploymentOptions>;

/** Column `fair_share_spec`: how usage turns into shares. */
export const fairShareSpec = v.object({
  /** Days after which usage counts half. */
  half_life_days: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 7),
  /** Days of usage that count at all. */
  lookback_days: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 28),
  decay_unit_days: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)), 1),
  /** Of whoever has no weight of its own; a decimal number as text. */
  default_weight: v.optional(v.pipe(v.union([v.string(), v.number()]), v.transform(String)), '1.0'),
  /** Slot name → how much its usage counts; decimal numbers as text. */
  resource_weights: v.optional(
    v.record(v.string(), v.pipe(v.union([v.string(), v.number()]), v.transform(String))),
    {},
  ),
});
export type FairShareSpec = v.InferOutput<typeof fairShareSpec>;
