/** IP addresses and CIDR blocks: which address lies in which block. */
import { BlockList, isIP } from 'node:net';

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

/** An IPv4 address that a socket shows as IPv6, as IPv4. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '');

/** Whether the text is an address or a CIDR block. */
export function isAddressBlock(text: string): boolean {
  const [network = '', length, ...rest] = text.split('/');
  const version = isIP(network);
  if (version === 0 || rest.length > 0) return false;
  if (length === undefined) return true;
  return /^\d{1,3}$/.test(length) && Number(length) <= (version === 6 ? 128 : 32);
}

/** A set of blocks; what is no address lies in none. */
export class AddressBlocks {
  readonly #list = new BlockList();

  /** @param blocks addresses and CIDR blocks; anything else is left out. */
  constructor(blocks: readonly string[]) {
    for (const block of blocks.filter(isAddressBlock)) {
      const [network = '', length] = block.split('/', 2);
      if (length === undefined) this.#list.addAddress(network, family(network));
      else this.#list.addSubnet(network, Number(length), family(network));
    }
  }

  has(address: string): boolean {
    return isIP(address) !== 0 && this.#list.check(address, family(address));
  }
}
