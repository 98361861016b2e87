/** The network between the manager and its agents: serving their calls, and calling them. */
import type { Clock } from '../common/clock.ts';
import { BackendError, errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { agentApi } from '../common/protocol/agent.ts';
import { managerApi } from '../common/protocol/manager.ts';
import type { Random } from '../common/random.ts';
import type { ApiOf } from '../common/rpc/api.ts';
import { rpcClient } from '../common/rpc/client.ts';
import { RPC_PREFIX, rpcHandler } from '../common/rpc/server.ts';
import { type NodeKeys, requestVerifier } from '../common/rpc/signature.ts';
import type { ConfigStore, Subscription } from '../stores/config/port.ts';
import type { KnownAgents } from './agent/known-agents.ts';
import type { AgentClient, AgentDirectory } from './context.ts';
import { publicRoute } from './http/declare.ts';
import type { Route } from './http/route.ts';

interface LinkOptions {
  readonly keys: NodeKeys;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** The gateway for one caller: it may speak for the agent whose key it holds, and no other. */
function guarded(
  gateway: ApiOf<typeof managerApi>,
  known: KnownAgents,
  publicKey: string,
): ApiOf<typeof managerApi> {
  const check = async (agentId: string) => {
    if (await known.owns(agentId, publicKey)) return;
    throw new BackendError(
      'AuthorizationFailed',
      `The call is signed with another key than agent ${agentId} is known by.`,
    );
  };
  return {
    async heartbeat(beat) {
      await check(beat.agentId);
      if (beat.publicKey !== publicKey) {
        throw new BackendError(
          'InvalidAPIParameters',
          'A heartbeat must tell the key it is signed with.',
        );
      }
      return gateway.heartbeat(beat);
    },
    async deliver(params) {
      await check(params.agentId);
      return gateway.deliver(params);
    },
    async reportStatistics(params) {
      await check(params.agentId);
      return gateway.reportStatistics(params);
    },
    async goodbye(params) {
      await check(params.agentId);
      return gateway.goodbye(params);
    },
  };
}

/** The route on which agents call. Only agents that the configuration store lists are heard. */
export function agentGatewayRoute(
  gateway: ApiOf<typeof managerApi>,
  known: KnownAgents,
  { keys, clock, log }: LinkOptions,
): Route {
  const handle = rpcHandler(managerApi, (caller) => guarded(gateway, known, caller.publicKey), {
    verify: requestVerifier({
      clock,
      isTrusted: (publicKey) => known.has(publicKey),
      self: keys.publicKey,
    }),
    keys,
    onError: (error, method) =>
      log.error('a call of an agent failed unexpectedly', { method, error: errorMessage(error) }),
  });
  return publicRoute(
    {
      method: 'POST',
      path: `${RPC_PREFIX}:method`,
      gate: 'any',
      summary: 'Take a call of an agent.',
      // Parsed once its signature, which covers the very bytes, is verified.
      takes: {},
      internal: true,
    },
    ({ request }) => handle(request),
  );
}

/** Bounds the remembered clients; agents that come back under new addresses leave old ones behind. */
const MAX_CLIENTS = 10_000;

/** Calls agents over HTTP, on kept-alive connections. */
export function httpAgentDirectory({ keys, clock, random }: LinkOptions): AgentDirectory {
  const clients = new Map<string, AgentClient>();
  return {
    client(agentId, addr, publicKey) {
      const id = `${addr} ${publicKey}`;
      const known = clients.get(id);
      if (known) return known;
      if (!/^https?:\/\//.test(addr)) {
        throw new BackendError(
          'AgentConnectionUnavailable',
          `Agent ${agentId} has the address '${addr}', which this manager cannot call over HTTP.`,
        );
      }
      if (clients.size >= MAX_CLIENTS) clients.clear();
      const client = rpcClient(agentApi, { baseUrl: addr, keys, peer: publicKey, clock, random });
      clients.set(id, client);
      return client;
    },
  };
}

/** How long a dead manager stays listed. Milliseconds. */
const LISTING_TTL_MS = 30_000;

/** Lists this manager in the configuration store, where agents look for one. */
export async function announceManager(
  config: ConfigStore,
  manager: { id: string; addr: string; publicKey: string },
): Promise<Subscription> {
  const { id, addr, publicKey } = manager;
  const contact = await config.putEphemeral(
    `nodes/manager-rpc/${id}`,
    JSON.stringify({ addr, publicKey }),
    LISTING_TTL_MS,
  );
  const presence = await config.putEphemeral(`nodes/manager/${id}`, 'up', LISTING_TTL_MS);
  return {
    close: async () => {
      await Promise.all([contact.close(), presence.close()]);
    },
  };
}
