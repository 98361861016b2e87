/** The installer's screens in a real terminal of 80 by 24: drawn, walked through, left. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { atTerminal, KEYS } from '../../testing/terminal.ts';

setDefaultTimeout(60_000);
const home = mkdtempSync(join(tmpdir(), 'bai-screens-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const { enter: ENTER, down: DOWN, up: UP, escape: ESCAPE, ctrlC: CTRL_C } = KEYS;
/** Colours and weights. */
const PAINT = /\u001b\[[0-9;]*m/;
const BACK_FROM_SCREENS = '\u001b[?1049l';

const atInstaller = (...args: string[]) => atTerminal(['install', ...args], { cwd: home });

test('the menu leads to a review, back, and out without a trace', async () => {
  const { child, sees, press, written } = atInstaller();
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
  const end = written().split(BACK_FROM_SCREENS).at(-1);
  expect(end).toContain('Nothing was done.');
});

test('fields are changed before anything is done', async () => {
  const { child, sees, press } = atInstaller('--mode', 'package');
  await sees('❯ Go');
  for (const label of [
    'Ports',
    'SFTP agent',
    'App proxy',
    'See into it by',
    'Servers',
    'Accelerators',
  ]) {
    press(UP);
    await sees(`❯ ${label}`);
  }
  press(ENTER);
  await sees('❯ Accelerators      cuda');
  press(ENTER);
  await sees('with simulated NVIDIA GPUs.');
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
  const { child, sees, press } = atInstaller('--mode', 'join');
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

test('moving data asks for servers, which are asked at once, and shows no password', async () => {
  const servers = ['--postgres-addr', '--redis-addr', '--etcd-addr'];
  const { child, sees, press } = atInstaller(
    ...['--mode', 'maintain', '--action', 'move'],
    ...servers.flatMap((name) => [name, '127.0.0.1:1']),
  );
  await sees('To PostgreSQL at 127.0.0.1:1/backend,');
  await sees('❯ Go');
  press(UP);
  await sees('❯ Delete the old');
  press(UP);
  await sees('❯ Servers');
  press(ENTER);
  await sees('❯ PostgreSQL        127.0.0.1:1 ✗ no answer');
  await sees('Its password      (none)');
  press(ENTER);
  await sees('127.0.0.1:1█');
  press(',b');
  await sees('127.0.0.1:1,b█');
  // Already while it is typed.
  await sees("'b' is not of the form HOST:PORT.");
  press(ENTER);
  await sees("✗ 'b' is not of the form HOST:PORT.");
  // Several keys in one piece, as over a slow line.
  press(`${KEYS.ctrlU}127.0.0.1:1,127.0.0.2:1${ENTER}`);
  await sees('❯ PostgreSQL        127.0.0.1:1,127.0.0.2:1');
  for (const label of ['Database', 'Role', 'Its password']) {
    press(DOWN);
    await sees(`❯ ${label}`);
  }
  press(ENTER);
  await sees('█');
  press('secret');
  await sees('••••••█');
  press(ENTER);
  await sees('❯ Its password      (given)');
  press(DOWN);
  await sees('❯ Redis is          one server');
  press(ENTER);
  await sees('❯ Redis is          Sentinels watch it');
  await sees('Sentinels         (needed)');
  press(ESCAPE);
  await sees('❯ Servers');
  press(DOWN);
  await sees('❯ Delete the old');
  press(DOWN);
  await sees('❯ Go');
  press(ENTER);
  await sees('✗ Sentinels is needed.');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('what was said stays when somebody goes back to the menu and in again', async () => {
  const { child, sees, press } = atInstaller('--mode', 'maintain', '--action', 'uninstall');
  await sees('❯ Go');
  press(UP + ENTER);
  await sees('❯ Delete data too   yes');
  press(ESCAPE);
  await sees('What do you want to do?');
  await sees('❯ Uninstall');
  press(ENTER);
  await sees('Delete data too   yes');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('what does not fit in the summary is shown in full', async () => {
  const { child, sees, press } = atInstaller('--mode', 'package');
  await sees('d in full');
  press('d');
  await sees('Looked at first:');
  press('\u001b[6~');
  await sees('Port 8120 for the etcd of compose');
  press('\u001b[6~'.repeat(2));
  await sees('Run a session that prints hello world');
  press(ESCAPE);
  await sees('❯ Go');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('servers that are there already are named on a page of their own', async () => {
  const { child, sees, press } = atInstaller('--mode', 'package');
  await sees('Servers           started by compose ›');
  press(UP + UP + UP + UP + UP);
  await sees('❯ Servers');
  press(ENTER);
  await sees('❯ They are          started by compose');
  await sees('PostgreSQL port   8100');
  press(ENTER);
  await sees('❯ They are          there already');
  await sees('etcd password     (none)');
  press(ESCAPE);
  await sees('Servers           (needed) ›');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('a line is edited with the keys of a shell, and two components have not the same port', async () => {
  const { child, sees, press } = atInstaller('--mode', 'package');
  await sees('❯ Go');
  press(UP);
  await sees('❯ Ports');
  press(ENTER);
  await sees('❯ API               8091');
  press(ENTER);
  await sees('8091█');
  press(KEYS.left + KEYS.left);
  await sees('80▏91');
  press(KEYS.backspace);
  await sees('8▏91');
  press('0');
  await sees('80▏91');
  press(KEYS.ctrlU);
  await sees('▏91');
  press(KEYS.ctrlE);
  await sees('91█');
  press(KEYS.ctrlU);
  await sees('API               █');
  press('8090');
  await sees('8090 is that of "Web page".');
  press(ESCAPE);
  await sees('❯ API               8091');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('what is missing is shown with its remedy, and the exit code says so', async () => {
  const servers = ['--postgres-addr', '--redis-addr', '--etcd-addr'];
  const { child, sees, press, written } = atInstaller(
    ...['--mode', 'package', '--agent-backend', 'dummy'],
    ...servers.flatMap((name) => [name, '127.0.0.1:1']),
  );
  await sees('❯ Go');
  press(ENTER);
  await sees('No answer from etcd at 127.0.0.1:1.');
  await sees('[Problem]');
  press('b');
  await sees('❯ Go');
  press(ENTER);
  await sees('No answer from etcd at 127.0.0.1:1.');
  press('q');
  expect(await child.exited).toBe(1);
  // It stays to be read when the screens are gone.
  const end = written().split(BACK_FROM_SCREENS).at(-1);
  expect(end).toContain('No answer from etcd at 127.0.0.1:1.');
  expect(end).toContain('Nothing was done. Once this is mended, run the same command again.');
});

test('what is needed is asked for before anything is done', async () => {
  const { child, sees, press } = atInstaller('--mode', 'join');
  await sees('❯ Go');
  press(ENTER);
  await sees('✗ Manager is needed.');
  await sees('❯ Manager');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('where nothing is installed there is nothing to upgrade', async () => {
  const { child, sees, press } = atInstaller(
    ...['--mode', 'maintain', '--action', 'upgrade', '--env-id', 'none'],
    ...['--target-path', join(home, 'none')],
  );
  await sees('Nothing is installed here');
  await sees('❯ Go (not yet)');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('where nothing is installed there is nothing to configure', async () => {
  const { child, sees, press } = atInstaller('--mode', 'configure', '--target-path', home);
  await sees(`There is no installation in ${home}`);
  await sees('Ports             API 8091, web page 8090 ›');
  await sees('❯ Go (not yet)');
  press(CTRL_C);
  expect(await child.exited).toBe(130);
});

test('without colours the same is told by signs', async () => {
  const env = { NO_COLOR: '1' };
  const { child, sees, press, written } = atTerminal(['install'], { cwd: home, env });
  await sees('What do you want to do?');
  press('q');
  expect(await child.exited).toBe(130);
  expect(written()).not.toMatch(PAINT);
});

test('a terminal that cannot draw is told what to do instead', async () => {
  const env = { TERM: 'dumb' };
  const { child, sees } = atTerminal(['install'], { cwd: home, env });
  await sees('add --non-interactive');
  expect(await child.exited).toBe(2);
});
