/**
 * Deleting and copying whole folders: the storage proxy does it, the database remembers that it is
 * to be done, and a manager looks after it until it has ended. Whichever manager ends meanwhile, the
 * leader takes its work up; asking a proxy again for what it does already is harmless.
 */
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorMessage } from '../../common/errors.ts';
import type { TaskReport } from '../background-task/service.ts';
import type { ManagerContext } from '../context.ts';
import { cloneFolder, deleteFolder, type StorageTask, storageTask } from '../storage/client.ts';
import { deleteFolderRow, updateStatus } from './manage-store.ts';
import { vfidOf } from './rules.ts';
import { unattended, underLease } from './work-lease.ts';
import * as store from './work-store.ts';

export type WorkContext = Pick<
  ManagerContext,
  'sql' | 'config' | 'clock' | 'log' | 'events' | 'live'
>;
type Report = (progress: TaskReport) => Promise<void>;

/** Failed questions in a row after which a manager leaves work to the next pass. */
const MAX_FAILURES = 5;
const PAUSE_MS = 1_000;
/** Work is taken up when nobody looked after it for this long, whatever leases say. Seconds. */
const IDLE_SEC = 60;
/** Work that was noted just now has no lease yet. Seconds. */
const GRACE_SEC = 3;
const MAX_LOOKED_AT = 1000;
const MAX_TAKEN = 20;
/** Work that a leader looks after at a time; the rest waits until some has ended. */
const MAX_RUNNING = 200;
/** Longest pass of the leader, which goes on with the work beside the next one. Milliseconds. */
const PASS_MS = 3_000;

const isGone = (error: unknown): boolean =>
  error instanceof BackendError && ['VFolderNotFound', 'VFolderGone'].includes(error.problem);
/** Whether trying again can help. */
const isPassing = (error: unknown): boolean =>
  error instanceof BackendError &&
  ['StorageProxyConnectionError', 'StorageProxyTimeout'].includes(error.problem);

/** Asks the proxy to begin. @returns its id of the task; null when there is nothing left to do. */
async function begin(ctx: WorkContext, work: store.WorkRecord): Promise<string | null> {
  const place = { host: work.host, vfid: vfidOf({ ...work, id: work.vfolder }) };
  if (work.kind === 'delete') {
    if (work.unmanaged_path !== null) return null;
    try {
      return await deleteFolder(ctx, place);
    } catch (error) {
      if (isGone(error)) return null;
      throw error;
    }
  }
  const { source, source_host: host, source_quota_scope_id: scope } = work;
  if (source === null || host === null || scope === null) {
    throw new BackendError('VFolderNotFound', 'The folder to copy is gone.');
  }
  return cloneFolder(ctx, { host, vfid: vfidOf({ id: source, quota_scope_id: scope }) }, place);
}

async function finish(
  ctx: WorkContext,
  work: store.WorkRecord,
  failure: string | null,
): Promise<void> {
  await ctx.sql.begin(async (tx) => {
    await store.deleteWork(tx, work.vfolder);
    if (work.kind === 'delete') {
      const to = failure === null ? 'delete-complete' : 'delete-error';
      await updateStatus(tx, work.vfolder, ['delete-ongoing'], to);
      return;
    }
    if (work.source !== null) await updateStatus(tx, work.source, ['cloning'], 'ready');
    // A copy that failed left nothing on storage.
    if (failure === null) await updateStatus(tx, work.vfolder, ['cloning'], 'ready');
    else await deleteFolderRow(tx, work.vfolder);
  });
  ctx.events.publish({ type: 'entity-changed', entityType: 'vfolder' });
}

/** Follows a proxy's task to its end. @throws what asking throws, once it failed several times. */
export async function followTask(
  ctx: WorkContext,
  host: string,
  taskId: string,
  options: {
    readonly name: string;
    readonly signal: AbortSignal;
    readonly report?: Report;
    readonly onNews?: () => Promise<void>;
  },
): Promise<StorageTask> {
  const { name, signal, report, onNews } = options;
  let version: number | null = null;
  let failures = 0;
  while (true) {
    signal.throwIfAborted();
    try {
      const state: StorageTask = await untilAborted(
        storageTask(ctx, host, taskId, version),
        signal,
      );
      failures = 0;
      if (state.status !== 'started') return state;
      if (state.version !== version) {
        await report?.({
          current: state.current_progress,
          total: state.total_progress,
          message: state.message || name,
        });
      }
      await onNews?.();
      version = state.version;
    } catch (error) {
      failures += 1;
      if (signal.aborted || !isPassing(error) || failures >= MAX_FAILURES) throw error;
      await pause(ctx.clock, PAUSE_MS * failures, signal);
    }
  }
}

