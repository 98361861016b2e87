/** Security policies by name, as `[security]` lists them, and the content security policy. */
import { UserError } from '../common/errors.ts';
import { WebProblem } from './problems.ts';

const METADATA_HOSTS = new Set([
  'metadata.google.internal',
  '169.254.169.254',
  '100.100.100.200',
  'alibaba.zaproxy.org',
  'metadata.oraclecloud.com',
]);
const UNSAFE_NAMES = new Set([
  '._darcs',
  '.bzr',
  '.hg',
  'BitKeeper',
  '.bak',
  '.log',
  '.git',
  '.svn',
]);

type RequestPolicy = (request: Request) => void;
type ResponsePolicy = (headers: Headers) => void;

const requestPolicies: Readonly<Record<string, RequestPolicy>> = {
  reject_metadata_local_link_policy(request) {
    const host = (request.headers.get('host') ?? '').replace(/:\d+$/, '').toLowerCase();
    if (METADATA_HOSTS.has(host)) throw new WebProblem('forbidden', 'Forbidden host name.');
  },
  reject_access_for_unsafe_file_policy(request) {
    const name = new URL(request.url).pathname.split('/').at(-1) ?? '';
    if (UNSAFE_NAMES.has(name)) throw new WebProblem('forbidden', 'Forbidden file.');
  },
};

const responsePolicies: Readonly<Record<string, ResponsePolicy>> = {
  set_content_type_nosniff_policy: (headers) => headers.set('X-Content-Type-Options', 'nosniff'),
};

function byName<T>(
  kind: string,
  known: Readonly<Record<string, T>>,
  names: readonly string[],
): T[] {
  return names.map((name) => {
    const policy = Object.hasOwn(known, name) ? known[name] : undefined;
    if (policy !== undefined) return policy;
    throw new UserError(`[security] ${kind}: there is no policy '${name}'`, {
      hint: `Known are ${Object.keys(known).join(', ')}.`,
    });
  });
}

/** Lists of sources by directive, such as `script-src`. */
export type CspSettings = Readonly<Record<string, readonly string[]>>;

/** The header's text; `nonce` is allowed to run and to style where those are restricted at all. */
export function contentSecurityPolicy(csp: CspSettings, nonce: string): string {
  return Object.entries(csp)
    .map(([directive, sources]) => {
      const takesNonce = directive === 'script-src' || directive === 'style-src';
      return `${[directive, ...sources, ...(takesNonce ? [`'nonce-${nonce}'`] : [])].join(' ')};`;
    })
    .join(' ');
}

export interface SecurityPolicies {
  /** @throws WebProblem forbidden. */
  checkRequest(request: Request): void;
  secureResponse(headers: Headers): void;
}

/** @throws UserError for an unknown name. */
export function securityPolicies(
  requestNames: readonly string[],
  responseNames: readonly string[],
): SecurityPolicies {
  const requests = byName('request-policies', requestPolicies, requestNames);
  const responses = byName('response-policies', responsePolicies, responseNames);
  return {
    checkRequest(request) {
      for (const policy of requests) policy(request);
    },
    secureResponse(headers) {
      for (const policy of responses) policy(headers);
    },
  };
}
