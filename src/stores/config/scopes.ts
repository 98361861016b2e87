/**
 * Upstream's layout of configuration keys, as pure functions: scopes, quoting of path parts, and
 * the nested JSON form that `mgr etcd get --prefix` prints and `put-json` reads.
 */

export type ConfigScope = 'GLOBAL' | 'SGROUP' | 'NODE' | 'MERGED';

/** Whose scoped keys are meant; a missing name leaves that scope out of merged reads. */
export interface ScopeNames {
  readonly scalingGroup?: string;
  /** `nodes/agents/<id>` or `nodes/storage/<id>`. */
  readonly node?: { readonly kind: 'agents' | 'storage'; readonly id: string };
}

const prefixes = (names: ScopeNames) => ({
  GLOBAL: '',
  SGROUP: names.scalingGroup === undefined ? null : `sgroup/${quote(names.scalingGroup)}/`,
  NODE: names.node === undefined ? null : `nodes/${names.node.kind}/${quote(names.node.id)}/`,
});

/**
 * The prefix under which a scope writes.
 * @throws RangeError for MERGED, which is for reading only, and for a scope without a name.
 */
export function writePrefix(scope: ConfigScope, names: ScopeNames = {}): string {
  if (scope === 'MERGED') throw new RangeError('the scope MERGED is only for reading');
  const prefix = prefixes(names)[scope];
  if (prefix === null) throw new RangeError(`the scope ${scope} needs a name`);
  return prefix;
}

/** The prefixes that a read in this scope looks at, most specific first. */
export function readPrefixes(scope: ConfigScope, names: ScopeNames = {}): string[] {
  const { GLOBAL, SGROUP, NODE } = prefixes(names);
  const chains: Record<ConfigScope, (string | null)[]> = {
    GLOBAL: [GLOBAL],
    SGROUP: [SGROUP, GLOBAL],
    NODE: [NODE, SGROUP, GLOBAL],
    MERGED: [NODE, SGROUP, GLOBAL],
  };
  return chains[scope].filter((prefix): prefix is string => prefix !== null);
}

/** Quotes one part of a key, so that it holds neither `/` nor `:`: `a/b` → `a%2Fb`. */
export function quote(part: string): string {
  return encodeURIComponent(part).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** The reverse of `quote`; text that is not quoted properly is returned as it is. */
export function unquote(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** A listing as nested JSON; the key `""` holds the value at a prefix that also has children. */
export type ConfigTree = { [part: string]: string | ConfigTree };

const newTree = (): ConfigTree => Object.create(null);

/**
 * Turns the entries at or below `prefix` into a tree. The entry at the prefix itself becomes `""`.
 */
export function toTree(listing: ReadonlyMap<string, string>, prefix: string): ConfigTree {
  const base = prefix.replace(/\/$/, '');
  const root = newTree();
  for (const [key, value] of listing) {
    if (base !== '' && key !== base && !key.startsWith(`${base}/`)) continue;
    const subkey = base === '' ? key : key.slice(base.length + 1);
    setAt(root, subkey.split('/').map(unquote), value);
  }
  return root;
}

function setAt(root: ConfigTree, path: readonly string[], value: string): void {
  let parent = root;
  for (const part of path.slice(0, -1)) parent = childTree(parent, part);
  const last = path.at(-1) ?? '';
  const present = parent[last];
  if (typeof present === 'object') present[''] = value;
  else parent[last] = value;
}

/** The subtree at `part`, made if missing; a value already there moves to its `""`. */
function childTree(parent: ConfigTree, part: string): ConfigTree {
  const present = parent[part];
  if (typeof present === 'object') return present;
  const child = newTree();
  if (present !== undefined) child[''] = present;
  parent[part] = child;
  return child;
}

/**
 * Flattens JSON into entries below `prefix`, the reverse of `toTree`. Numbers and booleans become
 * text, null the empty string.
 * @throws RangeError naming the key when a value is a list, which a tree cannot hold.
 */
export function fromTree(
  prefix: string,
  tree: Readonly<Record<string, unknown>>,
): Map<string, string> {
  const out = new Map<string, string>();
  const visit = (at: string, value: unknown): void => {
    if (Array.isArray(value))
      throw new RangeError(`'${at}' is a list; only objects and values fit`);
    if (value !== null && typeof value === 'object') {
      for (const [part, child] of Object.entries(value)) {
        if (part === '') visit(at, child);
        else visit(at === '' ? quote(part) : `${at}/${quote(part)}`, child);
      }
      return;
    }
    out.set(at, value === null || value === undefined ? '' : String(value));
  };
  visit(prefix.replace(/\/$/, ''), tree);
  return out;
}

/** Merges listings whose keys are relative to their prefixes; earlier (more specific) ones win. */
export function mergeListings(
  listings: readonly ReadonlyMap<string, string>[],
): Map<string, string> {
  const merged = new Map<string, string>();
  for (const listing of listings.toReversed()) {
    for (const [key, value] of listing) merged.set(key, value);
  }
  return new Map([...merged].sort(([a], [b]) => (a < b ? -1 : 1)));
}
