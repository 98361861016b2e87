/**
 * The filter and order languages of list queries: text such as `name ilike "a%" & priority > 5` and
 * `-created_at,name`, read into trees. Turning a tree into SQL is minilang-store.ts.
 *
 * Grammar (upstream's, quirks included): `&` and `|` bind equally and group to the right, and `!`
 * takes all that follows it.
 */
import { BackendError } from '../../common/errors.ts';

export type FilterScalar = string | number | boolean | null;
const filterOperators = [
  '==',
  '!=',
  '>=',
  '<=',
  '>',
  '<',
  'contains',
  'isnot',
  'in',
  'is',
  'ilike',
  'like',
] as const;
export type FilterOperator = (typeof filterOperators)[number];

export type FilterTree =
  | { readonly kind: 'not'; readonly operand: FilterTree }
  | {
      readonly kind: 'and' | 'or';
      readonly left: FilterTree;
      readonly right: FilterTree;
    }
  | {
      readonly kind: 'test';
      readonly name: string;
      readonly operator: FilterOperator;
      readonly value: FilterScalar | FilterScalar[];
    };

interface OrderItem {
  readonly name: string;
  readonly descending: boolean;
}

/** Longest accepted filter. Characters. */
const MAX_FILTER_CHARS = 10_000;
/** Deepest nesting and longest chain; each costs a level of recursion. */
const MAX_DEPTH = 200;

type Token =
  | { readonly type: 'symbol'; readonly text: string; readonly at: number }
  | { readonly type: 'name'; readonly text: string; readonly at: number }
  | { readonly type: 'value'; readonly value: FilterScalar; readonly at: number };

export function filterError(message: string): BackendError {
  return new BackendError('InvalidAPIParameters', `Query filter parsing error: ${message}`);
}

const TOKEN =
  /\s*(?:(?<symbol>==|!=|>=|<=|[><()[\],&|!])|(?<number>[+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)|(?<name>[A-Za-z_][A-Za-z0-9_]*)|"(?<text>(?:[^"\\]|\\.)*)")/suy;

const WORDS: Readonly<Record<string, FilterScalar>> = { null: null, true: true, false: false };

function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (source.slice(TOKEN.lastIndex).trim() !== '') {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(source);
    if (!match?.groups) {
      throw filterError(`unexpected character at position ${at} in '${source}'`);
    }
    const { symbol, number, name, text } = match.groups;
    if (symbol !== undefined) tokens.push({ type: 'symbol', text: symbol, at });
    else if (number !== undefined) tokens.push({ type: 'value', value: Number(number), at });
    else if (name !== undefined) {
      const word = Object.hasOwn(WORDS, name) ? WORDS[name] : undefined;
      tokens.push(
        word === undefined ? { type: 'name', text: name, at } : { type: 'value', value: word, at },
      );
    } else {
      tokens.push({ type: 'value', value: (text ?? '').replaceAll('\\"', '"'), at });
    }
  }
  return tokens;
}

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(source: string) {
    this.#tokens = tokenize(source);
  }

  parse(): FilterTree {
    const tree = this.#expression(0);
    const rest = this.#tokens[this.#next];
    if (rest) throw filterError(`nothing may follow position ${rest.at}`);
    return tree;
  }

  #take(): Token {
    const token = this.#tokens[this.#next];
    if (!token) throw filterError('the expression ends too early');
    this.#next += 1;
    return token;
  }

  #takeSymbol(text: string): boolean {
    const token = this.#tokens[this.#next];
    if (token?.type !== 'symbol' || token.text !== text) return false;
    this.#next += 1;
    return true;
  }

  #expression(depth: number): FilterTree {
    if (depth > MAX_DEPTH) throw filterError(`more than ${MAX_DEPTH} conditions`);
    if (this.#takeSymbol('!')) return { kind: 'not', operand: this.#expression(depth + 1) };
    const left = this.#operand(depth);
    if (this.#takeSymbol('&')) return { kind: 'and', left, right: this.#expression(depth + 1) };
    if (this.#takeSymbol('|')) return { kind: 'or', left, right: this.#expression(depth + 1) };
    return left;
  }

  #operand(depth: number): FilterTree {
    if (this.#takeSymbol('(')) {
      const inner = this.#expression(depth + 1);
      if (!this.#takeSymbol(')')) throw filterError("')' is missing");
      return inner;
    }
    const name = this.#take();
    if (name.type !== 'name') throw filterError(`a field name is expected at position ${name.at}`);
    const sign = this.#take();
    const operator = filterOperators.find(
      (candidate) => sign.type !== 'value' && candidate === sign.text,
    );
    if (!operator) throw filterError(`an operator is expected at position ${sign.at}`);
    return { kind: 'test', name: name.text, operator, value: this.#value() };
  }

  #value(): FilterScalar | FilterScalar[] {
    if (!this.#takeSymbol('[')) return this.#scalar();
    const list: FilterScalar[] = [];
    if (this.#takeSymbol(']')) return list;
    do list.push(this.#scalar());
    while (this.#takeSymbol(','));
    if (!this.#takeSymbol(']')) throw filterError("']' is missing");
    return list;
  }

  #scalar(): FilterScalar {
    const token = this.#take();
    if (token.type !== 'value') throw filterError(`a value is expected at position ${token.at}`);
    return token.value;
  }
}

/** Reads a filter. @throws BackendError InvalidAPIParameters when it is not one. */
export function parseFilter(source: string): FilterTree {
  if (source.length > MAX_FILTER_CHARS) {
    throw filterError(`longer than ${MAX_FILTER_CHARS} characters`);
  }
  return new Parser(source).parse();
}

/** Reads an order; empty text gives none. @throws BackendError InvalidAPIParameters. */
export function parseOrder(source: string): OrderItem[] {
  const items: OrderItem[] = [];
  for (const part of source.split(',')) {
    const text = part.trim();
    if (text === '') continue;
    const match = /^([+-]?)\s*([A-Za-z_][A-Za-z0-9_]*)$/.exec(text);
    if (!match) {
      throw new BackendError(
        'InvalidAPIParameters',
        `Query order parsing error: '${text}' is not of the form [+|-]field`,
      );
    }
    items.push({ name: match[2] ?? '', descending: match[1] === '-' });
  }
  return items;
}
