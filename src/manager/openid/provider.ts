/**
 * The conversation with the provider (authorization code with PKCE), by `openid-client`. The
 * provider's metadata is remembered for a while, as each sign-in needs it.
 */
import * as client from 'openid-client';
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorMessage } from '../../common/errors.ts';
import type { OpenIdSettings } from './settings.ts';

const SCOPE = 'openid profile email';
/** Longest wait for an answer of the provider. Seconds. */
const TIMEOUT_SEC = 10;
const METADATA_LIFETIME_MS = 600_000;

/** What only this sign-in knows; compared when the browser comes back. */
export interface Secrets {
  readonly codeVerifier: string;
  readonly state: string;
  readonly nonce: string;
}

async function discover(
  wellKnown: URL,
  clientId: string,
  isPlain: boolean,
): Promise<client.ServerMetadata> {
  try {
    const found = await client.discovery(wellKnown, clientId, undefined, client.None(), {
      timeout: TIMEOUT_SEC,
      execute: isPlain ? [client.allowInsecureRequests] : [],
    });
    return found.serverMetadata();
  } catch (error) {
    throw new BackendError(
      'ServiceUnavailable',
      `The OpenID Connect provider does not answer as expected: ${errorMessage(error)}`,
      { cause: error },
    );
  }
}

/** The secret in the Authorization header, the standard's default, unless the provider wants it in the body. */
function authentication(metadata: client.ServerMetadata, secret: string): client.ClientAuth {
  const supported = metadata.token_endpoint_auth_methods_supported;
  return supported === undefined || supported.includes('client_secret_basic')
    ? client.ClientSecretBasic(secret)
    : client.ClientSecretPost(secret);
}

export class Provider {
  readonly #clock: Clock;
  #known: { key: string; expiresMs: number; configuration: client.Configuration } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Where to send the browser. @throws BackendError ServiceUnavailable when nobody answers. */
  async authorizationUrl(
    settings: OpenIdSettings,
    redirectUri: string,
    secrets: Secrets,
  ): Promise<URL> {
    const configuration = await this.#configuration(settings);
    return client.buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      scope: SCOPE,
      state: secrets.state,
      nonce: secrets.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(secrets.codeVerifier),
      code_challenge_method: 'S256',
    });
  }

  /**
   * The verified claims about the person, from the ID token and, where that says less, the
   * provider's user info.
   * @param callback the redirect URI with the query the browser came back with.
   * @throws BackendError InvalidOpenIdSession when the provider or a check refuses.
   */
  async claims(
    settings: OpenIdSettings,
    callback: URL,
    secrets: Secrets,
  ): Promise<Record<string, unknown>> {
    const configuration = await this.#configuration(settings);
    try {
      const tokens = await client.authorizationCodeGrant(configuration, callback, {
        pkceCodeVerifier: secrets.codeVerifier,
        expectedState: secrets.state,
        expectedNonce: secrets.nonce,
        idTokenExpected: true,
      });
      const claims = tokens.claims();
      if (claims === undefined) throw new Error('the provider sent no ID token');
      const hasEndpoint = configuration.serverMetadata().userinfo_endpoint !== undefined;
      const isComplete = claims.email !== undefined && claims.groups !== undefined;
      if (isComplete || !hasEndpoint) return claims;
      return {
        ...(await client.fetchUserInfo(configuration, tokens.access_token, claims.sub)),
        ...claims,
      };
    } catch (error) {
      throw new BackendError(
        'InvalidOpenIdSession',
        `The provider did not confirm the sign-in: ${errorMessage(error)}`,
        { cause: error },
      );
    }
  }

  async #configuration(settings: OpenIdSettings): Promise<client.Configuration> {
    const { provider, clientId, clientSecret } = settings;
    const key = JSON.stringify([provider, clientId, clientSecret]);
    const nowMs = this.#clock.monotonicMs();
    if (this.#known?.key === key && this.#known.expiresMs > nowMs) {
      return this.#known.configuration;
    }
    const configuration = await this.#discover(settings);
    this.#known = { key, expiresMs: nowMs + METADATA_LIFETIME_MS, configuration };
    return configuration;
  }

  async #discover({ provider, clientId, clientSecret }: OpenIdSettings) {
    const isPlain =
      new URL(provider.kind === 'well-known' ? provider.url : provider.tokenEndpoint).protocol ===
      'http:';
    // The signature of ID tokens is checked although they come straight from the provider.
    const execute = [client.enableNonRepudiationChecks];
    if (isPlain) execute.push(client.allowInsecureRequests);
    let metadata: client.ServerMetadata;
    if (provider.kind === 'endpoints') {
      metadata = {
        issuer: provider.issuer,
        authorization_endpoint: provider.authorizationEndpoint,
        token_endpoint: provider.tokenEndpoint,
        jwks_uri: provider.jwksUri,
      };
    } else {
      metadata = await discover(new URL(provider.url), clientId, isPlain);
    }
    const configuration = new client.Configuration(
      metadata,
      clientId,
      clientSecret,
      authentication(metadata, clientSecret),
    );
    configuration.timeout = TIMEOUT_SEC;
    for (const extend of execute) extend(configuration);
    return configuration;
  }
}
