/** Slows down the guessing of passwords: after a few failures an account takes none for a while. */
import { BackendError } from '../../common/errors.ts';
import type { LiveStore } from '../../stores/live/port.ts';

const MAX_FAILURES = 10;
const BLOCK_MS = 20 * 60_000;

export class PasswordThrottle {
  readonly #live: Pick<LiveStore, 'increment' | 'delete'>;

  constructor(live: Pick<LiveStore, 'increment' | 'delete'>) {
    this.#live = live;
  }

  #key(domainName: string, email: string): string {
    return `password-attempts:${JSON.stringify([domainName, email])}`;
  }

  /**
   * Counts an attempt before it is made, so that parallel ones are counted too.
   * @throws BackendError LoginBlockedError beyond ten in twenty minutes without a success.
   */
  async attempt(domainName: string, email: string): Promise<void> {
    const count = await this.#live.increment(this.#key(domainName, email), { ttlMs: BLOCK_MS });
    if (count <= MAX_FAILURES) return;
    throw new BackendError(
      'LoginBlockedError',
      `Too many wrong passwords for this account. Try again in ${BLOCK_MS / 60_000} minutes.`,
    );
  }

  /** Forgets the attempts, after a right password. */
  async succeeded(domainName: string, email: string): Promise<void> {
    await this.#live.delete(this.#key(domainName, email));
  }
}
