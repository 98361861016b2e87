/**
 * Runs a tree of commands. citty walks it: each level is a citty command whose subcommands are
 * loaded when named. Parsing, help and errors are ours (see `arguments.ts`), because citty ignores
 * unknown options and keeps only the last of a repeated one.
 */
import {
  type ArgsDef,
  type CommandDef,
  defineCommand as defineCittyCommand,
  runCommand,
} from 'citty';
import {
  type Command,
  type CommandEntry,
  type CommandGroup,
  type CommandIo,
  type CommandRecord,
  choice,
  flag,
  type GlobalOptions,
  type OptionSpecs,
  optionWithDefault,
  UsageError,
} from '../../common/command.ts';
import { closest } from '../../common/spelling.ts';
import { TRACES_VARIABLE } from '../../common/tracing.ts';
import { parseCommand, readOptions, scanArguments } from './arguments.ts';
import { commandHelp, commandUsage, groupHelp, groupUsage } from './help.ts';

const HELP_WIDTH_LIMIT = 100;
const USAGE_EXIT_CODE = 2;

export const rootOptions = {
  version: flag(['--version'], 'Show the version and exit.'),
  skipSslCertValidation: flag(
    ['--skip-sslcert-validation'],
    'Do not verify the TLS certificates of servers.',
  ),
  output: optionWithDefault(
    ['--output'],
    '[json|console]',
    'Format of the results.',
    'console',
    choice(['json', 'console']),
  ),
} satisfies OptionSpecs;

export interface Program {
  readonly name: string;
  readonly description: string;
  readonly version: string;
  readonly commands: CommandRecord;
  /** Those whose work is a span; servers make one of each request instead. */
  readonly traced?: ReadonlySet<string>;
}

/** Reports a failure of a command and returns the exit code. */
export type FailureReporter = (
  error: unknown,
  globals: GlobalOptions,
  io: CommandIo,
) => Promise<number>;

interface Run {
  readonly program: Program;
  readonly io: CommandIo;
  globals: GlobalOptions;
  /** Options given to the groups on the way to the command, by key. */
  readonly inherited: Map<string, readonly string[]>;
  exitCode: number;
}

/** Ends the walk early with an exit code: help was shown, or the usage was wrong. */
class Exit extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}

function usageFailure(run: Run, commandPath: string, usage: string, error: UsageError): Exit {
  run.io.stderr.write(
    `${usage}\nTry '${commandPath} --help' for help.\n\nError: ${error.message}\n`,
  );
  return new Exit(USAGE_EXIT_CODE);
}

const helpWidth = (run: Run): number => Math.min(run.io.stdout.columns, HELP_WIDTH_LIMIT);

export function isGroup(entry: CommandEntry | CommandGroup): entry is CommandGroup {
  return 'commands' in entry;
}

export async function loadCommands(group: CommandGroup): Promise<CommandRecord> {
  return typeof group.commands === 'function' ? await group.commands() : group.commands;
}

/** Does a command's work as a span, when the environment names a collector of traces. */
async function traced<T>(run: Run, commandPath: string, work: () => Promise<T>): Promise<T> {
  const [, name = ''] = commandPath.split(' ');
  if (!run.io.env[TRACES_VARIABLE] || !run.program.traced?.has(name)) return await work();
  const { createLogger } = await import('../../logging/logger.ts');
  const { tracerFromEnvironment } = await import('../../tracing/open.ts');
  const log = createLogger({ component: 'cli', write: (line) => run.io.stderr.write(line) });
  const tracer = tracerFromEnvironment('backend.ai-cli', run.io.env, { log });
  try {
    return await tracer.run({ name: commandPath, kind: 'client' }, work);
  } finally {
    await tracer.close();
  }
}

async function runLeaf(
  run: Run,
  entry: CommandEntry,
  commandPath: string,
  argv: readonly string[],
): Promise<void> {
  const command: Command = (await entry.load()).default;
  let parsed: ReturnType<typeof parseCommand>;
  try {
    parsed = parseCommand(command, argv, run.inherited);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw usageFailure(run, commandPath, commandUsage(commandPath, command), error);
  }
  if (parsed.help) {
    run.io.stdout.write(commandHelp(commandPath, entry.description, command, helpWidth(run)));
    return;
  }
  try {
    const code = await traced(run, commandPath, () =>
      command.run({
        options: parsed.options,
        args: parsed.args,
        globals: run.globals,
        io: run.io,
        commandPath,
      }),
    );
    run.exitCode = code ?? 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw usageFailure(run, commandPath, commandUsage(commandPath, command), error);
  }
}

