/** Cluster-wide facts and settings that everybody may read. */
import { BackendError } from '../../common/errors.ts';
import type { SlotType } from '../../common/slots.ts';
import type { ManagerContext } from '../context.ts';
import * as store from './store.ts';

const ANNOUNCEMENT_KEY = 'manager/announcement';
/** Largest announcement. Characters. */
const MAX_ANNOUNCEMENT_LENGTH = 64 * 1024;

export interface Announcement {
  readonly enabled: boolean;
  readonly message: string;
}

/** The administrators' message to all users. */
export async function getAnnouncement(ctx: ManagerContext): Promise<Announcement> {
  const message = await ctx.config.get(ANNOUNCEMENT_KEY);
  return { enabled: message !== null, message: message ?? '' };
}

/** Shows or withdraws the message. @throws BackendError InvalidAPIParameters for an empty one. */
export async function setAnnouncement(
  ctx: ManagerContext,
  { enabled, message }: { enabled: boolean; message: string | null },
): Promise<void> {
  if (!enabled) {
    await ctx.config.delete(ANNOUNCEMENT_KEY);
    return;
  }
  if (message === null || message === '') {
    throw new BackendError(
      'InvalidAPIParameters',
      'Empty message not allowed to enable announcement',
    );
  }
  if (message.length > MAX_ANNOUNCEMENT_LENGTH) {
    throw new BackendError(
      'InvalidAPIParameters',
      `The message has ${message.length} characters; at most ${MAX_ANNOUNCEMENT_LENGTH} are accepted.`,
    );
  }
  await ctx.config.put(ANNOUNCEMENT_KEY, message);
}

/** Slot name → how it is counted. */
export async function getSlotTypes(ctx: ManagerContext): Promise<Record<string, SlotType>> {
  const rows = await store.selectSlotTypes(ctx.sql);
  return Object.fromEntries(rows.map(({ slot_name, slot_type }) => [slot_name, slot_type]));
}

/**
 * As `getSlotTypes`, without the kinds of devices that no agent of the cluster has: pages list all that
 * they are told, with a bar of zero for each.
 */
export async function getOfferedSlotTypes(ctx: ManagerContext): Promise<Record<string, SlotType>> {
  const rows = await store.selectOfferedSlotTypes(ctx.sql);
  return Object.fromEntries(rows.map(({ slot_name, slot_type }) => [slot_name, slot_type]));
}

/** How many sessions hold resources at present. */
export const countActiveSessions = (ctx: ManagerContext): Promise<number> =>
  store.countActiveSessions(ctx.sql);
