/**
 * Brings the keys of a configuration file into the form of its schema: kebab-case and snake_case are
 * the same, and old names are replaced. Tables with free keys are left alone.
 */
/** The schema inside `optional`, `nullable` and `pipe`. */
export function unwrap(schema: object): object {
  let inner = schema;
  for (let depth = 0; depth < 20; depth++) {
    if ('wrapped' in inner && inner.wrapped && typeof inner.wrapped === 'object') {
      inner = inner.wrapped;
    } else if ('pipe' in inner && Array.isArray(inner.pipe) && inner.pipe[0] !== inner) {
      const first: unknown = inner.pipe[0];
      if (!first || typeof first !== 'object' || !('kind' in first)) return inner;
      if ('entries' in inner || 'item' in inner) return inner;
      inner = first;
    } else {
      return inner;
    }
  }
  return inner;
}

/** The known keys of an object schema with their schemas, or null for any other schema. */
export function entriesOf(schema: object): Map<string, object> | null {
  const inner = unwrap(schema);
  if (!('entries' in inner) || !inner.entries || typeof inner.entries !== 'object') return null;
  const entries = new Map<string, object>();
  for (const [key, entry] of Object.entries(inner.entries)) {
    if (entry && typeof entry === 'object') entries.set(key, entry);
  }
  return entries;
}

/** The schema of every value of a table with free keys (`[volume.NAME]`), or null for another schema. */
function recordValue(inner: object): object | null {
  if (!('type' in inner) || inner.type !== 'record' || !('value' in inner)) return null;
  return typeof inner.value === 'object' ? inner.value : null;
}

/** The schema at `path`, as far as it is known. */
export function schemaAt(schema: object, path: readonly string[]): object | null {
  let at: object | null = schema;
  for (const part of path) {
    const inner: object | null = at && unwrap(at);
    const named: object | null = inner && recordValue(inner);
    if (named) at = named;
    else if (inner && 'item' in inner && inner.item && typeof inner.item === 'object')
      at = inner.item;
    else at = (inner && entriesOf(inner)?.get(part)) ?? null;
  }
  return at;
}

/** Old or alternative names per path of a table: `{ agent: { mode: 'backend' } }`. */
export type Aliases = Readonly<Record<string, Readonly<Record<string, string>>>>;

export function normalizeKeys(
  schema: object,
  value: unknown,
  aliases: Aliases,
  path: readonly string[] = [],
): unknown {
  const inner = unwrap(schema);
  if (Array.isArray(value) && 'item' in inner && inner.item && typeof inner.item === 'object') {
    const { item } = inner;
    return value.map((element) => normalizeKeys(item, element, aliases, path));
  }
  const named = recordValue(inner);
  if (named && isTable(value)) {
    const tables = Object.entries(value).map(([name, table]) => [
      name,
      normalizeKeys(named, table, aliases, [...path, name]),
    ]);
    return Object.fromEntries(tables);
  }
  const entries = entriesOf(inner);
  if (!entries || !isTable(value)) return value;
  const renamed = aliases[path.join('.')] ?? {};
  const out: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(value)) {
    const kebab = key.replaceAll('_', '-');
    const name = renamed[kebab] ?? (entries.has(kebab) ? kebab : key);
    const entry = entries.get(name);
    out[name] = entry ? normalizeKeys(entry, child, aliases, [...path, name]) : child;
  }
  return out;
}

/** Whether `value` is a table of a TOML file, as opposed to a date, a list or a plain value. */
export function isTable(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}
