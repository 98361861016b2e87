/** Failures and status lines as people and programs read them. */
import { expect, test } from 'bun:test';
import { ApiError, ConnectionError } from '../../client/errors.ts';
import { BackendError } from '../../common/errors.ts';
import { printStatus, statusLine, WaitingLine } from '../../common/glyphs.ts';
import { capturedIo } from '../testing/io.ts';
import { describeFailure, reportFailure } from './failures.ts';

function apiError(slug: string, rest: { msg?: string; data?: unknown }): ApiError {
  const type = `https://api.backend.ai/probs/${slug}`;
  return new ApiError(400, 'Bad Request', { type, title: 'The title.', ...rest });
}

const HEAD = 'BackendAPIError: 400 Bad Request\nThe title.';

test.each([
  ['generic-bad-request', { msg: 'why', data: [1] }, '➜ Message: why\n➜ Data: [1]'],
  [
    'too-many-sessions-matched',
    { data: { matches: [{ id: 'i1', name: 'n1', status: 'RUNNING' }] } },
    '- i1 (n1, RUNNING)',
  ],
  [
    'session-already-exists',
    { data: { existingSessionId: 'i2' } },
    'Existing session: i2\nChoose another name with -t, or end that session with `backend.ai rm`.',
  ],
  ['invalid-api-params', { msg: 'why', data: { a: 1 } }, 'why\n{\n  "a": 1\n}'],
  [
    'graphql-error',
    { data: [{ message: 'no', path: ['a', 'b', 0] }, { message: 'else' }] },
    '➜ Message:\nno (path: a.b[0])\nelse',
  ],
])('%s', (slug, rest, expected) => {
  expect(describeFailure(apiError(slug, rest))).toBe(`${HEAD}\n${expected}`);
});

test('other failures', () => {
  expect(describeFailure(new ConnectionError('e', 'Cannot reach e'))).toBe('Cannot reach e');
  expect(describeFailure(new BackendError('SessionNotFound'))).toBe('No such session.');
  expect(describeFailure(new TypeError('bug'))).toBe('TypeError: bug');
  expect(describeFailure('text')).toBe('Error: text');
});

test('as JSON', () => {
  const io = capturedIo();
  const globals = { output: 'json', skipSslCertValidation: false } as const;
  expect(reportFailure(apiError('x', { msg: 'why' }), globals, io)).toBe(1);
  expect(JSON.parse(io.out())).toEqual({
    error: 'The title.',
    api: {
      status: 400,
      reason: 'Bad Request',
      type: 'https://api.backend.ai/probs/x',
      title: 'The title.',
      msg: 'why',
    },
  });
});

test('a stack is shown only when asked for', () => {
  const globals = { output: 'console', skipSslCertValidation: false } as const;
  const quiet = capturedIo();
  reportFailure(new TypeError('bug'), globals, quiet);
  expect(quiet.err()).toBe('✘ TypeError: bug\n');
  const debug = capturedIo({ env: { BACKEND_DEBUG: '1' } });
  reportFailure(new TypeError('bug', { cause: new Error('deep') }), globals, debug);
  expect(debug.err()).toContain('failures.test.ts');
  expect(debug.err()).toContain('deep');
});

test('status lines on a terminal and elsewhere', () => {
  expect(statusLine('done', 'ready', false)).toBe('✓ ready\n');
  expect(statusLine('fail', 'a\nb', false)).toBe('✗ a\n  b\n');
  expect(statusLine('done', 'ready', true)).toBe('\u001b[2K\u001b[92m✓\u001b[0m ready\n');
  expect(statusLine('wait', 'soon', true)).toBe('\u001b[2K\u001b[93m⋯\u001b[0m soon\r');
});

test('a waiting line is not repeated', () => {
  const io = capturedIo();
  const line = new WaitingLine(io.stderr);
  line.show('a');
  line.show('a');
  line.show('b');
  line.clear();
  printStatus(io.stderr, 'done', 'c');
  expect(io.err()).toBe('⋯ a\n⋯ b\n✓ c\n');
});

test('a waiting line too long for the terminal is told in full', () => {
  const io = capturedIo({ isTTY: true });
  const line = new WaitingLine(io.stderr);
  const text = `Waiting: ${'why '.repeat(30)}`;
  line.show(text);
  line.show(text);
  expect(io.err().split(text)).toHaveLength(2);
  expect(io.err()).toEndWith('\n');
});
