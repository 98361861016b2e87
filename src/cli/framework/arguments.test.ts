/** Strict parsing: what each command line means, and which are refused with which words. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  argument,
  booleanExpression,
  choice,
  decimal,
  defineCommand,
  flag,
  integer,
  keyValue,
  option,
  optionalArgument,
  optionWithDefault,
  repeated,
  restArguments,
  UsageError,
} from '../../common/command.ts';
import { parseCommand } from './arguments.ts';

const command = defineCommand({
  positionals: { image: argument('IMAGE', ''), files: restArguments('FILES', '') },
  options: {
    code: option(['-c', '--code'], 'CODE', ''),
    remove: flag(['--rm'], ''),
    quiet: flag(['-q', '--quiet'], ''),
    stats: flag(['-s'], ''),
    env: repeated(['-e', '--env'], 'K=V', '', keyValue),
    size: optionWithDefault(['--size'], 'INT', '', 1, integer({ min: 1, max: 9 })),
    mode: option(['--mode'], 'MODE', '', choice(['a', 'b'])),
  },
  run: async () => 0,
});

const parse = (...argv: string[]) => parseCommand(command, argv);

test.each([
  [['python'], { image: 'python', files: [] }, {}],
  [['python', '--rm', '-c', 'print(1)'], { image: 'python' }, { remove: true, code: 'print(1)' }],
  [['--rm', '-c', '-1', 'python', 'a', '-q', 'b'], { files: ['a', 'b'] }, { code: '-1' }],
  [['p', '--code=--rm'], {}, { code: '--rm', remove: false }],
  [['p', '-cx=1'], {}, { code: 'x=1' }],
  [['p', '-qsc', 'x'], {}, { quiet: true, stats: true, code: 'x' }],
  [['p', '-c', 'a', '-c', 'b'], {}, { code: 'b' }],
  [
    ['p', '-e', 'A=1', '--env', 'B=x=y'],
    {},
    {
      env: [
        ['A', '1'],
        ['B', 'x=y'],
      ],
    },
  ],
  [['p', '--', '--rm', '-c'], { files: ['--rm', '-c'] }, { remove: false }],
  [['p', '-'], { files: ['-'] }, {}],
  [['p', '--code', ''], {}, { code: '' }],
  [['p', '--size', '3', '--mode', 'b'], {}, { size: 3, mode: 'b' }],
  [['p'], {}, { size: 1, mode: undefined, env: [] }],
])('%j', (argv, args, options) => {
  const parsed = parse(...argv);
  expect(parsed.args).toMatchObject(args);
  expect(parsed.options).toMatchObject(options);
});

test.each([
  [[], "Missing argument 'IMAGE'."],
  [['p', '--bogus'], 'No such option: --bogus'],
  [['p', '--quite'], 'No such option: --quite Did you mean --quiet?'],
  [['p', '-x'], 'No such option: -x'],
  [['p', '-c'], "Option '-c' requires an argument."],
  [['p', '--rm=yes'], "Option '--rm' does not take a value."],
  [['p', '--size', 'two'], "Invalid value for '--size': 'two' is not a valid integer."],
  [['p', '--size', '10'], "Invalid value for '--size': 10 is not in the range 1 to 9."],
  [['p', '--mode', 'c'], "Invalid value for '--mode': 'c' is not one of 'a', 'b'."],
  [['p', '-e', 'A'], "Invalid value for '-e' / '--env': 'A' is not of the form KEY=VALUE."],
  [['p', '-e', '=1'], "Invalid value for '-e' / '--env': '=1' is not of the form KEY=VALUE."],
])('%j is refused', (argv, message) => {
  expect(() => parse(...argv)).toThrow(new UsageError(message));
});

test('an integer without an upper bound tells only the lower one', () => {
  expect(() => integer({ min: 1 })('0')).toThrow(new UsageError('0 is not at least 1.'));
  expect(() => integer({ max: 5 })('6')).toThrow(new UsageError('6 is not at most 5.'));
});

test('help is seen before anything else is checked', () => {
  expect(parse('--help').help).toBe(true);
  expect(parse('-h', 'a', 'b').help).toBe(true);
});

test('too many arguments', () => {
  const two = defineCommand({
    positionals: { a: argument('A', ''), b: optionalArgument('B', '') },
    run: async () => 0,
  });
  expect(parseCommand(two, ['1']).args).toEqual({ a: '1', b: undefined });
  expect(() => parseCommand(two, ['1', '2', '3'])).toThrow('Got unexpected extra argument (3)');
  expect(() => parseCommand(two, ['1', '2', '3', '4'])).toThrow('extra arguments (3 4)');
});

test('a wrapper passes unknown options on', () => {
  const wrapper = defineCommand({
    positionals: { args: restArguments('ARGS', '') },
    options: { verbose: flag(['--verbose'], '') },
    passUnknown: true,
    run: async () => 0,
  });
  const parsed = parseCommand(wrapper, ['-c', 'select 1', '--verbose', '--csv']);
  expect(parsed.args.args).toEqual(['-c', 'select 1', '--csv']);
  expect(parsed.options.verbose).toBe(true);
});

test('any text survives as an option value and after --', () => {
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string()), (value, rest) => {
      const parsed = parse('p', '-c', value, '--', ...rest);
      expect(parsed.options.code).toBe(value);
      expect(parsed.args.files).toEqual(rest);
    }),
  );
});

test('words and numbers', () => {
  expect(booleanExpression('Yes')).toBe(true);
  expect(booleanExpression('off')).toBe(false);
  expect(() => booleanExpression('maybe')).toThrow(UsageError);
  expect(decimal('-1.5')).toBe(-1.5);
  expect(() => decimal('')).toThrow(UsageError);
});
