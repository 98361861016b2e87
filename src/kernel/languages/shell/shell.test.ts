/** The shell in query mode. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { startRunner, type TestClient, type TestRunner } from '../../testing/harness.ts';

for (const shell of ['/bin/bash', '/bin/sh']) {
  describe.if(existsSync(shell))(shell, () => {
    let runner: TestRunner;
    let client: TestClient;
    let runCount = 0;

    const nextId = () => {
      runCount += 1;
      return `shell-${runCount}`;
    };
    const query = (code: string) => client.query(nextId(), code);

    beforeAll(async () => {
      runner = startRunner({ runtimeType: 'shell', runtimePath: shell });
      client = await runner.connect();
    });

    afterAll(async () => {
      client.close();
      await runner.stop();
    });

    test('folder and variables are kept', async () => {
      expect((await query('cd /; X=5; echo hello')).stdout).toBe('hello\n');
      expect((await query('pwd; echo $X')).stdout).toBe('/\n5\n');
    });

    test('the exit code is that of the last command', async () => {
      expect((await query('true')).exitCode).toBe(0);
      expect((await query('echo x; (exit 7)')).exitCode).toBe(7);
      expect((await query('no-such-command')).exitCode).toBe(127);
    });

    test('standard error is told apart', async () => {
      const outcome = await query('echo out; echo err >&2; echo dev > /dev/stderr');
      expect(outcome.stdout).toBe('out\n');
      expect(outcome.stderr).toBe('err\ndev\n');
    });

    test('standard input is empty', async () => {
      expect((await query('cat; echo after')).stdout).toBe('after\n');
    });

    test('a syntax error ends the run, not the shell', async () => {
      await query('KEPT=yes');
      const outcome = await query('if [');
      expect(outcome.exitCode).not.toBe(0);
      expect(outcome.stderr).not.toBe('');
      expect((await query('echo $KEPT')).stdout).toBe('yes\n');
    });

    for (const [what, code] of [
      ['a command', 'echo go; sleep 600; echo never'],
      ['a loop', 'echo go; while :; do :; done; echo never'],
    ] as const) {
      test(`an interrupt ends ${what} and keeps the state`, async () => {
        await query('KEPT=yes');
        const first = await client.execute(nextId(), { mode: 'query', code });
        expect(first.console).toEqual([['stdout', 'go\n']]);
        await client.call({ op: 'interrupt' });
        const outcome = await client.finish(first);
        expect(outcome.exitCode).toBe(130);
        expect(outcome.stdout).not.toContain('never');
        expect((await query('echo $KEPT')).stdout).toBe('yes\n');
      });
    }

    test('exit ends the run with its code; the next shell is fresh', async () => {
      expect((await query('KEPT=yes; exit 3')).exitCode).toBe(3);
      expect((await query('echo "<$KEPT>"')).stdout).toBe('<>\n');
    });
  });
}

test('bash completes commands and files', async () => {
  const runner = startRunner({ runtimeType: 'bash' });
  const client = await runner.connect();
  const request = (code: string) => ({ op: 'complete' as const, request: { code, options: {} } });
  expect((await client.call(request('compge'))).suggestions).toEqual(['compgen']);
  expect((await client.call(request('cat /etc/passw'))).suggestions).toContain('/etc/passwd');
  client.close();
  await runner.stop();
});
