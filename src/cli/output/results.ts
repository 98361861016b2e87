/** Prints items and lists with the handler that the root option `--output` chose. */
import type { CommandContext } from '../../common/command.ts';
import { printStatus } from '../../common/glyphs.ts';
import { readKey } from '../framework/prompt.ts';
import { type Field, fieldTitle, formatValue, type Item, jsonItem } from './fields.ts';
import { itemsDocument, printJson } from './json.ts';
import { formatTable, TableWriter } from './table.ts';

type Where = Pick<CommandContext, 'io' | 'globals'>;

/** Page size when the output is not a terminal, and of JSON without `--limit`. */
const DEFAULT_PAGE_SIZE = 20;
const MAX_PAGE_SIZE = 100;
/** Lines of a terminal that a page leaves for the header and the prompt. */
const PAGE_MARGIN_LINES = 3;
const ITEM_SEPARATOR = '-'.repeat(20);

/** One item; null when there is none. @returns the exit code. */
export function printItem(where: Where, fields: readonly Field[], item: Item | null): number {
  const { io, globals } = where;
  if (globals.output === 'json') {
    printJson(io, itemsDocument(item === null ? [] : [jsonItem(fields, item)], item ? 1 : 0));
    return 0;
  }
  if (item === null) {
    printStatus(io.stderr, 'fail', 'No matching entry found.');
    return 1;
  }
  const rows = fields.map((field) => [fieldTitle(field), formatValue(field, item[field.key])]);
  io.stdout.write(formatTable(['Field', 'Value'], rows));
  return 0;
}

/** Several items, each with all its fields. @returns the exit code. */
export function printItems(where: Where, fields: readonly Field[], items: readonly Item[]): number {
  const { io, globals } = where;
  const [first = null] = items;
  if (items.length <= 1) return printItem(where, fields, first);
  if (globals.output === 'json') {
    const shown = items.map((item) => jsonItem(fields, item));
    printJson(io, itemsDocument(shown, items.length));
    return 0;
  }
  items.forEach((item, index) => {
    if (index > 0) io.stdout.write(`${ITEM_SEPARATOR}\n`);
    printItem(where, fields, item);
  });
  return 0;
}

/** A list that the server handed out as a whole. */
export async function printWholeList(
  where: Where,
  fields: readonly Field[],
  items: readonly Item[],
): Promise<void> {
  if (where.globals.output === 'json') {
    const shown = items.map((item) => jsonItem(fields, item));
    printJson(where.io, itemsDocument(shown, items.length));
    return;
  }
  await printList(where, fields, {}, async (offset, limit) => ({
    items: items.slice(offset, offset + limit),
    total: items.length,
  }));
}

export interface Page {
  readonly items: readonly Item[];
  readonly total: number;
}

export interface ListOptions {
  /** Most items in all; undefined: no limit, and a terminal is paged. */
  readonly limit?: number;
  /** Items to skip. */
  readonly offset?: number;
  /** Rows alone, as scripts read them. */
  readonly plain?: boolean;
}

/** A list that the server hands out in pages. */
export async function printList(
  where: Where,
  fields: readonly Field[],
  options: ListOptions,
  fetchPage: (offset: number, limit: number) => Promise<Page>,
): Promise<void> {
  const { io, globals } = where;
  const offset = options.offset ?? 0;
  if (globals.output === 'json') {
    const limit = Math.min(options.limit ?? DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
    const page = await fetchPage(offset, limit);
    const items = page.items.map((item) => jsonItem(fields, item));
    printJson(io, itemsDocument(items, page.total));
    return;
  }
  const interactive = io.stdout.isTTY && options.limit === undefined;
  const pageSize = interactive
    ? Math.max(1, Math.min(io.stdout.rows - PAGE_MARGIN_LINES, MAX_PAGE_SIZE))
    : DEFAULT_PAGE_SIZE;
  const table = new TableWriter(fields.map(fieldTitle), options.plain);
  let shown = 0;
  for (;;) {
    const wanted = Math.min(pageSize, (options.limit ?? Number.POSITIVE_INFINITY) - shown);
    const page = await fetchPage(offset + shown, wanted);
    if (shown === 0 && page.items.length === 0) {
      printStatus(io.stderr, 'fail', 'No matching items.');
      return;
    }
    const rows = page.items.map((item) => fields.map((f) => formatValue(f, item[f.key])));
    io.stdout.write(table.format(rows));
    shown += page.items.length;
    const done =
      page.items.length < wanted ||
      shown >= (options.limit ?? Number.POSITIVE_INFINITY) ||
      offset + shown >= page.total;
    if (done) return;
    if (interactive && (await readKey(io, ':')) === 'q') return;
  }
}
