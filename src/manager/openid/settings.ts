/**
 * How people sign in through an OpenID Connect provider, as upstream's plugin is configured: keys
 * below `config/plugins/webapp/openid` of the configuration store.
 */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { unquote } from '../../stores/config/scopes.ts';

const PREFIX = 'config/plugins/webapp/openid';

const url = v.pipe(v.string(), v.url(), v.regex(/^https?:/, 'expected an http or https URL'));
const word = v.pipe(v.string(), v.picklist(['true', 'false'], 'expected true or false'));

const provider = v.object({
  well_known: v.optional(url),
  issuer: v.optional(url),
  authorization_endpoint: v.optional(url),
  token_endpoint: v.optional(url),
  jwks_uri: v.optional(url),
  client_id: v.pipe(v.string(), v.minLength(1)),
  client_secret: v.pipe(v.string(), v.minLength(1)),
  group_order: v.optional(v.string(), ''),
  /** Whether addresses count that the provider does not call verified. */
  trust_email: v.optional(word, 'false'),
});
const settingsSchema = v.object({ login_uri: url, openid: provider });

/** What somebody of one of the provider's groups becomes here. */
export interface GroupMapping {
  readonly domain: string;
  readonly project: string;
  readonly userResourcePolicy: string;
  readonly keypairResourcePolicy: string;
}

/** Where the provider is: found by its well-known document, or told. */
export type ProviderPlace =
  | { readonly kind: 'well-known'; readonly url: string }
  | {
      readonly kind: 'endpoints';
      readonly issuer: string;
      readonly authorizationEndpoint: string;
      readonly tokenEndpoint: string;
      readonly jwksUri: string;
    };

export interface OpenIdSettings {
  /** The page at which people sign in; the provider sends them back to its origin. */
  readonly loginUri: URL;
  readonly provider: ProviderPlace;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly trustEmail: boolean;
  /** Groups by precedence, with what they become; null lets everybody in, with `default` of all. */
  readonly groups: ReadonlyMap<string, GroupMapping> | null;
}

export const DEFAULT_MAPPING: GroupMapping = {
  domain: 'default',
  project: 'default',
  userResourcePolicy: 'default',
  keypairResourcePolicy: 'default',
};

const misconfigured = (what: string) =>
  new BackendError('ServerMisconfiguredError', `OpenID Connect is set up wrongly: ${what}.`);

function placeOf(given: v.InferOutput<typeof provider>): ProviderPlace {
  if (given.well_known !== undefined) return { kind: 'well-known', url: given.well_known };
  const { issuer, authorization_endpoint, token_endpoint, jwks_uri } = given;
  if (!issuer || !authorization_endpoint || !token_endpoint || !jwks_uri) {
    throw misconfigured(
      'set openid/well_known, or all of openid/issuer, openid/authorization_endpoint, ' +
        'openid/token_endpoint and openid/jwks_uri',
    );
  }
  return {
    kind: 'endpoints',
    issuer,
    authorizationEndpoint: authorization_endpoint,
    tokenEndpoint: token_endpoint,
    jwksUri: jwks_uri,
  };
}

/** Mappings in their order; those that the order does not name never apply. */
function groupsOf(
  order: string,
  values: ReadonlyMap<string, string>,
): ReadonlyMap<string, GroupMapping> | null {
  const named = order
    .split(',')
    .map((id) => id.trim())
    .filter(Boolean);
  const hasMappings = [...values.keys()].some((key) => key.startsWith('openid/group_mapping/'));
  if (named.length === 0 && !hasMappings) return null;
  return new Map(
    named.map((id) => {
      const setting = (name: string) => values.get(`openid/group_mapping/${id}/${name}`);
      return [
        id,
        {
          domain: setting('domain') || DEFAULT_MAPPING.domain,
          project: setting('project') || DEFAULT_MAPPING.project,
          userResourcePolicy: setting('user_resource_policy') || DEFAULT_MAPPING.userResourcePolicy,
          keypairResourcePolicy:
            setting('keypair_resource_policy') || DEFAULT_MAPPING.keypairResourcePolicy,
        },
      ];
    }),
  );
}

/**
 * The settings; null when there are none.
 * @throws BackendError ServerMisconfiguredError naming the wrong key.
 */
export async function readOpenIdSettings(config: ConfigStore): Promise<OpenIdSettings | null> {
  const values = new Map<string, string>();
  for (const [key, value] of await config.list(PREFIX)) {
    const parts = key.slice(PREFIX.length + 1).split('/');
    values.set(parts.map(unquote).join('/'), value);
  }
  if (values.size === 0) return null;
  const openid = Object.fromEntries(
    Object.keys(provider.entries).map((name) => [name, values.get(`openid/${name}`)]),
  );
  const parsed = v.safeParse(settingsSchema, { login_uri: values.get('login_uri'), openid });
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw misconfigured(
      `${PREFIX}/${(v.getDotPath(issue) ?? '').replace('.', '/')}: ${issue.message}`,
    );
  }
  const { login_uri: loginUri, openid: given } = parsed.output;
  return {
    loginUri: new URL(loginUri),
    provider: placeOf(given),
    clientId: given.client_id,
    clientSecret: given.client_secret,
    trustEmail: given.trust_email === 'true',
    groups: groupsOf(given.group_order, values),
  };
}
