/**
 * Work that outlives its request, such as copying a folder: it is begun once, reports how far it is,
 * and whoever asked for it may watch. Reports are kept in the live store, so that any manager can
 * show them, and a watcher who was cut off goes on where it stopped.
 */
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorMessage } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type { Logger } from '../../common/logger.ts';
import type { Random } from '../../common/random.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import { isStreamId, precedingStreamId } from '../../stores/live/stream-id.ts';
import type { Caller } from '../http/route.ts';

/** How long a finished task can be looked up. Milliseconds. */
const KEPT_MS = 24 * 60 * 60 * 1000;
/** Reports that are kept of a task; older ones are forgotten first. */
const MAX_REPORTS = 256;
/** Tasks that one manager runs at a time. */
const MAX_RUNNING = 1000;
/** A task whose manager gave no sign of life for this long has ended with it. Milliseconds. */
const ALIVE_MS = 30_000;
const BEAT_MS = 10_000;
/** How often a watcher looks by itself: announcements may get lost. Milliseconds. */
const LOOK_MS = 5_000;

export type TaskState = 'updated' | 'done' | 'cancelled' | 'failed';

/** One report of a task; the last one says how it ended. */
export interface TaskEvent {
  /** Grows within a task; names the place to go on from. */
  readonly id: string;
  readonly state: TaskState;
  readonly message: string;
  readonly current: number;
  readonly total: number;
}

export interface TaskReport {
  /** How much there is to do, in whatever unit; 0 while that is unknown. */
  readonly total: number;
  readonly current: number;
  readonly message: string;
}

/** The work. @returns the last message. Rejects when it failed; ends soon once `signal` aborts. */
export type TaskRun = (
  report: (progress: TaskReport) => Promise<void>,
  signal: AbortSignal,
) => Promise<string>;

const storedEvent = v.object({
  state: v.picklist(['updated', 'done', 'cancelled', 'failed']),
  message: v.string(),
  current: v.pipe(v.string(), v.transform(Number)),
  total: v.pipe(v.string(), v.transform(Number)),
});

const keyOf = (id: string) => `bgtask/${id}`;
const ownerKey = (id: string) => `bgtask/${id}/owner`;
const aliveKey = (id: string) => `bgtask/${id}/alive`;

/** The background tasks of this manager, and the reports of everybody's. */
export class BackgroundTasks {
  readonly #live: LiveStore;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  readonly #running = new Map<string, { abort: AbortController; ended: Promise<void> }>();
  #stopped = false;

  constructor(options: { live: LiveStore; clock: Clock; random: Random; log: Logger }) {
    this.#live = options.live;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#log = options.log;
  }