function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', onAbort));
}

const pause = (clock: Clock, ms: number, signal: AbortSignal) => clock.sleep(ms, signal);

/**
 * Does the noted work on a folder to its end. @returns what to tell, at once when there is none.
 * Rejects when it failed for good, which is then noted, or for now, in which case it stays to do.
 */
export const carryOut = (
  ctx: WorkContext,
  folderId: string,
  signal: AbortSignal,
  report?: Report,
): Promise<string> =>
  underLease(ctx, folderId, () => carryOutLeased(ctx, folderId, signal, report));

async function carryOutLeased(
  ctx: WorkContext,
  folderId: string,
  signal: AbortSignal,
  report?: Report,
): Promise<string> {
  const work = await store.selectWork(ctx.sql, folderId);
  if (work === null) return 'There is nothing left to do.';
  const done =
    work.kind === 'delete' ? `Folder '${work.name}' is deleted.` : `'${work.name}' is copied.`;
  let failure: string | null;
  try {
    let taskId = work.storage_task ?? (await untilAborted(begin(ctx, work), signal));
    if (taskId === null) failure = null;
    else {
      await store.touchWork(ctx.sql, folderId, taskId);
      const onNews = () => store.touchWork(ctx.sql, folderId, taskId);
      const options = { name: work.name, signal, report, onNews };
      let state: StorageTask;
      try {
        state = await followTask(ctx, work.host, taskId, options);
      } catch (error) {
        if (!(error instanceof BackendError) || error.problem !== 'BgtaskNotFound') throw error;
        // The proxy lost its journal. A folder can be deleted again; a copy is told by being there.
        taskId = await untilAborted(begin(ctx, work), signal);
        if (taskId === null) state = { ...ENDED };
        else state = await followTask(ctx, work.host, taskId, options);
      }
      failure = state.status === 'done' ? null : state.message || 'The storage proxy failed.';
    }
  } catch (error) {
    if (signal.aborted || isPassing(error) || !(error instanceof BackendError)) throw error;
    failure = errorMessage(error);
  }
  await finish(ctx, work, failure);
  if (failure === null) return done;
  throw new BackendError('VFolderOperationFailed', failure);
}

const ENDED: StorageTask = {
  status: 'done',
  current_progress: 0,
  total_progress: 0,
  message: '',
  version: 0,
};

/** What no manager looks after: its lease is gone, or, where nobody can tell, it was left for long. */
async function takeIdle(ctx: WorkContext, most: number): Promise<string[]> {
  if (most <= 0) return [];
  const waiting = await store.selectIdleWork(ctx.sql, GRACE_SEC, MAX_LOOKED_AT);
  const left = waiting.filter(({ idleSec }) => idleSec >= IDLE_SEC).map(({ vfolder }) => vfolder);
  const recent = waiting.filter(({ idleSec }) => idleSec < IDLE_SEC);
  const orphans = await unattended(
    ctx,
    recent.map(({ vfolder }) => vfolder),
  );
  return await store.takeWork(ctx.sql, [...left, ...orphans].slice(0, most), GRACE_SEC);
}

/** Takes up work that no manager looks after. Runs on the leader; one that fails stays for later. */
export class IdleWork {
  readonly #ctx: WorkContext;
  readonly #maxRunning: number;
  readonly #running = new Set<Promise<void>>();

  constructor(ctx: WorkContext, maxRunning = MAX_RUNNING) {
    this.#ctx = ctx;
    this.#maxRunning = maxRunning;
  }

  /** Lasts as long as the work, but not so long that other work would wait for the next pass. */
  async pass(signal: AbortSignal): Promise<void> {
    const most = Math.min(MAX_TAKEN, this.#maxRunning - this.#running.size);
    for (const folderId of await takeIdle(this.#ctx, most)) {
      const running: Promise<void> = this.#carryOut(folderId, signal).finally(() =>
        this.#running.delete(running),
      );
      this.#running.add(running);
    }
    const waited = new AbortController();
    const either = AbortSignal.any([signal, waited.signal]);
    const all = Promise.all(this.#running);
    await Promise.race([all, pause(this.#ctx.clock, PASS_MS, either).catch(() => {})]);
    waited.abort();
    if (signal.aborted) await all;
  }

  async #carryOut(folderId: string, signal: AbortSignal): Promise<void> {
    try {
      await carryOut(this.#ctx, folderId, signal);
    } catch (error) {
      this.#ctx.log.warn('work on a folder did not succeed', {
        folder: folderId,
        error: errorMessage(error),
      });
    }
  }
}
