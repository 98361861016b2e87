/**
 * Which manager runs the cluster-wide loops: the one that holds an advisory lock of PostgreSQL. The
 * lock lives and dies with its connection, so a dead leader is replaced without waiting for a lease.
 *
 * Leadership saves work; it is no guarantee. All that leaders do is safe with two of them.
 */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import type { Logger } from '../../common/logger.ts';
import { singleConnection } from '../db/connect.ts';
import { type Loop, startLoop } from '../loop.ts';

/** Key of the lock, ours alone: "bai" and a number. */
const LOCK_KEY = 0x626169_01;
const CHECK_MS = 1000;
const END_TIMEOUT_SEC = 1;

export interface LeaderElection {
  readonly isLeader: () => boolean;
  /** Gives the lock back and stops trying. */
  stop(): Promise<void>;
}

interface ElectionOptions {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called with true when this manager becomes leader, with false when it no longer is. */
  readonly onChange: (leading: boolean) => void;
}

const flag = v.tuple([v.object({ held: v.boolean() })]);

/** Takes the lock if it is free; true as well when this connection already has it. */
async function tryLock(connection: Sql): Promise<boolean> {
  // Asking pg_locks first: taking a held lock again would count up, and a connection that was
  // silently replaced no longer has it.
  const [{ held }] = v.parse(flag, [
    ...(await connection`
      SELECT CASE WHEN EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid()
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid = 0 AND objid = ${LOCK_KEY} AND objsubid = 1
      ) THEN true ELSE pg_try_advisory_lock(${LOCK_KEY}) END AS held`),
  ]);
  return held;
}

/** Starts to compete for leadership. A lost connection means lost leadership, then a new attempt. */
export function startElection(options: ElectionOptions): LeaderElection {
  const { sql, clock, log, onChange } = options;
  const connection = singleConnection(sql);
  let leading = false;

  const set = (value: boolean) => {
    if (leading === value) return;
    leading = value;
    log.info(value ? 'this manager leads the scheduling' : 'leadership of the scheduling is lost');
    onChange(value);
  };

  const loop: Loop = startLoop({
    name: 'leader election',
    sweepMs: CHECK_MS,
    clock,
    log,
    async run() {
      try {
        set(await tryLock(connection));
      } catch (error) {
        set(false);
        throw error;
      }
    },
  });

  return {
    isLeader: () => leading,
    async stop() {
      // The lock goes with its connection, and so does a question that gets no answer.
      await Promise.all([loop.stop(), connection.end({ timeout: END_TIMEOUT_SEC })]);
      set(false);
    },
  };
}
