/** Asks an agent for a sign of life, as the manager would. */
import { BackendError } from '../../common/errors.ts';
import type { AgentDirectory } from '../context.ts';
import type { Db } from '../db/connect.ts';
import { selectAgent } from './store.ts';

export interface AgentSign {
  readonly agentId: string;
  /** Of the agent's program. */
  readonly version: string;
  /** Where it was asked. */
  readonly addr: string;
}

/**
 * @throws BackendError AgentNotFound when there is no such agent, AgentConnectionUnavailable
 *   when it does not answer.
 */
export async function pingAgent(
  sql: Db,
  agents: AgentDirectory,
  agentId: string,
): Promise<AgentSign> {
  const row = await selectAgent(sql, agentId);
  if (row === null) {
    throw new BackendError('AgentNotFound', `There is no agent '${agentId}'.`);
  }
  const sign = await agents.client(agentId, row.addr, row.identity_key ?? '').ping({});
  return { ...sign, addr: row.addr };
}
