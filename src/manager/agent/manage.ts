/** What superadmins change about agents: whether they take sessions, and their resource group. */
import { BackendError } from '../../common/errors.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import { loadResourceGroup } from '../resource-group/service.ts';
import {
  type AgentContact,
  selectContact,
  updateAgent,
  writeAttachedDevices,
} from './manage-store.ts';

export interface AgentWishes {
  readonly schedulable?: boolean | null;
  readonly scaling_group?: string | null;
}

/** Has the agent itself remember its group; its next heartbeat would undo the change otherwise. */
async function assignGroup(
  ctx: ManagerContext,
  agentId: string,
  contact: AgentContact,
  scalingGroup: string,
): Promise<void> {
  if (!(await loadResourceGroup(ctx.sql, scalingGroup))) {
    throw new BackendError('ScalingGroupNotFound', `There is no resource group '${scalingGroup}'.`);
  }
  if (contact.status !== 'ALIVE') {
    throw new BackendError(
      'AgentConnectionUnavailable',
      `Agent '${agentId}' is ${contact.status}; it can be moved when it is back.`,
    );
  }
  const agent = ctx.agents.client(agentId, contact.addr, contact.publicKey);
  await agent.assignGroup({ scalingGroup });
}

/**
 * Asks an agent in the background which devices its kernels hold, and corrects what is written down.
 * @returns the task. @throws BackendError AgentNotFound; AgentConnectionUnavailable for one that is away.
 */
export async function rescanDevices(
  by: ChangeContext & { readonly ctx: ManagerContext },
  agentId: string,
): Promise<string> {
  const { ctx } = by;
  const contact = await selectContact(ctx.sql, agentId);
  if (!contact) throw new BackendError('AgentNotFound', `There is no agent '${agentId}'.`);
  if (contact.status !== 'ALIVE') {
    throw new BackendError(
      'AgentConnectionUnavailable',
      `Agent '${agentId}' is ${contact.status}; it can be asked when it is back.`,
    );
  }
  return await ctx.tasks.start(by.caller, `Asking ${agentId} for its devices`, async () => {
    const agent = ctx.agents.client(agentId, contact.addr, contact.publicKey);
    const devices = await agent.attachedDevices({});
    const corrected = await change(by, async (tx, note) => {
      const kernels = await writeAttachedDevices(tx, agentId, devices);
      if (kernels.length > 0) {
        note({
          ...{ entityType: 'agent', entityId: agentId, operation: 'update' },
          after: { kernels_with_corrected_devices: kernels },
        });
      }
      return kernels.length;
    });
    return `${Object.keys(devices).length} kernels hold devices; ${corrected} records were corrected.`;
  });
}

/**
 * Changes an agent; null and absent leave things as they are.
 * @throws BackendError AgentNotFound, ScalingGroupNotFound, AgentConnectionUnavailable when it can't be
 *   told of its new group.
 */
export async function modifyAgent(
  by: ChangeContext & { readonly ctx: ManagerContext },
  agentId: string,
  wishes: AgentWishes,
): Promise<void> {
  const { ctx } = by;
  const contact = await selectContact(ctx.sql, agentId);
  if (!contact) throw new BackendError('AgentNotFound', `There is no agent '${agentId}'.`);
  const scalingGroup = wishes.scaling_group ?? null;
  if (scalingGroup !== null) await assignGroup(ctx, agentId, contact, scalingGroup);
  const schedulable = wishes.schedulable ?? null;
  await change(by, async (tx, note) => {
    const changed = await updateAgent(tx, agentId, { schedulable, scalingGroup });
    if (!changed) throw new BackendError('AgentNotFound', `There is no agent '${agentId}'.`);
    note({ entityType: 'agent', entityId: agentId, operation: 'update', ...changed });
  });
  // Sessions that wait may fit now.
  ctx.events.publish({ type: 'wake', loop: 'schedule' });
}

/**
 * Lets agents take sessions, or no more; all of them or none.
 * @throws BackendError AgentNotFound.
 */
export async function setSchedulable(
  by: ChangeContext & { readonly ctx: ManagerContext },
  agentIds: readonly string[],
  schedulable: boolean,
): Promise<void> {
  await change(by, async (tx, note) => {
    for (const agentId of [...new Set(agentIds)].sort()) {
      const changed = await updateAgent(tx, agentId, { schedulable, scalingGroup: null });
      if (!changed) throw new BackendError('AgentNotFound', `There is no agent '${agentId}'.`);
      note({ entityType: 'agent', entityId: agentId, operation: 'update', ...changed });
    }
  });
  by.ctx.events.publish({ type: 'wake', loop: 'schedule' });
}
