/** Whether sessions are being committed, as GraphQL tells it; their agents know. */
import { askAgents } from '../agent/ask.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { batched } from '../graphql/loaders.ts';
import type { ContainerRow } from './graphql-store.ts';

type CommitStatus = 'ready' | 'ongoing';

/** The kernels that an agent commits; agents are asked once an operation, however many sessions are listed. */
const committedOn = batched<string, ReadonlySet<string>>((agentIds, { ctx }) =>
  askAgents(
    ctx,
    agentIds,
    'commits',
    async (agent) => new Set((await agent.ongoingCommits({})).kernelIds),
  ),
);

/** Of the main kernel, the first, which is what a commit keeps. Null when its agent does not answer. */
export async function commitStatusOf(
  context: GraphqlContext,
  [main]: readonly ContainerRow[],
): Promise<CommitStatus | null> {
  if (!main?.agent || main.status !== 'RUNNING') return 'ready';
  const committed = await committedOn(context, main.agent);
  if (committed === null) return null;
  return committed.has(main.id) ? 'ongoing' : 'ready';
}
