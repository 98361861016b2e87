/** The options of `install` that are about Harbor, and what they wish for. */
import { resolve } from 'node:path';
import { flag, integer, option, UsageError } from '../../common/command.ts';
import { outwardAddress } from '../parts/harbor.ts';
import { DEFAULT_ARCHIVE } from '../parts/harbor-files.ts';
import type { HarborWish } from '../request.ts';
import { isLoopback } from '../request.ts';

/** Upstream's. */
const DEFAULT_PORT = 8084;
/** What Harbor itself asks of passwords that are set on its page. */
const MIN_PASSWORD = 8;

const host = (text: string): string => {
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/i.test(text)) {
    throw new UsageError(`'${text}' is not the name or address of a host.`);
  }
  if (isLoopback(text)) {
    throw new UsageError(`Harbor is not reached by ${text}: give a name that others know, too.`);
  }
  return text;
};

const sum = (text: string): string => {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase();
  throw new UsageError(`'${text}' is not a SHA-256: it has 64 digits and letters from a to f.`);
};

const password = (text: string): string => {
  if (text.length >= MIN_PASSWORD && !/[\r\n]/.test(text)) return text;
  throw new UsageError(`The password of Harbor has at least ${MIN_PASSWORD} characters.`);
};

export const harborOptions = {
  withHarbor: flag(
    ['--with-harbor'],
    'With --mode develop: install Harbor, a registry for images, with Docker; so does each option of it.',
  ),
  harborHostname: option(
    ['--harbor-hostname'],
    'HOST',
    'By which Harbor is reached; no loopback address. [default: the public address, or the first of this machine]',
    host,
  ),
  harborPort: option(
    ['--harbor-http-port'],
    'PORT',
    `Port of Harbor. [default: ${DEFAULT_PORT}]`,
    integer({ min: 1, max: 65_535 }),
  ),
  harborPassword: option(
    ['--harbor-admin-password'],
    'PASSWORD',
    'Of admin, at its first start. BACKEND_HARBOR_PASSWORD hides it from other users. [default: one is made]',
    password,
  ),
  harborArchive: option(
    ['--harbor-download-uri'],
    'URL',
    `Its offline installer, or the path of such a file. [default: ${DEFAULT_ARCHIVE}]`,
  ),
  harborSum: option(['--harbor-download-sha256'], 'SHA256', 'Of the installer.', sum),
};

/** What was given of them. */
export interface GivenHarbor {
  readonly withHarbor: boolean;
  readonly harborHostname: string | undefined;
  readonly harborPort: number | undefined;
  readonly harborPassword: string | undefined;
  readonly harborArchive: string | undefined;
  readonly harborSum: string | undefined;
}

/** By name, whether each was given. */
export const givenHarborOptions = (given: GivenHarbor): Record<string, boolean> => ({
  '--with-harbor': given.withHarbor,
  '--harbor-hostname': given.harborHostname !== undefined,
  '--harbor-http-port': given.harborPort !== undefined,
  '--harbor-admin-password': given.harborPassword !== undefined,
  '--harbor-download-uri': given.harborArchive !== undefined,
  '--harbor-download-sha256': given.harborSum !== undefined,
});

function archiveOf(text: string | undefined, cwd: string): string {
  if (text === undefined) return DEFAULT_ARCHIVE;
  if (!/^[a-z+]+:\/\//i.test(text)) return resolve(cwd, text);
  const { protocol, host: at } = URL.parse(text) ?? {};
  if (/^https?:$/.test(protocol ?? '') && at !== '') return text;
  // Of another machine there are no files here.
  if (protocol === 'file:' && at === '') return text;
  throw new UsageError(`'${text}' is neither http, https nor a file.`);
}

/**
 * Null when no Harbor is wished for.
 * @param kept that of before; null where there was none.
 * @throws UsageError when nobody knows by which name it is reached.
 */
export function harborWish(
  given: GivenHarbor,
  {
    cwd,
    env,
  }: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
  publicAddress: string,
  kept: HarborWish | null,
): HarborWish | null {
  if (!Object.values(givenHarborOptions(given)).includes(true)) return kept;
  const outward = isLoopback(publicAddress) ? outwardAddress() : publicAddress;
  const hostname = given.harborHostname ?? kept?.hostname ?? outward;
  if (hostname === null) {
    throw new UsageError(
      'This machine has no address but its own: name one for Harbor with --harbor-hostname.',
    );
  }
  const hidden = env.BACKEND_HARBOR_PASSWORD;
  return {
    hostname,
    httpPort: given.harborPort ?? kept?.httpPort ?? DEFAULT_PORT,
    adminPassword: given.harborPassword ?? (hidden ? password(hidden) : null),
    archive:
      given.harborArchive === undefined && kept !== null
        ? kept.archive
        : archiveOf(given.harborArchive, cwd),
    // A sum is that of one archive.
    sha256: given.harborSum ?? (given.harborArchive === undefined ? (kept?.sha256 ?? null) : null),
  };
}
