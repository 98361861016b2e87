/** Where a request comes from, and whether its user may come from there. */
import { AddressBlocks, plainAddress } from '../../common/address-blocks.ts';

/** @param blocks CIDR blocks or single addresses; null allows every address. */
export function isAllowedAddress(
  address: string | null,
  blocks: readonly string[] | null,
): boolean {
  if (blocks === null) return true;
  return address !== null && new AddressBlocks(blocks).has(address);
}

/**
 * Tells where requests come from. Anybody can send an `X-Forwarded-For` header; only what known
 * proxies have added to it is believed, if there are any known.
 */
export class ClientAddresses {
  readonly #proxies: AddressBlocks | null;

  /** @param trustedProxies addresses and CIDR blocks of the proxies in front of this server. */
  constructor(trustedProxies: readonly string[]) {
    this.#proxies = trustedProxies.length === 0 ? null : new AddressBlocks(trustedProxies);
  }

  #isProxy(address: string): boolean {
    return this.#proxies?.has(address) ?? false;
  }

  /**
   * Whether what this peer says about the original request is believed: that of a known proxy, and
   * of everybody where none is known.
   */
  believes(peer: string | null): boolean {
    return this.#proxies === null || (peer !== null && this.#isProxy(plainAddress(peer)));
  }

  /**
   * The client's address: the last hop that is no known proxy. Where no proxy is known it is the
   * first hop that the header names, else the socket's peer.
   */
  of(headers: Headers, peer: string | null): string | null {
    const hops = (headers.get('x-forwarded-for') ?? '')
      .split(',')
      .map((hop) => plainAddress(hop.trim()))
      .filter((hop) => hop !== '');
    const own = peer === null ? null : plainAddress(peer);
    if (this.#proxies === null) return hops[0] ?? own;
    if (own === null || !this.#isProxy(own)) return own;
    // A hop that is no address cannot be believed, and neither can what lies behind it.
    return hops.findLast((hop) => !this.#isProxy(hop)) ?? hops[0] ?? own;
  }
}
