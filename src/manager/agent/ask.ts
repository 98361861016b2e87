/** Asks the agents of a page of rows, all at once, what only they know. */
import { errorMessage } from '../../common/errors.ts';
import type { AgentClient, ManagerContext } from '../context.ts';
import { selectLiveContacts } from './graphql-store.ts';

/**
 * What each of these agents answers, by id; one that is away or does not answer in time is left out.
 * @param what for the log: what it was asked for.
 */
export async function askAgents<Answer>(
  ctx: Pick<ManagerContext, 'sql' | 'agents' | 'log'>,
  agentIds: readonly string[],
  what: string,
  ask: (agent: AgentClient) => Promise<Answer>,
): Promise<Map<string, Answer>> {
  const answers = await Promise.all(
    (await selectLiveContacts(ctx.sql, agentIds)).map(async ({ id, addr, publicKey }) => {
      try {
        return [id, await ask(ctx.agents.client(id, addr, publicKey))] as const;
      } catch (error) {
        ctx.log.warn(`an agent did not tell of its ${what}`, {
          ...{ agentId: id, error: errorMessage(error) },
        });
        return null;
      }
    }),
  );
  return new Map(answers.filter((answer) => answer !== null));
}
