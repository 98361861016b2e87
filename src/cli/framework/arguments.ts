/**
 * Strict command-line parsing: options anywhere among the positionals, several spellings per option,
 * repeated options, values that start with a dash, `--` as the end of options. citty's parser
 * accepts unknown options and keeps one value each, so it cannot do this.
 */
import {
  type Command,
  type OptionSpec,
  type OptionSpecs,
  type PositionalSpecs,
  UsageError,
} from '../../common/command.ts';
import { closest } from '../../common/spelling.ts';

/** Every text of every option and positional, by key, before its spec reads it. */
export interface ScannedArguments {
  readonly options: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];
  /** `-h` or `--help` was given where the command does not use it itself. */
  readonly help: boolean;
}

interface Spelling {
  readonly key: string;
  readonly takesValue: boolean;
}

function spellings(specs: OptionSpecs): Map<string, Spelling> {
  const table = new Map<string, Spelling>();
  for (const [key, spec] of Object.entries(specs)) {
    for (const text of spec.flags) table.set(text, { key, takesValue: spec.metavar !== null });
  }
  return table;
}

function unknownOption(text: string, known: Iterable<string>): UsageError {
  const suggestion = closest(text, known);
  return new UsageError(
    `No such option: ${text}${suggestion === null ? '' : ` Did you mean ${suggestion}?`}`,
  );
}

export interface ScanSettings {
  /** Unknown options become positionals. */
  readonly passUnknown: boolean;
  /** Everything from the first positional on is positional (a group before its command). */
  readonly stopAtPositional: boolean;
}

class Scanner {
  readonly options = new Map<string, string[]>();
  readonly positionals: string[] = [];
  help = false;
  private readonly table: Map<string, Spelling>;
  private readonly argv: readonly string[];
  private readonly settings: ScanSettings;
  private next = 0;

  constructor(argv: readonly string[], specs: OptionSpecs, settings: ScanSettings) {
    this.argv = argv;
    this.table = spellings(specs);
    this.settings = settings;
  }

  scan(): ScannedArguments {
    while (this.next < this.argv.length) {
      const text = this.argv[this.next++] ?? '';
      if (text === '--') {
        this.positionals.push(...this.argv.slice(this.next));
        break;
      }
      if (text.startsWith('--')) this.long(text);
      else if (text.startsWith('-') && text.length > 1) this.shortCluster(text);
      else if (this.settings.stopAtPositional) {
        this.positionals.push(text, ...this.argv.slice(this.next));
        break;
      } else this.positionals.push(text);
    }
    return this;
  }

  private long(text: string): void {
    const equals = text.indexOf('=');
    const name = equals < 0 ? text : text.slice(0, equals);
    const spelling = this.table.get(name);
    if (spelling === undefined) {
      if (text === '--help') this.help = true;
      else if (this.settings.passUnknown) this.positionals.push(text);
      else throw unknownOption(name, [...this.table.keys(), '--help']);
    } else if (spelling.takesValue) {
      this.add(spelling.key, equals < 0 ? this.valueOf(name) : text.slice(equals + 1));
    } else if (equals < 0) {
      this.add(spelling.key, '');
    } else {
      throw new UsageError(`Option '${name}' does not take a value.`);
    }
  }

  private shortCluster(text: string): void {
    for (let index = 1; index < text.length; index++) {
      const name = `-${text[index] ?? ''}`;
      const spelling = this.table.get(name);
      if (spelling === undefined) {
        if (name === '-h') this.help = true;
        else if (this.settings.passUnknown && index === 1) {
          this.positionals.push(text);
          return;
        } else throw unknownOption(name, []);
      } else if (spelling.takesValue) {
        const rest = text.slice(index + 1);
        this.add(spelling.key, rest === '' ? this.valueOf(name) : rest);
        return;
      } else {
        this.add(spelling.key, '');
      }
    }
  }

  private valueOf(name: string): string {
    const value = this.argv[this.next++];
    if (value === undefined) throw new UsageError(`Option '${name}' requires an argument.`);
    return value;
  }

  private add(key: string, text: string): void {
    const texts = this.options.get(key);
    if (texts === undefined) this.options.set(key, [text]);
    else texts.push(text);
  }
}

/** @throws UsageError on an unknown option, a missing value or a value for a flag. */
export function scanArguments(
  argv: readonly string[],
  specs: OptionSpecs,
  settings: ScanSettings,
): ScannedArguments {
  return new Scanner(argv, specs, settings).scan();
}

/** Every spelling, since nobody remembers that `-t` is also called `--client-token`. */
function spelledOut(spec: OptionSpec<unknown>): string {
  return spec.flags.map((text) => `'${text}'`).join(' / ');
}

function prefixed<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof UsageError) {
      throw new UsageError(`Invalid value for ${what}: ${error.message}`);
    }
    throw error;
  }
}

export function readOptions(
  specs: OptionSpecs,
  texts: ReadonlyMap<string, readonly string[]>,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, spec] of Object.entries(specs)) {
    values[key] = prefixed(spelledOut(spec), () => spec.read(texts.get(key) ?? []));
  }
  return values;
}

function readPositionals(
  specs: PositionalSpecs,
  texts: readonly string[],
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  let next = 0;
  for (const [key, spec] of Object.entries(specs)) {
    const taken = spec.variadic ? texts.slice(next) : texts.slice(next, next + 1);
    next += taken.length;
    if (spec.required && taken.length === 0) {
      throw new UsageError(`Missing argument '${spec.metavar}'.`);
    }
    values[key] = prefixed(`'${spec.metavar}'`, () => spec.read(taken));
  }
  const extra = texts.slice(next);
  if (extra.length > 0) {
    const noun = extra.length === 1 ? 'argument' : 'arguments';
    throw new UsageError(`Got unexpected extra ${noun} (${extra.join(' ')})`);
  }
  return values;
}

export interface ParsedCommand {
  readonly help: boolean;
  readonly options: Record<string, unknown>;
  readonly args: Record<string, unknown>;
}

/**
 * Parses what follows a command's name. With `--help` nothing else is checked.
 * @param inherited texts of options given before the name, by key; the command's own win.
 */
export function parseCommand(
  command: Command,
  argv: readonly string[],
  inherited: ReadonlyMap<string, readonly string[]> = new Map(),
): ParsedCommand {
  const scanned = scanArguments(argv, command.options, {
    passUnknown: command.passUnknown,
    stopAtPositional: false,
  });
  if (scanned.help) return { help: true, options: {}, args: {} };
  return {
    help: false,
    options: readOptions(command.options, new Map([...inherited, ...scanned.options])),
    args: readPositionals(command.positionals, scanned.positionals),
  };
}
