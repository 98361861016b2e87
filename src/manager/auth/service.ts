/** Decides who makes a request: by token, by signature, or nobody. */
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import { readSignedRequest } from '../http/signature.ts';
import type { ActiveKeypair } from '../keypair/service.ts';
import { type ClientAddresses, isAllowedAddress } from './client-ip.ts';
import { readToken } from './token.ts';

/** An authenticated keypair without its secret. */
export type Principal = Omit<ActiveKeypair, 'secretKey'>;

export interface AuthenticatorOptions {
  readonly clock: Clock;
  readonly addresses: ClientAddresses;
  findKeypair(accessKey: string): Promise<ActiveKeypair | null>;
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
  const { addresses } = options;
  const keypair = await identify(options, request, addresses.believes(peerAddress));
  if (keypair === null) return null;
  const address = addresses.of(request.headers, peerAddress);
  if (!isAllowedAddress(address, keypair.allowedClientIp)) {
    throw new BackendError(
      'AuthorizationFailed',
      `This account may not be used from ${address ?? 'an unknown address'}.`,
    );
  }
  const { secretKey: _, ...principal } = keypair;
  return principal;
}

async function identify(
  { clock, findKeypair }: AuthenticatorOptions,
  request: Request,
  isForwarded: boolean,
): Promise<ActiveKeypair | null> {
  const tokenText = request.headers.get('x-backendai-token');
  if (tokenText !== null) {
    const token = readToken(tokenText);
    const keypair = await findKeypair(token.accessKey);
    // As below: whether the key exists is not told to those who do not hold its secret.
    if (keypair === null || !token.isSigned(keypair.secretKey)) {
      throw new BackendError('AuthorizationFailed');
    }
    token.checkLifetime(clock.now());
    return keypair;
  }
  const authorization = request.headers.get('authorization');
  if (authorization === null) return null;
  const signed = readSignedRequest(request, authorization, clock.now(), isForwarded);
  const keypair = await findKeypair(signed.credential.accessKey);
  // The same answer for an unknown key and a wrong signature: keys can't be probed.
  if (keypair === null || !signed.verify(keypair.secretKey)) {
    throw new BackendError('AuthorizationFailed');
  }
  return keypair;
}
