/** Counts failed sign-ins per user name, in the form that upstream's web servers share. */
import * as v from 'valibot';
import type { Clock } from '../common/clock.ts';
import type { LiveStore } from '../stores/live/port.ts';
import { WebProblem } from './problems.ts';

const stored = v.object({ last_login_attempt: v.number(), login_fail_count: v.number() });

export interface ThrottleSettings {
  readonly allowedFailures: number;
  readonly blockSec: number;
}

export class LoginThrottle {
  readonly #live: LiveStore;
  readonly #clock: Clock;
  readonly #settings: ThrottleSettings;

  constructor(live: LiveStore, clock: Clock, settings: ThrottleSettings) {
    this.#live = live;
    this.#clock = clock;
    this.#settings = settings;
  }

  #key(username: string): string {
    return `login_history_${username.slice(0, 256)}`;
  }

  async #count(username: string): Promise<number> {
    const text = await this.#live.get(this.#key(username));
    if (text === null) return 0;
    try {
      return v.parse(stored, JSON.parse(text)).login_fail_count;
    } catch {
      // Not a count: what it says cannot be held against anyone.
      return 0;
    }
  }

  /** @throws WebProblem too-many-requests while the name is blocked. */
  async check(username: string): Promise<void> {
    if ((await this.#count(username)) < this.#settings.allowedFailures) return;
    throw new WebProblem('too-many-requests', 'Too many failed login attempts. Try again later.');
  }

  /** Counts a wrong password. Lost counts of parallel ones are made up for by the manager's. */
  async failed(username: string): Promise<void> {
    const count = (await this.#count(username)) + 1;
    const attempt = {
      last_login_attempt: this.#clock.now().getTime() / 1000,
      login_fail_count: count,
    };
    const ttlMs = this.#settings.blockSec * 1000;
    await this.#live.set(this.#key(username), JSON.stringify(attempt), { ttlMs });
  }

  async succeeded(username: string): Promise<void> {
    await this.#live.delete(this.#key(username));
  }
}
