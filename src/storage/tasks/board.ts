/** Runs tasks in the background, notes them in the journal, and takes up those of an earlier run. */
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import type { Random } from '../../common/random.ts';
import { isOutOfSpace, StorageError, systemFailure } from '../problems.ts';
import type { Volumes } from '../volumes/open.ts';
import type { Volume } from '../volumes/volume.ts';
import { Journal, type JournalEntry, type Work } from './journal.ts';
import { Task } from './task.ts';
import { emptyTrash, prepare, prepareAgain, run } from './work.ts';

/** Ended tasks are told about for this long. */
const KEEP_MS = 24 * 3_600_000;
/** Tasks remembered, running ones included; more are refused. */
const MAX_TASKS = 10_000;
/** Tasks that work at the same time; the others wait. */
const MAX_RUNNING = 8;

export interface BoardOptions {
  readonly nodeId: string;
  readonly volumes: Volumes;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export class TaskBoard {
  readonly #options: BoardOptions;
  readonly #tasks = new Map<string, Task>();
  readonly #entries = new Map<string, { entry: JournalEntry; volume: Volume }>();
  readonly #waiting: (() => void)[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #active = 0;

  constructor(options: BoardOptions) {
    this.#options = options;
  }

  /** Takes up what an earlier run left unfinished. */
  async resume(): Promise<void> {
    const { volumes, nodeId, log } = this.#options;
    for (const volume of volumes.all()) {
      const entries = await journalOf(volume).read();
      this.#sweep(volume, new Set(entries.map(({ id }) => id)));
      for (const entry of entries) {
        if (entry.nodeId !== nodeId) continue;
        const task = this.#note(entry, volume);
        if (entry.end) {
          task.finish(entry.end.status, entry.end.message, new Date(entry.end.at));
          continue;
        }
        log.info('taking up a task of an earlier run', { task: entry.id, name: entry.work.name });
        this.#launch(entry, volume, task, () => prepareAgain(volume, entry));
      }
    }
    await this.#forgetOld();
  }

  /**
   * Begins a task. When this resolves the work is noted on disk and its first step is done, after
   * which what is deleted is no longer seen by anybody.
   */
  async begin(volume: Volume, work: Work): Promise<Task> {
    await this.#forgetOld();
    const same = this.#sameAs(volume, work);
    if (same) return same;
    if (this.#tasks.size >= MAX_TASKS) {
      throw new StorageError('UnsupportedOperation', 'Too many tasks wait. Try again later.');
    }
    const { random, clock, nodeId } = this.#options;
    const startedAt = clock.now().toISOString();
    const entry: JournalEntry = { id: random.uuid(), nodeId, startedAt, work, end: null };
    const task = this.#note(entry, volume);
    try {
      await this.#write(volume, entry);
      await prepare(volume, entry);
    } catch (error) {
      this.#forget(entry.id);
      await journalOf(volume).forget(entry.id);
      throw error;
    }
    this.#launch(entry, volume, task);
    return task;
  }

  find(id: string): Task | null {
    return this.#tasks.get(id) ?? null;
  }

  /** Ends all work where it is; the next run goes on with it. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the storage proxy stops'));
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.allSettled(this.#running);
  }

  /** Deleting is what helps when the disk is full: it does without a note, which `#sweep` makes up for. */
  async #write(volume: Volume, entry: JournalEntry): Promise<void> {
    try {
      await journalOf(volume).write(entry);
    } catch (error) {
      if (!isOutOfSpace(error) || entry.work.name === 'clone_vfolder') throw error;
      this.#options.log.warn('a task was not noted: the disk is full', { task: entry.id });
    }
  }

  /** Deletes what a run that was cut off left in the trash without a note of it. */
  #sweep(volume: Volume, noted: ReadonlySet<string>): void {
    const { log } = this.#options;
    const running = emptyTrash(volume, noted, this.#stop.signal)
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        log.warn('the trash was not emptied', {
          volume: volume.name,
          error: systemFailure(error),
        });
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  #note(entry: JournalEntry, volume: Volume): Task {
    const task = new Task(entry.id, entry.work.name);
    this.#tasks.set(entry.id, task);
    this.#entries.set(entry.id, { entry, volume });
    return task;
  }

  #forget(id: string): void {
    this.#tasks.delete(id);
    this.#entries.delete(id);
  }

  /** A folder is deleted once, however often a manager asks; the same goes for a clone. */
  #sameAs(volume: Volume, work: Work): Task | null {
    if (work.name === 'delete_files') return null;
    const wanted = JSON.stringify(work);
    for (const [id, noted] of this.#entries) {
      const task = this.#tasks.get(id);
      if (task?.status !== 'started' || noted.volume !== volume) continue;
      if (JSON.stringify(noted.entry.work) === wanted) return task;
    }
    return null;
  }

  #launch(entry: JournalEntry, volume: Volume, task: Task, first?: () => Promise<void>): void {
    const running = this.#work(entry, volume, task, first).finally(() =>
      this.#running.delete(running),
    );
    this.#running.add(running);
  }

  async #work(
    entry: JournalEntry,
    volume: Volume,
    task: Task,
    first: (() => Promise<void>) | undefined,
  ): Promise<void> {
    await this.#turn();
    const { log } = this.#options;
    const { signal } = this.#stop;
    try {
      signal.throwIfAborted();
      await first?.();
      await run(volume, entry, { task, signal });
      await this.#end(entry, volume, task, 'done', '');
    } catch (error) {
      if (signal.aborted) return;
      log.warn('a task failed', { task: entry.id, name: task.name, error: errorMessage(error) });
      await this.#end(entry, volume, task, 'failed', systemFailure(error));
    } finally {
      this.#active -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    while (this.#active >= MAX_RUNNING && !this.#stop.signal.aborted) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#active += 1;
  }

  async #end(
    entry: JournalEntry,
    volume: Volume,
    task: Task,
    status: 'done' | 'failed',
    message: string,
  ): Promise<void> {
    const { clock, log } = this.#options;
    const at = clock.now();
    try {
      await journalOf(volume).write({ ...entry, end: { status, message, at: at.toISOString() } });
    } catch (error) {
      // A full disk must not hide how the task ended; after a restart it is done once more.
      log.warn('the end of a task was not noted', { task: entry.id, error: errorMessage(error) });
    }
    task.finish(status, message, at);
  }

  async #forgetOld(): Promise<void> {
    const limit = this.#options.clock.now().getTime() - KEEP_MS;
    for (const [id, { volume }] of [...this.#entries]) {
      const ended = this.#tasks.get(id)?.endedAt;
      if (!ended || ended.getTime() > limit) continue;
      this.#forget(id);
      await journalOf(volume).forget(id);
    }
  }
}

const journalOf = (volume: Volume): Journal => new Journal(volume.privatePath('tasks'));
