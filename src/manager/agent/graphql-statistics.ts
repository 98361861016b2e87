/** Statistics as resolvers read them: one read of the live store per request and kind. */
import DataLoader from 'dataloader';
import type { Metrics, NodeStatistics } from '../../common/protocol/statistics.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { loadKernelStatistics, loadNodeStatistics } from './statistics.ts';

interface Loaders {
  readonly nodes: DataLoader<string, NodeStatistics | null>;
  readonly kernels: DataLoader<string, Metrics | null>;
}

const loadersByRequest = new WeakMap<GraphqlContext, Loaders>();

function loadersOf(context: GraphqlContext): Loaders {
  let loaders = loadersByRequest.get(context);
  if (!loaders) {
    const { live } = context.ctx;
    loaders = {
      nodes: new DataLoader((ids) => loadNodeStatistics(live, ids)),
      kernels: new DataLoader((ids) => loadKernelStatistics(live, ids)),
    };
    loadersByRequest.set(context, loaders);
  }
  return loaders;
}

/** What a node uses now; null when its agent does not report. */
const nodeStatistics = (context: GraphqlContext, agentId: string) =>
  loadersOf(context).nodes.load(agentId);

/** What a kernel used at last; null when it was never measured or ended long ago. */
export const kernelStatistics = (context: GraphqlContext, kernelId: string) =>
  loadersOf(context).kernels.load(kernelId);

export const liveStat = (agent: { id: string }, _args: unknown, context: GraphqlContext) =>
  nodeStatistics(context, agent.id);

/** The figures of a node that the older type of agents shows on their own. */
export const nodeFigures = {
  live_stat: liveStat,
  /** 100 for each processor in full use. */
  cpu_cur_pct: async (agent: { id: string }, _args: unknown, context: GraphqlContext) =>
    Number((await nodeStatistics(context, agent.id))?.node.cpu_util?.pct ?? 0),
  mem_cur_bytes: async (agent: { id: string }, _args: unknown, context: GraphqlContext) =>
    Number((await nodeStatistics(context, agent.id))?.node.mem?.current ?? 0),
};
