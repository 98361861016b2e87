/** Services (apps) of a kernel: what may be passed to one when it starts, and what is told about it. */
import * as v from 'valibot';

/** An option's value: one word, several words, or null for an option without a value. */
const argumentValue = v.nullable(v.union([v.string(), v.array(v.string())]));

/** What a user may add to a service's command line and environment; its definition lists the names. */
export const serviceOptions = v.object({
  arguments: v.record(v.string(), argumentValue),
  envs: v.record(v.string(), v.string()),
});
export type ServiceOptions = v.InferOutput<typeof serviceOptions>;

/** What a definition offers beside its name and ports. */
export const serviceOffer = v.object({
  /** How clients build the address to open, such as `http://{host}:{port}/lab`. */
  url_template: v.optional(v.string()),
  allowed_arguments: v.optional(v.array(v.string())),
  allowed_envs: v.optional(v.array(v.string())),
});
export type ServiceOffer = v.InferOutput<typeof serviceOffer>;

/** Where a service that runs is reached. */
export const servicePlace = v.object({
  /** running: it ran before. */
  status: v.picklist(['started', 'running']),
  protocol: v.string(),
  /** Address or name of the node, as the manager and the app proxy reach it. */
  host: v.string(),
  /** Ports inside the kernel, and those on `host` that lead to them, in the same order. */
  containerPorts: v.array(v.number()),
  hostPorts: v.array(v.number()),
});
export type ServicePlace = v.InferOutput<typeof servicePlace>;
