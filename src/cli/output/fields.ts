/** Which fields a list or an item shows, their column titles and how their values are written. */
import { formatSize } from '../../common/sizes.ts';
import { nodeStatisticsInWords } from './node-statistics.ts';

export type FieldFormat =
  | 'plain'
  | 'slots'
  | 'nested'
  | 'bytes'
  | 'mebibytes'
  | 'items'
  /** A list of objects, shown by their names. */
  | 'names'
  /** What a node uses now, metric by metric. */
  | 'statistics';

export interface Field {
  /** Name in the query. */
  readonly key: string;
  /** Name in JSON output; `key` when absent. */
  readonly jsonKey?: string;
  /** Column title; the words of `key` when absent. */
  readonly title?: string;
  readonly format?: FieldFormat;
  /** What is selected of an object or of each object of a list. */
  readonly subfields?: readonly Field[];
  /** What is shown of the value, in words and in JSON; the whole of it when absent. */
  readonly read?: (value: unknown) => unknown;
}

const FIXED_TITLES: Readonly<Record<string, string>> = {
  id: 'ID',
  uuid: 'UUID',
  group_id: 'Group ID',
  user_id: 'User ID',
  session_id: 'Session ID',
  resource_policy: 'Res.Policy',
  concurrency_used: 'Concur.Used',
  fsprefix: 'FS Prefix',
  hardware_metadata: 'HW Metadata',
  performance_metric: 'Perf.Metric',
};

/** `created_at` → `Created At`, `is_active` → `Active?`. */
export function fieldTitle(field: Field): string {
  if (field.title !== undefined) return field.title;
  const fixed = FIXED_TITLES[field.key];
  if (fixed !== undefined) return fixed;
  const words = field.key.replace(/^is_/, '').split('_');
  const text = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join(' ');
  return field.key.startsWith('is_') ? `${text}?` : text;
}

/** The GraphQL selection of some fields. */
export function selection(fields: readonly Field[]): string {
  return fields
    .map((field) =>
      field.subfields === undefined ? field.key : `${field.key} { ${selection(field.subfields)} }`,
    )
    .join(' ');
}

export type Item = Readonly<Record<string, unknown>>;

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parsedJson(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

function formatSlotMap(value: unknown): string {
  const map = parsedJson(value);
  if (!isRecord(map)) return formatPlain(value);
  const entries = Object.entries(map).map(([name, amount]) => {
    const isMemory = name === 'mem' || name.endsWith('-mem') || name.endsWith('.mem');
    return `${name}:${isMemory ? formatSize(Number(amount)) : String(amount)}`;
  });
  return entries.length === 0 ? '(empty)' : entries.join(', ');
}

const recordInWords = (item: Record<string, unknown>): string =>
  Object.entries(item)
    .map(([key, value]) => (key === 'name' ? formatPlain(value) : `${key}: ${formatPlain(value)}`))
    .join(', ');

function nestedLines(value: Record<string, unknown>, indent: string): string[] {
  return Object.entries(value).flatMap(([key, child]) => {
    if (isRecord(child) && Object.keys(child).length > 0) {
      return [`${indent}+ ${key}`, ...nestedLines(child, `${indent}  `)];
    }
    // One line each: joined, they would make the whole table hundreds of columns wide.
    if (Array.isArray(child) && child.length > 0 && child.every(isRecord)) {
      const lines = child.map((item) => `${indent}  - ${recordInWords(item)}`);
      return [`${indent}+ ${key}`, ...lines];
    }
    return [`${indent}- ${key}: ${formatPlain(child)}`];
  });
}

function formatNested(value: unknown): string {
  const parsed = parsedJson(value);
  if (!isRecord(parsed) || Object.keys(parsed).length === 0) return formatPlain(parsed);
  return nestedLines(parsed, '').join('\n');
}

function formatItems(value: unknown, subfields: readonly Field[]): string {
  if (!Array.isArray(value) || value.length === 0) return formatPlain(value);
  return value
    .filter(isRecord)
    .flatMap((item) => {
      const [first, ...rest] = subfields;
      const head = first === undefined ? '+' : `+ ${formatValue(first, item[first.key])}`;
      const lines = rest.map((field) => {
        const text = formatValue(field, item[field.key]);
        const isTree = field.format === 'nested' && /^[+-] /.test(text);
        return isTree
          ? `  - ${field.key}:\n    ${text.replaceAll('\n', '\n    ')}`
          : `  - ${field.key}: ${text}`;
      });
      return [head, ...lines];
    })
    .join('\n');
}

function formatNames(value: unknown): string {
  const items = Array.isArray(value) ? value.filter(isRecord) : [];
  return formatPlain(items.map((item) => item.name));
}

function formatPlain(value: unknown): string {
  if (value === null || value === undefined) return '(null)';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value))
    return value.length === 0 ? '(empty)' : value.map(formatPlain).join(', ');
  if (isRecord(value)) return Object.keys(value).length === 0 ? '(empty)' : JSON.stringify(value);
  return String(value);
}

/** A value for people. */
export function formatValue(field: Field, given: unknown): string {
  const value = field.read === undefined ? given : field.read(given);
  if (value === null || value === undefined) return '(null)';
  switch (field.format ?? 'plain') {
    case 'slots':
      return formatSlotMap(value);
    case 'nested':
      return formatNested(value);
    case 'bytes':
      return formatSize(Number(value));
    case 'mebibytes':
      return (Number(value) / 1024 ** 2).toFixed(1);
    case 'items':
      return formatItems(value, field.subfields ?? []);
    case 'statistics':
      return nodeStatisticsInWords(value) ?? formatNested(value);
    case 'names':
      return formatNames(value);
    case 'plain':
      return formatPlain(value);
  }
}

/** Formats whose values the API gives as JSON text. */
const JSON_TEXTS: ReadonlySet<FieldFormat> = new Set(['slots', 'nested', 'statistics']);

function jsonValue(field: Field, value: unknown): unknown {
  if (JSON_TEXTS.has(field.format ?? 'plain')) return parsedJson(value);
  if (field.read !== undefined) return field.read(value) ?? null;
  if (field.subfields !== undefined) {
    const fields = field.subfields;
    if (Array.isArray(value)) return value.filter(isRecord).map((item) => jsonItem(fields, item));
    if (isRecord(value)) return jsonItem(fields, value);
  }
  return value ?? null;
}

/** An item for programs. */
export function jsonItem(fields: readonly Field[], item: Item): Record<string, unknown> {
  return Object.fromEntries(
    fields.map((field) => [field.jsonKey ?? field.key, jsonValue(field, item[field.key])]),
  );
}
