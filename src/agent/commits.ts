/** Commits of kernels, one at a time for each; they go on while the manager looks in now and then. */
import { BackendError, errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import type { CommitState, CommitTarget } from '../common/protocol/commit.ts';
import type { Backend } from './backends/backend.ts';

/** Outcomes that are remembered; the oldest are forgotten first. */
const MAX_KNOWN = 1000;
/** Containers that are committed at the same time; each reads and writes gigabytes. */
const MAX_ONGOING = 4;

const NONE: CommitState = { state: 'none', message: '', image: null };

export class Commits {
  readonly #backend: Pick<Backend, 'name' | 'commit'>;
  readonly #log: Logger;
  readonly #known = new Map<string, CommitState>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(backend: Pick<Backend, 'name' | 'commit'>, log: Logger) {
    this.#backend = backend;
    this.#log = log;
  }

  /**
   * Begins a commit, unless one of that kernel is under way.
   * @returns whether it was begun.
   * @throws BackendError NotImplementedAPI where there is nothing to commit, ServiceUnavailable when
   *   too many are under way.
   */
  start(kernelId: string, target: CommitTarget): boolean {
    const commit = this.#backend.commit;
    if (commit === undefined) {
      throw new BackendError(
        'NotImplementedAPI',
        `This agent runs sessions with the ${this.#backend.name} backend, which has no containers to commit.`,
      );
    }
    if (this.#running.has(kernelId)) return false;
    if (this.#running.size >= MAX_ONGOING) {
      throw new BackendError(
        'ServiceUnavailable',
        `This agent commits ${this.#running.size} sessions already. Try again when one is done.`,
      );
    }
    const say = (message: string) => this.#note(kernelId, { ...NONE, state: 'ongoing', message });
    say('Starting');
    const ended = commit
      .call(this.#backend, kernelId, target, say, this.#stopping.signal)
      .then((image) => this.#note(kernelId, { state: 'done', message: '', image }))
      .catch((error) => {
        this.#log.warn('a commit failed', { kernelId, error: errorMessage(error) });
        this.#note(kernelId, { ...NONE, state: 'failed', message: errorMessage(error) });
      })
      .finally(() => this.#running.delete(kernelId));
    this.#running.set(kernelId, ended);
    return true;
  }

  state(kernelId: string): CommitState {
    return this.#known.get(kernelId) ?? NONE;
  }

  /** The kernels that are being committed. */
  ongoing(): string[] {
    return [...this.#running.keys()];
  }

  #note(kernelId: string, state: CommitState): void {
    this.#known.delete(kernelId);
    this.#known.set(kernelId, state);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_KNOWN) return;
      this.#known.delete(oldest);
    }
  }

  /** Gives up what is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the agent was stopped'));
    await Promise.all(this.#running.values());
  }
}
