/** Decides whether a request may pass: by address, permit or token, as its circuit demands. */
import type { Clock } from '../../common/clock.ts';
import type { ProblemName } from '../../common/problems.ts';
import { type Permits, permitCookie } from '../shared/permits.ts';
import { type ProxyTokens, TokenError } from '../shared/tokens.ts';
import type { Circuit } from './circuit.ts';
import type { AskedFor } from './http/head.ts';

/** Why a request may not pass. */
export interface Refusal {
  readonly problem: ProblemName;
  readonly message: string;
}

/** Tokens that were found genuine and are remembered. */
const MAX_REMEMBERED = 10_000;

const refusal = (problem: ProblemName, message: string): Refusal => ({ problem, message });

/** The values of a cookie: several when a browser has it for several domains or paths. */
function cookieValues(head: AskedFor, name: string): string[] {
  const values: string[] = [];
  for (const { key, value } of head.fields) {
    if (key !== 'cookie' || !value.includes(name)) continue;
    for (const cookie of value.split(';')) {
      const at = cookie.indexOf('=');
      if (at !== -1 && cookie.slice(0, at).trim() === name)
        values.push(cookie.slice(at + 1).trim());
    }
  }
  return values;
}

export class Access {
  readonly #permits: Permits;
  readonly #tokens: ProxyTokens;
  readonly #clock: Clock;
  /** Circuit and token → end of its validity, in seconds of the epoch; null: none. */
  readonly #genuine = new Map<string, number | null>();

  constructor(permits: Permits, tokens: ProxyTokens, clock: Clock) {
    this.#permits = permits;
    this.#tokens = tokens;
    this.#clock = clock;
  }

  /** @returns why not, or null when the request may pass. A promise only where it cannot be told at once. */
  check(
    circuit: Circuit,
    head: AskedFor,
    clientAddress: string,
  ): Refusal | null | Promise<Refusal | null> {
    if (!circuit.admitsAddress(clientAddress)) {
      return refusal('ClientIPNotAllowed', `E20011: Client address ${clientAddress} not allowed`);
    }
    const { info } = circuit;
    // A preflight carries neither cookies nor tokens.
    if (info.open_to_public || (head.method === 'OPTIONS' && !head.isWebSocket)) return null;
    return info.app_mode === 'inference'
      ? this.#checkToken(circuit, head)
      : this.#checkPermit(circuit, head);
  }

  #checkPermit({ info }: Circuit, head: AskedFor): Refusal | null {
    const permits = cookieValues(head, permitCookie(info));
    if (permits.length === 0) {
      return refusal(
        'InvalidCredentials',
        'E20004: Authorization cookie not provided. Open the app from its session again.',
      );
    }
    if (permits.some((permit) => this.#permits.isGood(info, permit))) return null;
    return refusal(
      'InvalidCredentials',
      'E20005: Invalid authorization cookie. Open the app from its session again.',
    );
  }

  #checkToken({ info }: Circuit, head: AskedFor): Refusal | null | Promise<Refusal | null> {
    const header = head.fields.find(({ key }) => key === 'authorization')?.value;
    if (header === undefined) {
      return refusal('InvalidCredentials', 'E20006: Authorization header not provided');
    }
    const [scheme = '', token = ''] = header.split(/ +/, 2);
    if (!/^(bearer|backendai)$/i.test(scheme)) {
      return refusal('InvalidCredentials', 'E20007: Unsupported authorization method');
    }
    const key = `${info.id} ${token}`;
    const endsSec = this.#genuine.get(key);
    if (endsSec === null || (endsSec ?? 0) * 1000 > this.#clock.now().getTime()) return null;
    return this.#verify(key, info.id, token);
  }

  async #verify(key: string, id: string, token: string): Promise<Refusal | null> {
    try {
      const { circuitId, endsSec } = await this.#tokens.verifyInference(token);
      if (circuitId !== id) {
        return refusal('InvalidCredentials', 'E20009: Authorization token mismatch');
      }
      if (this.#genuine.size >= MAX_REMEMBERED) this.#genuine.clear();
      this.#genuine.set(key, endsSec);
      return null;
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      return refusal(
        'InvalidCredentials',
        `E20008: Invalid authorization token (${error.message})`,
      );
    }
  }
}
