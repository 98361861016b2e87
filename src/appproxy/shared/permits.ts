/**
 * What lets a browser in: a permit, kept in a cookie, for one user on one circuit until a given
 * time, sealed with a secret that coordinator and workers share.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../common/clock.ts';
import type { CircuitInfo } from './protocol.ts';

/** A browser is let in for so long after it was set up. Seconds. */
export const PERMIT_LIFETIME_SEC = 7 * 24 * 3600;
export const PERMIT_COOKIE_PREFIX = 'appproxy_permit';
/** Checked permits that are remembered. */
const MAX_REMEMBERED = 10_000;

export interface PermitSettings {
  readonly secret: string;
  readonly digest: 'sha224' | 'sha256' | 'sha384' | 'sha512';
}

/**
 * The name of the cookie with a circuit's permit. Cookies do not know ports, and a browser has
 * several circuits of one host open at a time, so each address has a name of its own.
 */
export const permitCookie = (circuit: Pick<CircuitInfo, 'port' | 'subdomain'>): string =>
  `${PERMIT_COOKIE_PREFIX}_${circuit.port ?? circuit.subdomain}`;

export class Permits {
  readonly #settings: PermitSettings;
  readonly #clock: Clock;
  /** When permits that were found genuine end. Seconds of the epoch. */
  readonly #genuine = new Map<string, number>();

  constructor(settings: PermitSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
  }

  #nowSec(): number {
    return Math.floor(this.#clock.now().getTime() / 1000);
  }

  #seal(circuit: Pick<CircuitInfo, 'id' | 'user_id'>, endsSec: number): string {
    return createHmac(this.#settings.digest, this.#settings.secret)
      .update(`${circuit.id} ${circuit.user_id} ${endsSec}`)
      .digest('base64url');
  }

  issue(circuit: Pick<CircuitInfo, 'id' | 'user_id'>): string {
    const endsSec = this.#nowSec() + PERMIT_LIFETIME_SEC;
    return `${endsSec}.${this.#seal(circuit, endsSec)}`;
  }

  isGood(circuit: Pick<CircuitInfo, 'id' | 'user_id'>, permit: string): boolean {
    const key = `${circuit.id} ${permit}`;
    const remembered = this.#genuine.get(key);
    if (remembered !== undefined) return remembered > this.#nowSec();
    const [, ends = '', seal = ''] = /^(\d{1,12})\.([\w-]{20,100})$/.exec(permit) ?? [];
    const endsSec = Number(ends);
    const given = Buffer.from(seal);
    const right = Buffer.from(this.#seal(circuit, endsSec));
    if (given.length !== right.length || !timingSafeEqual(given, right)) return false;
    if (this.#genuine.size >= MAX_REMEMBERED) this.#genuine.clear();
    this.#genuine.set(key, endsSec);
    return endsSec > this.#nowSec();
  }
}
