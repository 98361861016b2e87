/**
 * How a component declares its commands. Entries are light (name, description, how to load the
 * rest), so that help for the whole program is printed without importing a single command body.
 *
 * A command file default-exports `defineCommand({...})`; a component's `cli/index.ts` exports a
 * record of entries. The root in `bin/` puts the records of all components together.
 */
import type { Clock } from './clock.ts';

/** The two output handlers of the root option `--output`. */
export type OutputFormat = 'console' | 'json';

/** Options given before the command name. */
export interface GlobalOptions {
  readonly output: OutputFormat;
  readonly skipSslCertValidation: boolean;
}

export interface OutputStream {
  write(chunk: string | Uint8Array): void;
  readonly isTTY: boolean;
  /** Size of the terminal in characters; 80 × 24 when unknown. */
  readonly columns: number;
  readonly rows: number;
}

/** The outside world of a command; tests pass their own. */
export interface CommandIo {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** What time it is; the system's clock when absent. */
  readonly clock?: Clock;
  /** The next piece of standard input, null at its end; the process's own when absent. */
  readonly input?: () => Promise<string | null>;
}

/** A wrong command line: usage and `Error: …` on stderr, exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** An option and how its texts become a value. Made by the builders below. */
export interface OptionSpec<T> {
  /** All spellings, e.g. `['-t', '--name', '--client-token']`. */
  readonly flags: readonly string[];
  readonly description: string;
  /** Name of the value in help; null for a flag that takes none. */
  readonly metavar: string | null;
  readonly hidden?: boolean;
  /**
   * Turns every occurrence, in order, into the value (a flag's occurrence is "").
   * @throws UsageError when a text is not acceptable.
   */
  read(texts: readonly string[]): T;
}

