/** An etcd entry that lives as long as its owner: published under a lease, again when that is lost. */
import type { Etcd3, Lease } from 'etcd3';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { LogFields } from '../../common/logger.ts';
import type { Subscription } from './port.ts';

export interface LeaseOptions {
  readonly client: Etcd3;
  readonly clock: Clock;
  readonly physicalKey: string;
  readonly value: string;
  /** Rounded up to whole seconds; etcd itself goes no lower than two. */
  readonly ttlMs: number;
  readonly warn: (message: string, fields: LogFields) => void;
}

const RETRY_MS = 1000;

/** Publishes the entry; resolves once it is visible. */
export async function publishLease(options: LeaseOptions): Promise<Subscription> {
  const { client, clock, physicalKey, value } = options;
  const stopping = new AbortController();
  let current: Lease | null = null;

  const publish = async (): Promise<void> => {
    const lease = client.lease(Math.max(1, Math.ceil(options.ttlMs / 1000)));
    lease.on('lost', (error) => {
      if (current !== lease || stopping.signal.aborted) return;
      options.warn('lost a lease on etcd; publishing again', { error: errorMessage(error) });
      void republish();
    });
    try {
      await lease.grant();
      await lease.put(physicalKey).value(value).exec();
    } catch (error) {
      // Kept alive, it would go on for ever beside the one that replaces it.
      lease.release();
      throw error;
    }
    if (stopping.signal.aborted) await lease.revoke();
    else current = lease;
  };

  const republish = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await publish();
        return;
      } catch (error) {
        if (stopping.signal.aborted) return;
        options.warn('could not publish on etcd', { error: errorMessage(error) });
        await clock.sleep(RETRY_MS, stopping.signal).catch(() => {});
      }
    }
  };

  await publish();
  return {
    close: async () => {
      if (stopping.signal.aborted) return;
      stopping.abort();
      await current?.revoke();
    },
  };
}
