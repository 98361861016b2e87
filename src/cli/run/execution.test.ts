/** Running code over a real manager: output, exit codes, questions, interrupts, lost sessions. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Client, ConnectionError, readClientConfig } from '../../client/index.ts';
import { startTestServer } from '../../testing/session-server.ts';
import { until } from '../../testing/until.ts';
import { LineReader } from '../framework/prompt.ts';
import { capturedIo } from '../testing/io.ts';
import { execute, type RunOutput } from './execution.ts';
import { Interrupted, Interrupts } from './interrupts.ts';

let server: Awaited<ReturnType<typeof startTestServer>>;
let client: Client;

beforeAll(async () => {
  server = await startTestServer();
  client = new Client(readClientConfig(server.environment(server.accounts.user)));
});
afterAll(() => server.close());

function lines(...texts: string[]): LineReader {
  return new LineReader(async () => texts.shift() ?? null);
}

function start(code: string, input: LineReader = lines(), session = 'work') {
  const io = capturedIo();
  const remarks: string[] = [];
  let onOutput: () => void = () => undefined;
  const output: RunOutput = {
    stdout: {
      ...io.stdout,
      write: (chunk) => {
        io.stdout.write(chunk);
        onOutput();
      },
    },
    stderr: io.stderr,
    done: (text) => remarks.push(text),
    fail: (text) => remarks.push(`! ${text}`),
  };
  const interrupts = new Interrupts();
  const firstOutput = new Promise<void>((resolve) => {
    onOutput = resolve;
  });
  const result = execute({
    client,
    session,
    start: { mode: 'query', code },
    output,
    interrupts,
    input: { lines: input, io },
  }).finally(() => interrupts.close());
  return { io, remarks, result, firstOutput };
}

test('output and exit code', async () => {
  const said = start('say hello');
  expect(await said.result).toBe(0);
  expect(said.io.out()).toBe('hello\n');
  expect(said.remarks).toEqual(['Execution finished. (exit code = 0)']);
  const failed = start('fail');
  expect(await failed.result).toBe(1);
  expect(failed.io.err()).toBe('no\n');
});

test('a question is answered from the input, even when lines come in pieces', async () => {
  const asked = start('ask', lines('An', 'n\nnext line\n'));
  expect(await asked.result).toBe(0);
  expect(asked.io.out()).toBe('name? Ann\n');
});

test('a question without an answer interrupts the code and fails', async () => {
  const before = server.agent.interrupted.length;
  const asked = start('ask');
  expect(await asked.result).toBe(130);
  expect(server.agent.interrupted.length).toBeGreaterThan(before);
  expect(asked.remarks[0]).toStartWith('! The code asks for input');
});

test('Ctrl-C interrupts the code; a second one leaves', async () => {
  const before = server.agent.interrupted.length;
  const flood = start('flood');
  await flood.firstOutput;
  process.emit('SIGINT');
  process.emit('SIGINT');
  await expect(flood.result).rejects.toBeInstanceOf(Interrupted);
  // Whoever leaves does not wait for the answer to the first.
  await until(() => server.agent.interrupted.length > before, 'the code was interrupted');
});

test('Ctrl-C ends a question', async () => {
  const asked = start('ask', new LineReader(() => new Promise(() => {})));
  await asked.firstOutput;
  process.emit('SIGINT');
  expect(await asked.result).toBe(130);
});

test('a session that is not there', async () => {
  const lost = start('say x', lines(), 'nosuch');
  const error = await lost.result.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConnectionError);
  expect(String(error)).toContain("There is no session 'nosuch'.");
});

test('a session that is not running', async () => {
  const error = await start('say x', lines(), 'doomed').result.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConnectionError);
});
