/** The pure parts of `run`: ranges, exit codes, output records, waiting reasons. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { describeWait, pendingReasons } from '../session/create.ts';
import { resourceMap } from '../session/start-options.ts';
import { capturedIo } from '../testing/io.ts';
import { printSlice, type RunOutput, shellExitCode } from './execution.ts';
import { combinations, parseRange, substitute } from './ranges.ts';

test.each([
  ['x=case:a,b', ['a', 'b']],
  ['x=linspace:0,1,3', ['0', '0.5', '1']],
  ['x=range:1,4', ['1', '2', '3']],
  ['x=range:4,0,-2', ['4', '2']],
])('%s', (text, cases) => {
  expect(parseRange(text)).toEqual(['x', cases]);
});

test.each([
  'x',
  '=case:a',
  'x=case:',
  'x=range:1',
  'x=range:1,2,0',
  'x=linspace:0,1,0',
  'x=list:1',
])('%s is refused', (text) => {
  expect(() => parseRange(text)).toThrow();
});

test('every combination, each once', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }), (sizes) => {
      const ranges = sizes.map(
        (size, index) => [`v${index}`, Array.from({ length: size }, (_, n) => `${n}`)] as const,
      );
      const found = combinations(ranges).map((variables) => JSON.stringify(variables));
      expect(found).toHaveLength(sizes.reduce((product, size) => product * size, 1));
      expect(new Set(found).size).toBe(found.length);
    }),
  );
});

test('substitution leaves the shell its dollars when there is nothing to substitute', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the syntax under test
  expect(substitute('echo $x ${x}y $$ $HOME', { x: '1' })).toBe('echo 1 1y $ $HOME');
  expect(substitute('echo $x $$', {})).toBe('echo $x $$');
});

test('a failure never looks like success to the shell', () => {
  expect([0, 1, 255, 256, 257, 512].map(shellExitCode)).toEqual([0, 1, 255, 1, 1, 1]);
  fc.assert(
    fc.property(fc.integer(), (code) => {
      const shell = shellExitCode(code);
      expect(shell >= 0 && shell <= 255).toBe(true);
      expect(shell === 0).toBe(code === 0);
    }),
  );
});

test('resources: a bare number for memory means MiB', () => {
  expect(
    resourceMap([
      ['cpu', '2'],
      ['mem', '256'],
    ]),
  ).toEqual({ cpu: '2', mem: '256m' });
  expect(resourceMap([['mem', '4g']])).toEqual({ mem: '4g' });
});

test('output records', () => {
  const io = capturedIo();
  const remarks: string[] = [];
  const output: RunOutput = {
    stdout: io.stdout,
    stderr: io.stderr,
    done: (text) => remarks.push(text),
    fail: (text) => remarks.push(`! ${text}`),
  };
  printSlice(
    {
      status: 'build-finished',
      exitCode: 0,
      console: [
        ['stdout', 'out'],
        ['stderr', 'err'],
        ['media', ['image/png', 'AA']],
        ['html', '<p>'],
      ],
      files: [{ name: 'a.txt', url: 'http://x/a' }],
    },
    output,
  );
  printSlice({ status: 'finished', exitCode: 3 }, output);
  expect(io.out()).toBe(
    'out----- output record (type: media) -----\n["image/png","AA"]\n----- end of record -----\n' +
      '----- output record (type: html) -----\n<p>\n----- end of record -----\n' +
      '--- generated files ---\na.txt: http://x/a\n--- end of generated files ---\n',
  );
  expect(io.err()).toBe('err');
  expect(remarks).toEqual([
    'Build finished. (exit code = 0)',
    'Execution finished. (exit code = 3)',
  ]);
});

test('why a session is pending', () => {
  const failed = [{ name: 'slots', msg: 'no agent has 4 CPUs' }, { name: 'odd' }];
  expect(pendingReasons({ scheduler: { failed_predicates: failed, msg: 'x' } })).toEqual([
    'no agent has 4 CPUs',
  ]);
  expect(pendingReasons({ scheduler: { msg: 'waiting' } })).toEqual(['waiting']);
  expect(pendingReasons({})).toEqual([]);
  expect(pendingReasons(null)).toEqual([]);
});

test('the line about a session that is not there yet', () => {
  expect(describeWait('s', { status: 'PULLING', statusInfo: 'None', statusData: null })).toBe(
    'Waiting for session s (PULLING)...',
  );
  expect(describeWait('s', { status: 'SCHEDULED', statusInfo: 'scheduled' })).toBe(
    'Waiting for session s (SCHEDULED)...',
  );
  expect(describeWait('s', { status: 'PENDING', statusInfo: 'no-available-instances' })).toBe(
    'Waiting for session s (PENDING): no-available-instances',
  );
  const statusData = { scheduler: { msg: 'no agent has 4 CPUs' } };
  expect(describeWait('s', { status: 'PENDING', statusInfo: 'x', statusData })).toBe(
    'Waiting for session s (PENDING): no agent has 4 CPUs',
  );
});
