/**
 * The event bus: announcements reach listeners of this manager at once, and those of sibling
 * managers through the live store's publish/subscribe.
 */
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import { type EventBus, type ManagerEvent, statusEvent } from './bus.ts';
import { EventLog } from './log.ts';

const CHANNEL = 'manager/events';

const managerEvent = v.variant('type', [
  statusEvent,
  v.object({ type: v.literal('entity-changed'), entityType: v.string() }),
  v.object({
    type: v.literal('wake'),
    loop: v.picklist(['schedule', 'start', 'terminate', 'callback', 'apps']),
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
  /** What was published of sessions and kernels, by any manager. */
  readonly log: EventLog;
  /** Stops listening to siblings. */
  close(): Promise<void>;
}

/**
 * Joins the managers' conversation.
 * @param managerId tells own messages from those of siblings; unique per process.
 * @throws what the live store throws when it cannot be subscribed to.
 */
export async function createEventBus(
  live: Pick<LiveStore, 'publish' | 'subscribe' | 'streamAdd' | 'streamRead' | 'streamLast'>,
  managerId: string,
  clock: Clock,
  log: Logger,
): Promise<ManagedEventBus> {
  const kept = await EventLog.open(live, clock, log);
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

  // As `tellSiblings` writes it. What comes back of the own events, most of all, is not worth reading.
  const ownBeginning = `{"from":${JSON.stringify(managerId)},`;
  const subscription = await live.subscribe(CHANNEL, (text) => {
    if (text.startsWith(ownBeginning)) return;
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
      if (event.type === 'session-status' || event.type === 'kernel-status') kept.append(event);
    },
    log: kept,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => {
      await subscription.close();
      await kept.close();
    },
  };
}
