/** What agents have mounted, and mount when they start, as they tell when they are asked. */
import { BackendError, errorMessage } from '../../common/errors.ts';
import { pooled } from '../../common/pooled.ts';
import type { ManagerContext } from '../context.ts';
import { selectAliveContacts, selectContact } from './manage-store.ts';

/** Agents that are asked at a time. */
const PARALLEL = 16;
/** Most agents of one answer. */
const MAX_AGENTS = 10_000;

/** What one machine tells. */
export interface MountReport {
  readonly success: boolean;
  readonly mounts: readonly (string | readonly string[])[];
  /** Why it tells nothing. */
  readonly message: string;
}

/** The report of whoever is asked, also when it fails. */
export async function mountReport(ask: () => Promise<MountReport['mounts']>): Promise<MountReport> {
  try {
    return { success: true, mounts: await ask(), message: '' };
  } catch (error) {
    return { success: false, mounts: [], message: errorMessage(error) };
  }
}

type AgentClient = ReturnType<ManagerContext['agents']['client']>;
type Told = Omit<MountReport, 'success'>;

/**
 * What each agent that is alive tells; one that cannot be asked does not hide the others.
 * @param group null: the agents of all resource groups. @returns reports by agent, in order.
 */
async function reportsOf(
  ctx: ManagerContext,
  group: string | null,
  ask: (agent: AgentClient) => Promise<Told>,
): Promise<Map<string, MountReport>> {
  const reports = new Map<string, MountReport>();
  const contacts = await selectAliveContacts(ctx.sql, group, MAX_AGENTS);
  await pooled(contacts, PARALLEL, async ({ id, addr, publicKey }) => {
    try {
      const told = await ask(ctx.agents.client(id, addr, publicKey));
      reports.set(id, { success: true, ...told });
    } catch (error) {
      reports.set(id, { success: false, mounts: [], message: errorMessage(error) });
    }
  });
  return new Map([...reports].sort(([left], [right]) => left.localeCompare(right)));
}

/** What each agent that is alive has mounted at and below a path. */
export const agentMounts = (ctx: ManagerContext, below: string) =>
  reportsOf(ctx, null, async (agent) => ({
    mounts: (await agent.mounts({ below })).mounts,
    message: '',
  }));

/** Has each agent that is alive mount something, or unmount it. */
export const onAgents = (
  ctx: ManagerContext,
  group: string | null,
  act: (agent: AgentClient) => Promise<{ readonly message: string }>,
): Promise<Map<string, MountReport>> =>
  reportsOf(ctx, group, async (agent) => ({ mounts: [], message: (await act(agent)).message }));

/**
 * What a file such as /etc/fstab of an agent holds.
 * @throws BackendError AgentNotFound; AgentConnectionUnavailable for one that is away; what it answers.
 */
export async function agentFstab(
  ctx: ManagerContext,
  agentId: string,
  path: string,
): Promise<string> {
  const contact = await selectContact(ctx.sql, agentId);
  if (contact === null) throw new BackendError('AgentNotFound', `There is no agent '${agentId}'.`);
  if (contact.status !== 'ALIVE') {
    throw new BackendError(
      'AgentConnectionUnavailable',
      `Agent '${agentId}' is ${contact.status}; it can be asked when it is back.`,
    );
  }
  const agent = ctx.agents.client(agentId, contact.addr, contact.publicKey);
  return (await agent.fstab({ path })).content;
}
