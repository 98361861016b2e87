/** What the configuration files of coordinator and worker have in common. */
import { hostname } from 'node:os';
import * as v from 'valibot';
import { isAddressBlock } from '../../common/address-blocks.ts';
import { boolean, type HostPort, textOrNothing } from '../../common/config/values.ts';

export const text = v.optional(textOrNothing);
export const secret = v.pipe(v.string(), v.minLength(1, 'expected a secret that is not empty'));

export const tlsKeys = {
  'tls-listen': v.optional(boolean, false),
  'tls-cert': text,
  'tls-privkey': text,
  'tls-advertised': v.optional(boolean, false),
};
interface TlsSection {
  'tls-listen': boolean;
  'tls-cert'?: string | undefined;
  'tls-privkey'?: string | undefined;
}

export const hasFiles = (section: TlsSection): boolean =>
  !section['tls-listen'] || Boolean(section['tls-cert'] && section['tls-privkey']);
export const TLS_MESSAGE = 'expected tls-cert and tls-privkey, since tls-listen is true';

export function tlsOf(section: TlsSection): { certFile: string; keyFile: string } | null {
  const { 'tls-cert': certFile, 'tls-privkey': keyFile } = section;
  return section['tls-listen'] && certFile && keyFile ? { certFile, keyFile } : null;
}

/** Addresses and CIDR blocks, as a list or as text with commas. */
export const addressBlocks = v.pipe(
  v.union([v.string(), v.array(v.string())]),
  v.transform((value) =>
    (typeof value === 'string' ? value.split(',') : value)
      .map((block) => block.trim())
      .filter((block) => block !== ''),
  ),
  v.check((blocks) => blocks.every(isAddressBlock), 'expected addresses or CIDR blocks'),
);

/** Where others reach what listens on `bound`: wildcard addresses stand for this machine. */
export const reachable = (bound: HostPort): HostPort =>
  ['', '0.0.0.0', '::'].includes(bound.host) ? { host: hostname(), port: bound.port } : bound;
