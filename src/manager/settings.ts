/** The manager's settings, as manager.toml, the environment and the config store give them. */
import * as v from 'valibot';

export const managerSettings = v.object({
  /** Largest age of a heartbeat before an agent counts as lost. Seconds. */
  heartbeatTimeoutSec: v.optional(v.number(), 40),
  /** How long sessions on a lost agent are kept before they count as ended. Seconds; 300. */
  agentLostGraceSec: v.optional(v.number()),
  /** Ordinary users may not see or name agents. */
  hideAgents: v.optional(v.boolean(), false),
  /** Slots that weigh first when agents are compared, by name or prefix. */
  agentSelectionResourcePriority: v.optional(v.array(v.string()), [
    'cuda',
    'rocm',
    'tpu',
    'cpu',
    'mem',
  ]),
  maxWebSocketMessageBytes: v.optional(v.number(), 16 * 1024 * 1024),
  /** Older passwords must be replaced before the next sign-in; absent: never. */
  maxPasswordAgeMs: v.optional(v.number()),
  /** How long a sign-in lasts; a week by default. Seconds. */
  loginSessionMaxAgeSec: v.optional(v.number()),
  /** Whether roles decide about what lies in scopes; false lets everybody who signed in pass. */
  rbacEnforced: v.optional(v.boolean(), true),
  /** Proxies in front of the API, as addresses or CIDR blocks: what they forward is believed. */
  trustedProxies: v.optional(v.array(v.string())),
  /** Adds tracebacks to error documents. */
  debug: v.optional(v.boolean(), false),
});
export type ManagerSettings = v.InferOutput<typeof managerSettings>;
