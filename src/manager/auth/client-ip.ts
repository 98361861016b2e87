/** Where a request comes from, and whether its user may come from there. */
import { BlockList, isIP } from 'node:net';

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** An IPv4 address that a socket shows as IPv6, as IPv4. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '');

/** Whether the text is an address or a CIDR block. */
export function isAddressBlock(text: string): boolean {
  const [network = '', length, ...rest] = text.split('/');
  const version = isIP(network);
  if (version === 0 || rest.length > 0) return false;
  if (length === undefined) return true;
  return /^\d{1,3}$/.test(length) && Number(length) <= (version === 6 ? 128 : 32);
}

function listOf(blocks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const block of blocks.filter(isAddressBlock)) {
    const [network = '', length] = block.split('/', 2);
    if (length === undefined) list.addAddress(network, family(network));
    else list.addSubnet(network, Number(length), family(network));
  }
  return list;
}

/** @param blocks CIDR blocks or single addresses; null allows every address. */
export function isAllowedAddress(
  address: string | null,
  blocks: readonly string[] | null,
): boolean {
  if (blocks === null) return true;
  if (address === null || isIP(address) === 0) return false;
  return listOf(blocks).check(address, family(address));
}

/**
 * Tells where requests come from. Anybody can send an `X-Forwarded-For` header; only what known
 * proxies have added to it is believed, if there are any known.
 */
export class ClientAddresses {
  readonly #proxies: BlockList | null;

  /** @param trustedProxies addresses and CIDR blocks of the proxies in front of this server. */
  constructor(trustedProxies: readonly string[]) {
    this.#proxies = trustedProxies.length === 0 ? null : listOf(trustedProxies);
  }

  #isProxy(address: string): boolean {
    return isIP(address) !== 0 && (this.#proxies?.check(address, family(address)) ?? false);
  }

  /**
   * Whether what this peer says about the original request is believed: that of a known proxy, and
   * of everybody where none is known.
   */
  believes(peer: string | null): boolean {
    return this.#proxies === null || (peer !== null && this.#isProxy(plain(peer)));
  }

  /**
   * The client's address: the last hop that is no known proxy. Where no proxy is known it is the
   * first hop that the header names, else the socket's peer.
   */
  of(headers: Headers, peer: string | null): string | null {
    const hops = (headers.get('x-forwarded-for') ?? '')
      .split(',')
      .map((hop) => plain(hop.trim()))
      .filter((hop) => hop !== '');
    const own = peer === null ? null : plain(peer);
    if (this.#proxies === null) return hops[0] ?? own;
    if (own === null || !this.#isProxy(own)) return own;
    // A hop that is no address cannot be believed, and neither can what lies behind it.
    return hops.findLast((hop) => !this.#isProxy(hop)) ?? hops[0] ?? own;
  }
}
