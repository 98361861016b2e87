/** Where a request comes from, and whether its user may come from there. */
import { BlockList, isIP } from 'node:net';

/** The first hop of `X-Forwarded-For`, else the socket's peer; an IPv4-mapped address as IPv4. */
export function clientAddress(headers: Headers, peer: string | null): string | null {
  const forwarded = headers.get('x-forwarded-for')?.split(',', 1)[0]?.trim();
  const address = forwarded || peer;
  return address === null ? null : address.replace(/^::ffff:(?=\d+\.)/i, '');
}

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** @param blocks CIDR blocks or single addresses; null allows every address. */
export function isAllowedAddress(
  address: string | null,
  blocks: readonly string[] | null,
): boolean {
  if (blocks === null) return true;
  if (address === null || isIP(address) === 0) return false;
  const list = new BlockList();
  for (const block of blocks) {
    const [network = '', length] = block.split('/', 2);
    if (isIP(network) === 0) continue;
    if (length === undefined) list.addAddress(network, family(network));
    else list.addSubnet(network, Number(length), family(network));
  }
  return list.check(address, family(address));
}
