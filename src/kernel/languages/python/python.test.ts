/** Python in query mode: state, output, pictures, input, completion, interrupts. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { until } from '../../../testing/until.ts';
import { startRunner, type TestClient, type TestRunner } from '../../testing/harness.ts';

let runner: TestRunner;
let client: TestClient;
let runCount = 0;

const query = (code: string) => client.query(nextId(), code);

function nextId(): string {
  runCount += 1;
  return `python-${runCount}`;
}

/** Starts code and interrupts it once it has said `go`. */
async function interruptAfterGo(code: string) {
  const first = await client.execute(nextId(), { mode: 'query', code });
  expect(first.console).toEqual([['stdout', 'go\n']]);
  await client.call({ op: 'interrupt' });
  return await client.finish(first);
}

beforeAll(async () => {
  runner = startRunner({ runtimeType: 'python' });
  client = await runner.connect();
});

afterAll(async () => {
  client.close();
  await runner.stop();
});

test('status names the default language first', async () => {
  const status = await client.call({ op: 'status' });
  expect(status.protocol).toBe(1);
  expect(status.languages[0]).toBe('python');
});

test('state is kept and the last expression is shown', async () => {
  const first = await query('x = 40\nprint("hello")\nx + 2');
  expect(first.exitCode).toBe(0);
  expect(first.records).toEqual([['stdout', 'hello\n42\n']]);
  expect((await query('_ + x')).stdout).toBe('82\n');
  expect((await query('None')).records).toEqual([]);
});

test('an error shows a traceback of user code only', async () => {
  const outcome = await query('print("before")\ndef f():\n    return 1 / 0\nf()');
  expect(outcome.exitCode).toBe(1);
  expect(outcome.stdout).toBe('before\n');
  expect(outcome.stderr).toContain('ZeroDivisionError: division by zero');
  expect(outcome.stderr).toContain('return 1 / 0');
  expect(outcome.stderr).not.toContain('backend.ai');
  expect(outcome.records.map((item) => item[0])).toEqual(['stdout', 'stderr']);
});

test('a syntax error is told and runs nothing', async () => {
  const outcome = await query('print("never")\nif:');
  expect(outcome.exitCode).toBe(1);
  expect(outcome.stdout).toBe('');
  expect(outcome.stderr).toContain('SyntaxError');
});

test('input() and getpass() ask the client', async () => {
  const asked = await query('name = input("who? ")\nprint("hi", name)');
  expect(asked.last.status).toBe('waiting-input');
  expect(asked.last.isPassword).toBe(false);
  expect(asked.stdout).toBe('who? ');
  const { runId } = asked.last;
  const answered = await client.finish(await client.execute(runId, { mode: 'input', code: 'Ann' }));
  expect(answered.stdout).toBe('hi Ann\n');
  const secret = await query('import getpass\nlen(getpass.getpass())');
  expect(secret.last.isPassword).toBe(true);
  const id = secret.last.runId;
  const done = await client.finish(await client.execute(id, { mode: 'input', code: '12345' }));
  expect(done.stdout).toBe('5\n');
});

test('input for a run that does not ask is refused', async () => {
  const outcome = await query('1');
  const call = client.execute(outcome.last.runId, { mode: 'input', code: 'x' });
  expect(call).rejects.toThrow('not waiting for input');
});

test('rich results become html and media records in their place', async () => {
  const code = `
class Html:
    def _repr_html_(self): return "<b>x</b>"
class Svg:
    def _repr_svg_(self): return "<svg/>"
class Png:
    def _repr_png_(self): return b"\\x89PNG"
print("a")
display(Html())
print("b")
display(Svg(), Png())
print("c")
Html()`;
  expect((await query(code)).records).toEqual([
    ['stdout', 'a\n'],
    ['html', '<b>x</b>'],
    ['stdout', 'b\n'],
    ['media', ['image/svg+xml', '<svg/>']],
    ['media', ['image/png', 'data:image/png;base64,iVBORw==']],
    ['stdout', 'c\n'],
    ['html', '<b>x</b>'],
  ]);
});

test('sys.exit ends the run with its code and keeps the state', async () => {
  await query('kept = 1');
  const outcome = await query('import sys\nsys.exit(3)');
  expect(outcome.exitCode).toBe(3);
  expect((await query('kept')).stdout).toBe('1\n');
});

test('await works at the top level', async () => {
  const outcome = await query(
    'import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, "v")',
  );
  expect(outcome.stdout).toBe("'v'\n");
});

