/** The tree: dispatch, help, usage errors, exit codes, and that nothing loads before it is named. */
import { expect, test } from 'bun:test';
import {
  argument,
  type CommandRecord,
  defineCommand,
  flag,
  repeated,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { capturedIo } from '../testing/io.ts';
import { reportFailure } from './failures.ts';
import { runProgram } from './program.ts';

const loaded: string[] = [];

const greet = defineCommand({
  positionals: { name: argument('NAME', 'Whom to greet.') },
  options: {
    loud: flag(['-l', '--loud'], 'Shout.'),
    word: repeated(['--word'], 'TEXT', 'Further words.'),
  },
  async run({ args, options, io, globals }) {
    const text = [`hello ${args.name}`, ...options.word].join(' ');
    io.stdout.write(`${options.loud ? text.toUpperCase() : text} (${globals.output})\n`);
    return 7;
  },
});

const commands: CommandRecord = {
  greet: {
    description: 'Greet somebody.',
    aliases: ['hi', 'hey'],
    load: async () => {
      loaded.push('greet');
      return { default: greet };
    },
  },
  secret: {
    description: 'Not shown.',
    hidden: true,
    load: async () => ({
      default: defineCommand({
        async run() {
          throw new UserError('It broke.', { hint: 'Mend it.', exitCode: 5 });
        },
      }),
    }),
  },
  group: {
    description: 'A group of commands.',
    commands: async () => {
      loaded.push('group');
      return { inner: { description: 'Inside.', load: async () => ({ default: greet }) } };
    },
  },
};

async function run(...argv: string[]) {
  loaded.length = 0;
  const io = capturedIo();
  const exitCode = await runProgram(
    { name: 'prog', description: 'A program.', version: '1.2.3', commands },
    argv,
    io,
    async (error, globals) => reportFailure(error, globals, io),
  );
  return { exitCode, out: io.out(), err: io.err(), loaded: [...loaded] };
}

test('root help loads nothing', async () => {
  const result = await run('--help');
  expect(result).toMatchObject({ exitCode: 0, err: '', loaded: [] });
  expect(result.out).toBe(`Usage: prog [OPTIONS] COMMAND [ARGS]...

  A program.

Options:
  --version                  Show the version and exit.
  --skip-sslcert-validation  Do not verify the TLS certificates of servers.
  --output [json|console]    Format of the results. [default: console]
  -h, --help                 Show this message and exit.

Commands:
  greet (hi,hey)  Greet somebody.
  group           A group of commands.
`);
});

test('help of a command', async () => {
  const { out, exitCode } = await run('hi', 'x', '--help');
  expect(exitCode).toBe(0);
  expect(out).toBe(`Usage: prog greet [OPTIONS] NAME

  Greet somebody.

Arguments:
  NAME  Whom to greet.

Options:
  -l, --loud   Shout.
  --word TEXT  Further words. (repeatable)
  -h, --help   Show this message and exit.
`);
});

test.each([
  [['greet', 'Ann'], 'hello Ann (console)\n'],
  [['hey', '-l', 'Ann', '--word', '-x'], 'HELLO ANN -X (console)\n'],
  [['--output', 'json', 'greet', 'Ann'], 'hello Ann (json)\n'],
  [['--output=json', '--skip-sslcert-validation', 'group', 'inner', 'x'], 'hello x (json)\n'],
  [['greet', '--', '--output'], 'hello --output (console)\n'],
  [['greet', '--word', '--no-reuse', 'A'], 'hello A --no-reuse (console)\n'],
])('%j runs', async (argv, out) => {
  expect(await run(...argv)).toMatchObject({ exitCode: 7, out, err: '' });
});

test('--version', async () => {
  expect(await run('--version')).toMatchObject({ exitCode: 0, out: 'prog 1.2.3\n' });
});

test.each([
  [['gret'], "Error: No such command 'gret'. Did you mean 'greet'?", 'prog'],
  [['constructor'], "Error: No such command 'constructor'.", 'prog'],
  [['--bogus', 'greet'], 'Error: No such option: --bogus', 'prog'],
  [['--output', 'xml', 'greet'], "Error: Invalid value for '--output'", 'prog'],
  [['group', 'nope'], "Error: No such command 'nope'.", 'prog group'],
  [['group', 'inner'], "Error: Missing argument 'NAME'.", 'prog group inner'],
  [['greet', 'x', '--output', 'json'], 'Error: No such option: --output', 'prog greet'],
])('%j is a usage error', async (argv, message, path) => {
  const result = await run(...argv);
  expect(result).toMatchObject({ exitCode: 2, out: '' });
  expect(result.err).toStartWith(`Usage: ${path} `);
  expect(result.err).toContain(`Try '${path} --help' for help.\n\n${message}`);
});

test('a group without a command shows its help and fails', async () => {
  const result = await run('group');
  expect(result).toMatchObject({ exitCode: 2, out: '' });
  expect(result.err).toContain('Usage: prog group [OPTIONS] COMMAND [ARGS]...');
  expect(result.err).toContain('inner  Inside.');
});

test('a failing command tells why and what to do, without a stack', async () => {
  expect(await run('secret')).toMatchObject({
    exitCode: 5,
    out: '',
    err: '✘ It broke.\n  Mend it.\n',
  });
  const json = await run('--output', 'json', 'secret');
  expect(JSON.parse(json.out)).toEqual({ error: 'It broke.' });
  expect(json.err).toBe('');
});
