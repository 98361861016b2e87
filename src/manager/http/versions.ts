/** The API version this manager emulates, and the versions it accepts from clients. */
import { BackendError } from '../../common/errors.ts';
import { VERSION } from '../../common/version.ts';

/** The upstream release whose behaviour is emulated; clients derive feature flags from it. */
export const MANAGER_VERSION: string = VERSION;
export const LATEST_API_VERSION = 'v9.20250722';

/** API version as [major, date]. */
export type ApiVersion = readonly [number, string];

const ACCEPTED = [
  'v4.20181215',
  'v4.20190115',
  'v4.20190315',
  'v4.20190615',
  'v5.20191215',
  'v6.20200815',
  'v6.20220315',
  'v6.20220615',
  'v6.20221201',
  'v6.20230315',
  'v7.20230615',
  'v8.20240315',
  'v8.20240915',
  LATEST_API_VERSION,
] as const;

const split = (version: string): ApiVersion => {
  const [major = '', date = ''] = version.slice(1).split('.');
  return [Number(major), date];
};

const versions: ReadonlyMap<string, ApiVersion> = new Map(
  ACCEPTED.map((version) => [version, split(version)]),
);

/** What a request without a version header is taken for. */
const IMPLIED_VERSION: ApiVersion = [5, '20191215'];

/** The version header under either of its names. */
function versionHeader(headers: Headers): string | null {
  return headers.get('x-backendai-version') ?? headers.get('x-sorna-version');
}

/** @throws BackendError GenericBadRequest when the client asks for a version that is not served. */
export function requestedVersion(headers: Headers): ApiVersion {
  const text = versionHeader(headers);
  if (text === null) return IMPLIED_VERSION;
  const version = versions.get(text);
  if (!version) {
    throw new BackendError(
      'GenericBadRequest',
      `Unsupported API version. This server accepts ${ACCEPTED[0]} to ${LATEST_API_VERSION}.`,
    );
  }
  return version;
}