export interface PositionalSpec<T> {
  readonly metavar: string;
  readonly description: string;
  readonly required: boolean;
  /** Takes all remaining arguments; only the last one may. */
  readonly variadic: boolean;
  read(texts: readonly string[]): T;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>;
export type PositionalSpecs = Readonly<Record<string, PositionalSpec<unknown>>>;

type Values<S> = {
  readonly [K in keyof S]: S[K] extends { read(texts: readonly string[]): infer T } ? T : never;
};

export interface CommandContext<O = OptionSpecs, P = PositionalSpecs> {
  readonly options: Values<O>;
  /** Positional arguments by the keys of `positionals`. */
  readonly args: Values<P>;
  readonly globals: GlobalOptions;
  readonly io: CommandIo;
  /** What the user typed to get here, e.g. `backend.ai session create`. */
  readonly commandPath: string;
}

export interface Command {
  /** First paragraph of the help text; the entry's description when absent. */
  readonly help?: string;
  readonly options: OptionSpecs;
  readonly positionals: PositionalSpecs;
  /** Unknown options become positional arguments (for wrappers of other programs). */
  readonly passUnknown: boolean;
  /** @returns the exit code; nothing means 0. */
  run(context: CommandContext): Promise<number | undefined>;
}

/** Declares a command; `options` and `positionals` give `run` its types. */
export function defineCommand<
  const O extends OptionSpecs = Record<never, never>,
  const P extends PositionalSpecs = Record<never, never>,
>(definition: {
  help?: string;
  options?: O;
  positionals?: P;
  passUnknown?: boolean;
  run(context: CommandContext<O, P>): Promise<number | undefined>;
}): Command {
  const { options, positionals, run, passUnknown = false, help } = definition;
  return {
    help,
    options: options ?? {},
    positionals: positionals ?? {},
    passUnknown,
    // The parser fills the context from these very specs, so the two context types agree.
    run: (context) => run(context as CommandContext<O, P>),
  };
}

interface EntryBase {
  readonly description: string;
  readonly aliases?: readonly string[];
  readonly hidden?: boolean;
}

/** A leaf: `load` is `() => import('./commands/name.ts')` of a module with a default export. */
export interface CommandEntry extends EntryBase {
  readonly load: () => Promise<{ readonly default: Command }>;
}

/** A group: its entries, or a function that loads them only when the group is named. */
export interface CommandGroup extends EntryBase {
  /** Options before the command's name: its commands take them as theirs, by key. */
  readonly options?: OptionSpecs;
  readonly commands: CommandRecord | (() => Promise<CommandRecord>);
}

export type CommandRecord = { readonly [name: string]: CommandEntry | CommandGroup };

type Parse<T> = (text: string) => T;

const last = (texts: readonly string[]): string | undefined => texts[texts.length - 1];
const identity: Parse<string> = (text) => text;

/** A switch: true when given. */
export function flag(flags: readonly string[], description: string): OptionSpec<boolean> {
  return { flags, description, metavar: null, read: (texts) => texts.length > 0 };
}

/** An option with a value; the last occurrence counts. Undefined when absent. */
export function option(
  flags: readonly string[],
  metavar: string,
  description: string,
): OptionSpec<string | undefined>;
export function option<T>(
  flags: readonly string[],
  metavar: string,
  description: string,
  parse: Parse<T>,
): OptionSpec<T | undefined>;
export function option(
  flags: readonly string[],
  metavar: string,
  description: string,
  parse: Parse<unknown> = identity,
): OptionSpec<unknown | undefined> {
  return {
    flags,
    description,
    metavar,
    read: (texts) => {
      const text = last(texts);
      return text === undefined ? undefined : parse(text);
    },
  };
}

/** An option with a value and a default. */
export function optionWithDefault<T>(
  flags: readonly string[],
  metavar: string,
  description: string,
  fallback: T,
  parse: Parse<T>,
): OptionSpec<T> {
  const shown = String(fallback);
  return {
    flags,
    description: shown === '' ? description : `${description} [default: ${shown}]`,
    metavar,
    read: (texts) => {
      const text = last(texts);
      return text === undefined ? fallback : parse(text);
    },
  };
}

/** An option that may be repeated; the values in order. */
export function repeated(
  flags: readonly string[],
  metavar: string,
  description: string,
): OptionSpec<string[]>;
export function repeated<T>(
  flags: readonly string[],
  metavar: string,
  description: string,
  parse: Parse<T>,
): OptionSpec<T[]>;
export function repeated(
  flags: readonly string[],
  metavar: string,
  description: string,
  parse: Parse<unknown> = identity,
): OptionSpec<unknown[]> {
  return {
    flags,
    description: `${description} (repeatable)`,
    metavar,
    read: (texts) => texts.map((text) => parse(text)),
  };
}

/** A mandatory argument. */
export function argument(metavar: string, description: string): PositionalSpec<string>;
export function argument<T>(
  metavar: string,
  description: string,
  parse: Parse<T>,
): PositionalSpec<T>;
export function argument(
  metavar: string,
  description: string,
  parse: Parse<unknown> = identity,
): PositionalSpec<unknown> {
  return {
    metavar,
    description,
    required: true,
    variadic: false,
    read: (texts) => parse(texts[0] ?? ''),
  };
}

/** An argument that may be left out. */
export function optionalArgument(
  metavar: string,
  description: string,
): PositionalSpec<string | undefined>;
export function optionalArgument<T>(
  metavar: string,
  description: string,
  parse: Parse<T>,
): PositionalSpec<T | undefined>;
export function optionalArgument(
  metavar: string,
  description: string,
  parse: Parse<unknown> = identity,
): PositionalSpec<unknown | undefined> {
  return {
    metavar,
    description,
    required: false,
    variadic: false,
    read: (texts) => (texts[0] === undefined ? undefined : parse(texts[0])),
  };
}

/** All remaining arguments. */
export function restArguments(metavar: string, description: string): PositionalSpec<string[]>;
export function restArguments<T>(
  metavar: string,
  description: string,
  parse: Parse<T>,
): PositionalSpec<T[]>;
export function restArguments(
  metavar: string,
  description: string,
  parse: Parse<unknown> = identity,
): PositionalSpec<unknown[]> {
  return {
    metavar,
    description,
    required: false,
    variadic: true,
    read: (texts) => texts.map((text) => parse(text)),
  };
}

function boundsInWords({ min, max }: { min?: number; max?: number }): string {
  if (max === undefined) return `at least ${min}`;
  return min === undefined ? `at most ${max}` : `in the range ${min} to ${max}`;
}

/** A whole number, optionally bounded. */
export function integer(bounds: { min?: number; max?: number } = {}): Parse<number> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = bounds;
  return (text) => {
    const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) throw new UsageError(`'${text}' is not a valid integer.`);
    if (value < min || value > max) {
      throw new UsageError(`${value} is not ${boundsInWords(bounds)}.`);
    }
    return value;
  };
}

/** A decimal number. */
export const decimal: Parse<number> = (text) => {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new UsageError(`'${text}' is not a valid number.`);
  return value;
};

/** One of a fixed set of words. */
export function choice<const C extends readonly string[]>(choices: C): Parse<C[number]> {
  return (text) => {
    const found = choices.find((candidate) => candidate === text);
    if (found === undefined) {
      throw new UsageError(`'${text}' is not one of ${choices.map((c) => `'${c}'`).join(', ')}.`);
    }
    return found;
  };
}

const TRUE_WORDS = new Set(['t', 'true', 'y', 'yes', 'on', '1']);
const FALSE_WORDS = new Set(['f', 'false', 'n', 'no', 'off', '0']);

/** t, true, y, yes, on, 1 or f, false, n, no, off, 0; any case. */
export const booleanExpression: Parse<boolean> = (text) => {
  const word = text.toLowerCase();
  if (TRUE_WORDS.has(word)) return true;
  if (FALSE_WORDS.has(word)) return false;
  throw new UsageError(`'${text}' is not a boolean expression (try 'true' or 'false').`);
};

/** `KEY=VALUE`, neither side empty. */
export const keyValue: Parse<readonly [string, string]> = (text) => {
  const at = text.indexOf('=');
  if (at <= 0 || at === text.length - 1) {
    throw new UsageError(`'${text}' is not of the form KEY=VALUE.`);
  }
  return [text.slice(0, at), text.slice(at + 1)];
};
