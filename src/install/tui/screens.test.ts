/** The installer's screens in a real terminal of 80 by 24: drawn, walked through, left. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { selfCommand } from '../../common/executable.ts';
import { until } from '../../testing/until.ts';

setDefaultTimeout(60_000);
const home = mkdtempSync(join(tmpdir(), 'bai-screens-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const ENTER = '\r';
const DOWN = '\u001b[B';
const UP = '\u001b[A';
const ESCAPE = '\u001b';
const CTRL_C = '\u0003';
/** The sequences that move the cursor and colour. */
const SEQUENCES = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** `backend.ai install …` at a terminal. */
function atTerminal(...args: string[]) {
  let output = '';
  const decoder = new TextDecoder();
  const child = Bun.spawn([...selfCommand(), 'install', ...args], {
    cwd: home,
    env: { PATH: process.env.PATH ?? '', HOME: home, TERM: 'xterm-256color', LANG: 'C.UTF-8' },
    terminal: {
      cols: 80,
      rows: 24,
      data(_terminal, data) {
        output += decoder.decode(data, { stream: true });
      },
    },
  });
  let seen = 0;
  return {
    child,
    /** Waits for a text that was drawn since the last key. */
    sees: (text: string) =>
      until(
        () => output.slice(seen).replace(SEQUENCES, '').includes(text),
        `the screen shows "${text}"`,
      ),
    press(keys: string) {
      seen = output.length;
      child.terminal?.write(keys);
    },
  };
}

test('the menu leads to a review, back, and out without a trace', async () => {
  const { child, sees, press } = atTerminal();
  await sees('What do you want to do?');
  press(DOWN);
  await sees('❯ Production');
  press(ENTER);
  await sees('Production installation');
  press(ESCAPE);
  await sees('What do you want to do?');
  press(DOWN + ENTER);
  await sees('Node of a cluster');
  press(ESCAPE);
  await sees('What do you want to do?');
  press('q');
  expect(await child.exited).toBe(130);
});

test('fields are changed before anything is done', async () => {
  const { child, sees, press } = atTerminal('--mode', 'package');
  await sees('❯ Go');
  press(UP);
  await sees('❯ Sessions run as   process');
  press(ENTER);
  await sees('❯ Sessions run as   docker');
  press(UP);
  await sees('❯ Public address    127.0.0.1');
  press(ENTER);
  await sees('127.0.0.1█');
  press(' !');
  await sees('127.0.0.1 !█');
  press(ENTER);
  await sees('That is neither a host name nor an address.');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('a token is not shown, and a wrong one is not taken', async () => {
  const { child, sees, press } = atTerminal('--mode', 'join');
  await sees('Node of a cluster');
  await sees('Manager           (needed)');
  press(DOWN);
  await sees('❯ Manager');
  press(ENTER);
  await sees('█');
  press('manager.example');
  await sees('manager.example█');
  press(ENTER);
  await sees('of the cluster of manager.example.');
  press(DOWN);
  await sees('❯ Token');
  press(ENTER);
  await sees('█');
  press('secret');
  await sees('••••••█');
  press(ENTER);
  await sees('That is no whole token.');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('moving data asks for servers, and shows no password', async () => {
  const servers = ['--postgres-addr', '--redis-addr', '--etcd-addr'];
  const { child, sees, press } = atTerminal(
    ...['--mode', 'maintain', '--action', 'move'],
    ...servers.flatMap((name) => [name, '127.0.0.1:1']),
  );
  await sees('To PostgreSQL at 127.0.0.1:1/backend,');
  await sees('Password          (needed)');
  await sees('❯ Go');
  press(UP);
  await sees('❯ Delete the old');
  for (const label of ['etcd', 'Redis', 'Password']) {
    press(UP);
    await sees(`❯ ${label}`);
  }
  press(ENTER);
  await sees('█');
  press('secret');
  await sees('••••••█');
  press(ENTER);
  await sees('❯ Password          …');
  press(DOWN);
  await sees('❯ Redis');
  press(ENTER);
  await sees('127.0.0.1:1█');
  press('x');
  await sees('127.0.0.1:1x█');
  press(ENTER);
  await sees('Give HOST:PORT.');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('what is missing is shown with its remedy, and the exit code says so', async () => {
  const servers = ['--postgres-addr', '--redis-addr', '--etcd-addr'];
  const { child, sees, press } = atTerminal(
    ...['--mode', 'package', '--agent-backend', 'dummy'],
    ...servers.flatMap((name) => [name, '127.0.0.1:1']),
  );
  await sees('❯ Go');
  press(ENTER);
  await sees('No answer from etcd at 127.0.0.1:1.');
  press('q');
  expect(await child.exited).toBe(1);
});
