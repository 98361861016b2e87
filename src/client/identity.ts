/** How a request is addressed and says who sends it: a signature for managers, a cookie for web servers. */
import { type Credential, requestHeaders } from '../common/api-signing.ts';
import type { ClientConfig } from './config.ts';
import type { SignIns } from './sign-ins.ts';

export interface RequestFacts {
  readonly method: string;
  readonly url: URL;
  readonly contentType: string;
}

export interface Identity {
  /** The path under which this kind of server has an operation of the API. */
  path(operation: string): string;
  headers(request: RequestFacts, endpoint: string, now: Date): Record<string, string>;
  /** Whether passwords are sealed over plain HTTP, see `sealed-body.ts`. */
  readonly sealsPasswords: boolean;
  /** What to do when a server does not know the sender; null when nothing is known. */
  readonly adviceWhenUnknown: string | null;
}

export function keypairIdentity({ accessKey, secretKey }: ClientConfig): Identity {
  const credential: Credential | null = accessKey === '' ? null : { accessKey, secretKey };
  return {
    path: (operation) => operation,
    headers: (request, _, now) => requestHeaders(request, credential, now),
    sealsPasswords: false,
    adviceWhenUnknown: null,
  };
}

/** Web servers pass everything below `/func` on to a manager; `/server` is their own. */
const PASSED_ON = '/func';
const OWN = '/server/';

export function signInIdentity(signIns: SignIns): Identity {
  return {
    path: (operation) => (operation.startsWith(OWN) ? operation : `${PASSED_ON}${operation}`),
    headers: (request, endpoint, now) => {
      const cookie = signIns.header(endpoint);
      return {
        ...requestHeaders(request, null, now),
        ...(cookie === null ? {} : { Cookie: cookie }),
      };
    },
    sealsPasswords: true,
    adviceWhenUnknown: 'You are not signed in, or no longer: run `backend.ai login`.',
  };
}
