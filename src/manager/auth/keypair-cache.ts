/**
 * Remembers active keypairs for a moment, so that a burst of requests of one client costs one
 * query. Whoever changes accounts calls `clear`; a change nobody told of takes effect within that
 * moment.
 */
import type { Clock } from '../../common/clock.ts';
import type { ActiveKeypair } from '../keypair/service.ts';

const LIFETIME_MS = 1_000;
const MAX_ENTRIES = 10_000;

interface Entry {
  readonly keypair: ActiveKeypair;
  readonly expiresAtMs: number;
}

export class KeypairCache {
  readonly #entries = new Map<string, Entry>();
  #generation = 0;
  readonly #clock: Clock;
  readonly #load: (accessKey: string) => Promise<ActiveKeypair | null>;

  constructor(clock: Clock, load: (accessKey: string) => Promise<ActiveKeypair | null>) {
    this.#clock = clock;
    this.#load = load;
  }

  /** The active keypair or null. Unknown keys are looked up each time: they may appear any moment. */
  async find(accessKey: string): Promise<ActiveKeypair | null> {
    const nowMs = this.#clock.monotonicMs();
    const entry = this.#entries.get(accessKey);
    if (entry && entry.expiresAtMs > nowMs) return entry.keypair;
    const generation = this.#generation;
    const keypair = await this.#load(accessKey);
    this.#entries.delete(accessKey);
    // What was read before a change must not outlive it.
    if (keypair && generation === this.#generation) {
      if (this.#entries.size >= MAX_ENTRIES) this.#entries.clear();
      this.#entries.set(accessKey, { keypair, expiresAtMs: nowMs + LIFETIME_MS });
    }
    return keypair;
  }

  /** Forgets everything: accounts or keypairs have changed. */
  clear(): void {
    this.#generation += 1;
    this.#entries.clear();
  }
}
