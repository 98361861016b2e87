/** What resolvers tell of agents' devices: how much is given away, and their health as the agent sees it. */
import { GraphQLScalarType } from 'graphql';
import type { HardwareReport } from '../../common/protocol/agent.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { batched } from '../graphql/loaders.ts';
import { askAgents } from './ask.ts';
import { type DeviceHolding, selectDeviceHoldings } from './graphql-store.ts';

/** Not shared out as devices: these are amounts. */
const PLAIN_DEVICES = new Set(['cpu', 'mem']);

/** Device UUID → how much of it is given away; 1 is all of it. */
export type DeviceShares = Readonly<Record<string, number>>;

/** What kernels hold of each device of an agent; a kernel's share is spread evenly over its devices. */
export function sharesOf(holdings: readonly DeviceHolding[]): DeviceShares {
  const shares: Record<string, number> = {};
  for (const { devices, held } of holdings) {
    for (const [family, attached] of Object.entries(devices)) {
      if (PLAIN_DEVICES.has(family) || attached.length === 0) continue;
      const amount = Number(
        held[`${family}.shares`] ?? held[`${family}.device`] ?? attached.length,
      );
      for (const { device_id } of attached) {
        const id = device_id.replace(/^GPU-/, '');
        shares[id] = (shares[id] ?? 0) + amount / attached.length;
      }
    }
  }
  return shares;
}

const shares = batched<string, DeviceShares>(async (ids, { ctx }) => {
  const byAgent = Map.groupBy(await selectDeviceHoldings(ctx.sql, ids), ({ agent }) => agent);
  return new Map(ids.map((id) => [id, sharesOf(byAgent.get(id) ?? [])]));
});

const hardware = batched<string, HardwareReport>((ids, { ctx }) =>
  askAgents(ctx, ids, 'hardware', (agent) => agent.describeHardware({})),
);

export const deviceFields = {
  gpu_alloc_map: (agent: { id: string }, _args: unknown, context: GraphqlContext) =>
    shares(context, agent.id),
  hardware_metadata: (agent: { id: string }, _args: unknown, context: GraphqlContext) =>
    hardware(context, agent.id),
};

export const floatMap = new GraphQLScalarType({
  name: 'UUIDFloatMap',
  description: 'An object with numbers by UUID.',
});
