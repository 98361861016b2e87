/** Who somebody is whom a provider vouches for, and what such a person may become here. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { DEFAULT_MAPPING, type GroupMapping, type OpenIdSettings } from './settings.ts';

const claimsSchema = v.object({
  iss: v.string(),
  sub: v.string(),
  email: v.pipe(v.string(), v.email(), v.maxLength(64)),
  email_verified: v.optional(v.union([v.boolean(), v.picklist(['true', 'false'])])),
  name: v.optional(v.string()),
  groups: v.optional(v.array(v.string()), []),
});

/** Longest name of a provider's account, as the column holds it. */
const MAX_SUBJECT_LENGTH = 512;
/** Longest full name. */
const MAX_NAME_LENGTH = 64;
export const SUBJECT_PREFIX = 'openid:';

export interface Identity {
  /** The account at the provider: never another person's, unlike an e-mail address. */
  readonly subject: string;
  readonly email: string;
  readonly fullName: string;
  readonly mapping: GroupMapping;
}

const refuse = (why: string): never => {
  throw new BackendError('InvalidOpenIdSession', why);
};

function mappingOf({ groups }: OpenIdSettings, claimed: readonly string[]): GroupMapping {
  if (groups === null) return DEFAULT_MAPPING;
  for (const [id, mapping] of groups) if (claimed.includes(id)) return mapping;
  return refuse('You belong to no group that may use this cluster. Ask its administrator.');
}

/**
 * The person of verified claims.
 * @throws BackendError InvalidOpenIdSession when the claims lack an address, the address is not
 *   known to be the person's, or no group of the person may use this cluster.
 */
export function identityOf(settings: OpenIdSettings, claims: unknown): Identity {
  const parsed = v.safeParse(claimsSchema, claims);
  if (!parsed.success) {
    const part = v.getDotPath(parsed.issues[0]) ?? 'claims';
    return refuse(`The provider sent no usable ${part}. It has to release the e-mail address.`);
  }
  const { iss, sub, email, email_verified: verified, name, groups } = parsed.output;
  const isVerified = verified === true || verified === 'true';
  if (!isVerified && !settings.trustEmail) {
    return refuse('The provider has not verified your e-mail address. Verify it there first.');
  }
  const subject = `${SUBJECT_PREFIX}${iss}#${sub}`;
  if (subject.length > MAX_SUBJECT_LENGTH) return refuse('The name of your account is too long.');
  return {
    subject,
    email,
    fullName: (name ?? '').slice(0, MAX_NAME_LENGTH),
    mapping: mappingOf(settings, groups),
  };
}