test('output of child processes is captured', async () => {
  const outcome = await query('import os\nprint("a")\nos.system("echo b; echo c >&2")\nprint("d")');
  expect(outcome.stdout).toBe('a\nb\nd\n');
  expect(outcome.stderr).toBe('c\n');
});

test('children can open /dev/stdout', async () => {
  const outcome = await query('import os\nos.system("echo through > /dev/stdout")');
  expect(outcome.stdout).toBe('through\n0\n');
});

test('an interrupt raises KeyboardInterrupt and keeps the state', async () => {
  await query('kept = "still here"');
  const outcome = await interruptAfterGo('import time\nprint("go")\ntime.sleep(600)');
  expect(outcome.exitCode).toBe(1);
  expect(outcome.stderr).toContain('KeyboardInterrupt');
  expect((await query('kept')).stdout).toBe("'still here'\n");
});

test('an interrupt ends a prompt', async () => {
  const asked = await query('input()');
  expect(asked.last.status).toBe('waiting-input');
  await client.call({ op: 'interrupt' });
  const outcome = await client.finish(await client.execute(asked.last.runId, {}));
  expect(outcome.last.status).toBe('finished');
  expect(outcome.stderr).toContain('KeyboardInterrupt');
});

test('code that ignores interrupts is killed by the third one', async () => {
  const code = `
import time
print("go")
while True:
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print("no")`;
  const first = await client.execute(nextId(), { mode: 'query', code });
  for (const answer of ['no\n', 'no\n']) {
    await client.call({ op: 'interrupt' });
    expect((await client.execute(first.runId, {})).console).toEqual([['stdout', answer]]);
  }
  await client.call({ op: 'interrupt' });
  const outcome = await client.finish(await client.execute(first.runId, {}));
  expect(outcome.exitCode).toBe(137);
});

test('when the process dies the run says so and the next starts afresh', async () => {
  await query('kept = 1');
  const outcome = await query('import os\nprint("bye", flush=True)\nos._exit(9)');
  expect(outcome.stdout).toBe('bye\n');
  expect(outcome.stderr).toContain('exit code 9');
  expect(outcome.exitCode).toBe(9);
  expect((await query('"kept" in globals()')).stdout).toBe('False\n');
});

test('completion knows the kept state', async () => {
  await query('import math\nfortytwo = 42');
  const request = (code: string) => ({ op: 'complete' as const, request: { code, options: {} } });
  expect((await client.call(request('fortyt'))).suggestions).toEqual(['fortytwo']);
  expect((await client.call(request('x = math.flo'))).suggestions).toEqual(['math.floor']);
  expect((await client.call(request(''))).suggestions).toEqual([]);
});

test('text cut in the middle of a character arrives whole', async () => {
  const code = `
import os, time
data = "\\u20ac\\U0001f600".encode()
for i in range(len(data)):
    os.write(1, data[i:i+1])
    time.sleep(0.01)`;
  expect((await query(code)).stdout).toBe('€😀');
});

test('output of a background thread after the run belongs to the next run', async () => {
  const code = `
import threading
gate = threading.Event()
def late():
    gate.wait()
    print("late")
worker = threading.Thread(target=late)
worker.start()`;
  await query(code);
  const outcome = await query('gate.set()\nworker.join()');
  expect(outcome.stdout).toBe('late\n');
});

test('what a run prints is in the log of the container', async () => {
  await query('print("to the log")');
  await until(() => runner.log().includes('to the log\n'), 'the log has it');
});

test('the environment is that of the user', async () => {
  const code = 'import os\nfor n in ("HOME", "LANG", "TERM"): print(os.environ[n])\n';
  expect((await query(code)).stdout).toBe(`${runner.home}\nC.UTF-8\nxterm\n`);
  const own = await query('[n for n in os.environ if n.startswith("BACKENDAI_RUNNER")]');
  expect(own.stdout).toBe('[]\n');
  expect((await query('os.getcwd()')).stdout).toBe(`'${runner.home}'\n`);
});

test('a figure of matplotlib is sent when the run ends', async () => {
  // A stand-in with pyplot's interface: the library itself is not required for tests.
  const code = `
import sys, types
pyplot = types.ModuleType("matplotlib.pyplot")
class Figure:
    def savefig(self, target, **options): target.write(b"figure")
pyplot.open = [1]
pyplot.get_fignums = lambda: list(pyplot.open)
pyplot.figure = lambda number: Figure()
pyplot.close = lambda which: pyplot.open.clear()
sys.modules["matplotlib.pyplot"] = pyplot
print("plotted")`;
  expect((await query(code)).records).toEqual([
    ['stdout', 'plotted\n'],
    ['media', ['image/png', 'data:image/png;base64,ZmlndXJl']],
  ]);
});
