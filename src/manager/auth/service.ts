/** Decides who makes a request: by token, by signature, or nobody. */
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import type { Caller } from '../http/route.ts';
import { readSignedRequest } from '../http/signature.ts';
import { clientAddress, isAllowedAddress } from './client-ip.ts';
import type { ActiveKeypair } from './store.ts';
import { readToken } from './token.ts';

/** An authenticated caller with what the pipeline itself needs to know. */
export interface Principal {
  readonly caller: Caller;
  /** Requests per 15 minutes; null means unlimited. */
  readonly rateLimit: number | null;
}

export interface AuthenticatorOptions {
  readonly clock: Clock;
  findKeypair(accessKey: string): Promise<ActiveKeypair | null>;
}

function toPrincipal(keypair: ActiveKeypair): Principal {
  return {
    rateLimit: keypair.rateLimit,
    caller: {
      accessKey: keypair.accessKey,
      userId: keypair.userId,
      email: keypair.email,
      username: keypair.username,
      role: keypair.role,
      isAdmin: keypair.isAdmin,
      isSuperadmin: keypair.role === 'superadmin',
      domainName: keypair.domainName,
      resourcePolicy: keypair.resourcePolicy,
    },
  };
}

/**
 * The principal of `request`, or null for an anonymous one.
 * @param peerAddress address of the socket's other end.
 * @throws BackendError InvalidAuthParameters when authentication is attempted in a wrong form,
 *   AuthorizationFailed when key, signature, token or address are not accepted.
 */
export async function authenticate(
  options: AuthenticatorOptions,
  request: Request,
  peerAddress: string | null,
): Promise<Principal | null> {
  const keypair = await identify(options, request);
  if (keypair === null) return null;
  const address = clientAddress(request.headers, peerAddress);
  if (!isAllowedAddress(address, keypair.allowedClientIp)) {
    throw new BackendError(
      'AuthorizationFailed',
      `This account may not be used from ${address ?? 'an unknown address'}.`,
    );
  }
  return toPrincipal(keypair);
}

async function identify(
  { clock, findKeypair }: AuthenticatorOptions,
  request: Request,
): Promise<ActiveKeypair | null> {
  const tokenText = request.headers.get('x-backendai-token');
  if (tokenText !== null) {
    const token = readToken(tokenText);
    const keypair = await findKeypair(token.accessKey);
    if (keypair === null) throw new BackendError('AuthorizationFailed');
    token.verify(keypair.secretKey, clock.now());
    return keypair;
  }
  const authorization = request.headers.get('authorization');
  if (authorization === null) return null;
  const signed = readSignedRequest(request, authorization, clock.now());
  const keypair = await findKeypair(signed.credential.accessKey);
  // The same answer for an unknown key and a wrong signature: keys can't be probed.
  if (keypair === null || !signed.verify(keypair.secretKey)) {
    throw new BackendError('AuthorizationFailed');
  }
  return keypair;
}