  /**
   * Begins a task on behalf of `caller`. @returns its id, with which its reports are found.
   * @throws BackendError ServiceUnavailable when too many run already, or the manager is stopping.
   */
  async start(caller: Pick<Caller, 'userId'>, name: string, run: TaskRun): Promise<string> {
    if (this.#stopped || this.#running.size >= MAX_RUNNING) {
      throw new BackendError(
        'ServiceUnavailable',
        `This manager runs ${this.#running.size} background tasks and takes no more. Try again later.`,
      );
    }
    const id = this.#random.uuid();
    await this.#live.set(aliveKey(id), '1', { ttlMs: ALIVE_MS });
    await this.#live.set(ownerKey(id), caller.userId, { ttlMs: KEPT_MS });
    await this.#report(id, 'updated', { current: 0, total: 0, message: name });
    const abort = new AbortController();
    const ended = this.#execute(id, name, run, abort.signal).finally(() => {
      this.#running.delete(id);
    });
    this.#running.set(id, { abort, ended });
    return id;
  }

  async #execute(id: string, name: string, run: TaskRun, signal: AbortSignal): Promise<void> {
    const beating = new AbortController();
    const beats = this.#beat(id, beating.signal);
    let last: TaskReport = { current: 0, total: 0, message: name };
    let ending: readonly [TaskState, string];
    try {
      const message = await run(async (progress) => {
        last = progress;
        await this.#report(id, 'updated', progress);
      }, signal);
      ending = ['done', message];
    } catch (error) {
      if (!signal.aborted) {
        this.#log.warn('a background task failed', { task: id, name, error: errorMessage(error) });
      }
      ending = signal.aborted
        ? ['cancelled', 'The manager that ran the task was stopped.']
        : ['failed', errorMessage(error)];
    }
    beating.abort();
    await beats;
    try {
      await this.#report(id, ending[0], { ...last, message: ending[1] });
    } catch (error) {
      // Watchers see its manager fall silent instead.
      this.#log.error('cannot tell how a background task ended', {
        task: id,
        error: errorMessage(error),
      });
    }
  }

  /** Shows that the task's manager lives, until `signal` aborts. */
  async #beat(id: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waited = this.#clock.sleep(BEAT_MS, signal).then(
        () => true,
        () => false,
      );
      if (!(await waited)) return;
      try {
        await this.#live.set(aliveKey(id), '1', { ttlMs: ALIVE_MS });
      } catch (error) {
        this.#log.warn('cannot keep a background task alive', {
          task: id,
          error: errorMessage(error),
        });
      }
    }
  }

  async #report(id: string, state: TaskState, progress: TaskReport): Promise<void> {
    const { current, total, message } = progress;
    const fields = { state, message, current: String(current), total: String(total) };
    await this.#live.streamAdd(keyOf(id), fields, MAX_REPORTS);
    await this.#live.expire(keyOf(id), KEPT_MS);
    await this.#live.publish(keyOf(id), state);
  }

  /**
   * Checks that `caller` may watch a task: its owner and superadmins may.
   * @throws BackendError InvalidBgtaskId, or BgtaskNotFound also for somebody else's.
   */
  async authorize(caller: Pick<Caller, 'userId' | 'isSuperadmin'>, id: string): Promise<void> {
    if (!isUuid(id)) {
      throw new BackendError('InvalidBgtaskId', `'${id}' is not the id of a background task.`);
    }
    const owner = await this.#live.get(ownerKey(id.toLowerCase()));
    if (owner === null || (owner !== caller.userId && !caller.isSuperadmin)) {
      throw new BackendError(
        'BgtaskNotFound',
        `There is no background task ${id} of yours; finished ones are kept for a day.`,
      );
    }
  }

  /** Whether all reports after one are still known, as that itself is. */
  async holds(id: string, reportId: string): Promise<boolean> {
    if (!isStreamId(reportId)) return false;
    const place = precedingStreamId(reportId);
    const [first] = await this.#live.streamRead(keyOf(id.toLowerCase()), place, 1);
    return first?.id === reportId;
  }

  /**
   * The reports of a task after `afterId`, or the latest one at first if that is none, until its end or `signal`.
   * The caller's right was checked before.
   */
  async *watch(id: string, afterId: string | null, signal: AbortSignal): AsyncGenerator<TaskEvent> {
    const key = keyOf(id.toLowerCase());
    let wake = () => {};
    let told = false;
    const notice = () => {
      told = true;
      wake();
    };
    const subscription = await this.#live.subscribe(key, notice);
    signal.addEventListener('abort', notice);
    try {
      const isPlace = afterId !== null && isStreamId(afterId);
      let place = isPlace ? afterId : '0';
      let fresh = !isPlace;
      while (!signal.aborted) {
        told = false;
        const alive = (await this.#live.get(aliveKey(id.toLowerCase()))) !== null;
        const events = (await this.#live.streamRead(key, place, MAX_REPORTS)).map(
          (entry): TaskEvent => ({ id: entry.id, ...v.parse(storedEvent, entry.fields) }),
        );
        for (const event of fresh ? events.slice(-1) : events) {
          yield event;
          if (event.state !== 'updated') return;
        }
        place = events.at(-1)?.id ?? place;
        fresh = false;
        if (events.length > 0) continue;
        if (!alive) {
          const message = 'The manager that ran the task is gone.';
          yield { id: place, state: 'failed', message, current: 0, total: 0 };
          return;
        }
        await this.#wait(
          () => told,
          (then) => {
            wake = then;
          },
        );
      }
    } finally {
      signal.removeEventListener('abort', notice);
      await subscription.close();
    }
  }

  /** Waits until told, or for a while. */
  async #wait(isTold: () => boolean, onWake: (then: () => void) => void): Promise<void> {
    if (isTold()) return;
    const stop = new AbortController();
    const woken = new Promise<void>((resolve) => onWake(resolve));
    const rested = this.#clock.sleep(LOOK_MS, stop.signal).catch(() => {});
    if (!isTold()) await Promise.race([woken, rested]);
    stop.abort();
  }

  /** Ends the tasks of this manager and waits until they have. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const running = [...this.#running.values()];
    for (const { abort } of running) abort.abort();
    await Promise.all(running.map(({ ended }) => ended));
  }
}
