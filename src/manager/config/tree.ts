/** What administrators may write into the configuration store: values and nested maps. Pure. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { quote } from '../../stores/config/scopes.ts';

/** Most values that one request may set. */
const MAX_LEAVES = 16;
/** Longest key. Characters. */
const MAX_KEY_LENGTH = 1024;
/** Longest value. Characters; etcd takes requests of at most 1.5 MiB. */
const MAX_VALUE_LENGTH = 64 * 1024;

const scalar = v.union([v.string(), v.number(), v.boolean()]);

/** @throws BackendError InvalidAPIParameters for a key that cannot be stored. */
export function checkKey(key: string): string {
  const plain = key.replace(/^\/+|\/+$/g, '');
  if (plain.length > 0 && plain.length <= MAX_KEY_LENGTH && !/\p{Cc}|\/\/|\p{Cs}/u.test(plain)) {
    return plain;
  }
  throw new BackendError(
    'InvalidAPIParameters',
    `A key has 1 to ${MAX_KEY_LENGTH} characters, no control characters and no empty part.`,
  );
}

function checkValue(key: string, value: string): string {
  if (value.length <= MAX_VALUE_LENGTH && !value.includes('\0') && value.isWellFormed()) {
    return value;
  }
  throw new BackendError(
    'InvalidAPIParameters',
    `The value of ${key} is too long or no text; at most ${MAX_VALUE_LENGTH} characters are accepted.`,
  );
}

function collect(key: string, value: unknown, into: Map<string, string>): void {
  const leaf = v.safeParse(scalar, value);
  if (leaf.success) {
    into.set(checkKey(key), checkValue(key, String(leaf.output)));
  } else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    // Checked on the way down, so that the depth is bounded by the length of a key.
    checkKey(key);
    for (const [name, inner] of Object.entries(value)) {
      // Upstream's clients name the value of the key itself with an empty name.
      if (name !== '') collect(`${key}/${quote(name)}`, inner, into);
      else if (v.is(scalar, inner)) collect(key, inner, into);
      else throw new BackendError('InvalidAPIParameters', `An empty name in ${key} names a map.`);
      if (into.size > MAX_LEAVES) return;
    }
  } else {
    throw new BackendError(
      'InvalidAPIParameters',
      `The value of ${key} is neither text, a number, true, false nor a map of these.`,
    );
  }
}

/**
 * The entries that setting `key` to a value or a map writes.
 * @throws BackendError InvalidAPIParameters for more than 16, for other kinds of values, and for
 *   keys and texts that cannot be stored.
 */
export function toEntries(key: string, value: unknown): Map<string, string> {
  const entries = new Map<string, string>();
  collect(checkKey(key), value, entries);
  if (entries.size === 0) {
    throw new BackendError('InvalidAPIParameters', 'The map is empty: there is nothing to set.');
  }
  if (entries.size <= MAX_LEAVES) return entries;
  throw new BackendError(
    'InvalidAPIParameters',
    `Too large update: at most ${MAX_LEAVES} values are set at once. Split it into several requests.`,
  );
}
