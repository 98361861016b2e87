/**
 * The event bus: announcements reach listeners of this manager at once, and those of sibling
 * managers through the live store's publish/subscribe.
 */
import * as v from 'valibot';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import type { EventBus, ManagerEvent } from './bus.ts';

const CHANNEL = 'manager/events';

const managerEvent = v.variant('type', [
  v.object({
    type: v.literal('session-status'),
    sessionId: v.string(),
    status: v.string(),
    reason: v.string(),
  }),
  v.object({
    type: v.literal('kernel-status'),
    sessionId: v.string(),
    kernelId: v.string(),
    status: v.string(),
    reason: v.string(),
    exitCode: v.nullable(v.number()),
  }),
  v.object({ type: v.literal('entity-changed'), entityType: v.string() }),
  v.object({
    type: v.literal('wake'),
    loop: v.picklist(['schedule', 'start', 'terminate', 'callback']),
  }),
]);

const message = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ from: v.string(), event: managerEvent }),
);

/** Announcements on their way to siblings; more than this are dropped, the sweeps make up for it. */
const MAX_IN_FLIGHT = 1000;

export interface ManagedEventBus extends EventBus {
  /** Stops listening to siblings. */
  close(): Promise<void>;
}

/**
 * Joins the managers' conversation.
 * @param managerId tells own messages from those of siblings; unique per process.
 * @throws what the live store throws when it cannot be subscribed to.
 */
export async function createEventBus(
  live: Pick<LiveStore, 'publish' | 'subscribe'>,
  managerId: string,
  log: Logger,
): Promise<ManagedEventBus> {
  const listeners = new Set<(event: ManagerEvent) => void>();
  let inFlight = 0;
  let failing = false;

  const deliver = (event: ManagerEvent) => {
    for (const listener of [...listeners]) {
      try {
        listener(event);
      } catch (error) {
        log.error('a listener failed on an event', {
          event: event.type,
          error: errorMessage(error),
        });
      }
    }
  };

  const tellSiblings = async (event: ManagerEvent) => {
    if (inFlight >= MAX_IN_FLIGHT) return;
    inFlight += 1;
    try {
      await live.publish(CHANNEL, JSON.stringify({ from: managerId, event }));
      failing = false;
    } catch (error) {
      // Once per outage: events are many, and the cause is the same.
      if (!failing) {
        log.warn('cannot announce events to sibling managers', { error: errorMessage(error) });
      }
      failing = true;
    } finally {
      inFlight -= 1;
    }
  };

  const subscription = await live.subscribe(CHANNEL, (text) => {
    const parsed = v.safeParse(message, text);
    if (!parsed.success) {
      log.warn('ignored a malformed event of a sibling manager');
    } else if (parsed.output.from !== managerId) {
      deliver(parsed.output.event);
    }
  });

  return {
    publish(event) {
      deliver(event);
      void tellSiblings(event);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => subscription.close(),
  };
}