interface Level {
  readonly commandPath: string;
  readonly description: string;
  readonly options: OptionSpecs;
  readonly commands: CommandRecord;
  /** Acts on the options given before the command's name. */
  onOptions(values: ReadonlyMap<string, readonly string[]>): void;
}

/** Checks what comes before the command's name, and that the name exists. */
function checkLevel(run: Run, level: Level, names: readonly string[], argv: readonly string[]) {
  try {
    const scanned = scanArguments(argv, level.options, {
      passUnknown: false,
      stopAtPositional: true,
    });
    if (!scanned.help) level.onOptions(scanned.options);
    const name = scanned.positionals[0];
    if (scanned.help || name === undefined) {
      const { commandPath, description, options, commands } = level;
      const stream = scanned.help ? run.io.stdout : run.io.stderr;
      stream.write(groupHelp(commandPath, description, options, commands, helpWidth(run)));
      throw new Exit(scanned.help ? 0 : USAGE_EXIT_CODE);
    }
    if (!names.includes(name)) {
      const suggestion = closest(name, names);
      const hint = suggestion === null ? '' : ` Did you mean '${suggestion}'?`;
      throw new UsageError(`No such command '${name}'.${hint}`);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw usageFailure(run, level.commandPath, groupUsage(level.commandPath), error);
  }
}

function cittySubCommand(run: Run, entry: CommandEntry | CommandGroup, commandPath: string) {
  return async (): Promise<CommandDef> => {
    if (!isGroup(entry)) {
      return defineCittyCommand({
        run: ({ rawArgs }) => runLeaf(run, entry, commandPath, rawArgs),
      });
    }
    const options = entry.options ?? {};
    return cittyGroup(run, {
      commandPath,
      description: entry.description,
      options,
      commands: await loadCommands(entry),
      onOptions: (texts) => {
        readOptions(options, texts);
        for (const [key, given] of texts) run.inherited.set(key, given);
      },
    });
  };
}

function cittyGroup(run: Run, level: Level): CommandDef {
  const subCommands: Record<string, () => Promise<CommandDef>> = Object.create(null);
  for (const [name, entry] of Object.entries(level.commands)) {
    for (const spelling of [name, ...(entry.aliases ?? [])]) {
      subCommands[spelling] = cittySubCommand(run, entry, `${level.commandPath} ${name}`);
    }
  }
  // citty skips an option's value on its way to the command's name only when it knows the option.
  const args: ArgsDef = {};
  for (const spec of Object.values(level.options)) {
    if (spec.metavar === null) continue;
    for (const text of spec.flags) args[text.replace(/^-+/, '')] = { type: 'string' };
  }
  return defineCittyCommand({
    args,
    subCommands,
    setup: ({ rawArgs }) => checkLevel(run, level, Object.keys(subCommands), rawArgs),
  });
}

function rootLevel(run: Run): Level {
  const { name, description, version, commands } = run.program;
  return {
    commandPath: name,
    description,
    options: rootOptions,
    commands,
    onOptions: (texts) => {
      if (texts.has('version')) {
        run.io.stdout.write(`${name} ${version}\n`);
        throw new Exit(0);
      }
      readOptions(rootOptions, texts);
      run.globals = {
        output: rootOptions.output.read(texts.get('output') ?? []),
        skipSslCertValidation: texts.has('skipSslCertValidation'),
      };
    },
  };
}

/**
 * Runs the command that `argv` names.
 * @returns the exit code; failures have been reported on the streams of `io`.
 */
export async function runProgram(
  program: Program,
  argv: readonly string[],
  io: CommandIo,
  reportFailure: FailureReporter,
): Promise<number> {
  const run: Run = {
    program,
    io,
    globals: { output: 'console', skipSslCertValidation: false },
    inherited: new Map(),
    exitCode: 0,
  };
  try {
    await runCommand(cittyGroup(run, rootLevel(run)), { rawArgs: [...argv] });
    return run.exitCode;
  } catch (error) {
    if (error instanceof Exit) return error.exitCode;
    return await reportFailure(error, run.globals, io);
  }
}
