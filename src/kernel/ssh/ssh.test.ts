/** The session's SSH server with real clients: commands, terminals, files, forwarding, keys. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { chmod, copyFile, lstat, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runnerEnvironment } from '../../common/protocol/runner.ts';
import {
  missingForSsh,
  runClient,
  type SshTarget,
  sshOptions,
  sshRun,
} from '../../testing/openssh.ts';
import { freePort, requireOrSkip } from '../../testing/services.ts';
import { until } from '../../testing/until.ts';
import { startRunner, type TestRunner } from '../testing/harness.ts';

const usable = requireOrSkip(missingForSsh());
const local = mkdtempSync(join(tmpdir(), 'ssh-test-'));
const BIG_BYTES = 8 * 1024 * 1024 + 11;
/** Resident, while 384 MiB come in: about 115 MiB; more than 220 where garbage is collected late. */
const MAX_UPLOADING_BYTES = 170 * 1024 * 1024;
let runner: TestRunner;
let target: SshTarget;

beforeAll(async () => {
  if (!usable) return;
  const port = await freePort();
  runner = startRunner({ env: { [runnerEnvironment.sshPort]: String(port) } });
  await runner.connect();
  target = { keyFolder: runner.home, to: port };
  await until(
    () => statSync(join(runner.home, '.ssh/authorized_keys'), { throwIfNoEntry: false }),
    'there is a key',
  );
  const bytes = crypto.getRandomValues(new Uint8Array(65_536));
  const big = Buffer.alloc(BIG_BYTES);
  for (let at = 0; at < BIG_BYTES; at += bytes.length)
    big.set(bytes.subarray(0, BIG_BYTES - at), at);
  await writeFile(join(local, 'big'), big);
});
afterAll(async () => {
  await runner?.stop();
  rmSync(local, { recursive: true, force: true });
});

const run = (command: string, options: Parameters<typeof sshRun>[2] = {}) =>
  sshRun(target, [command], options);
const inSession = (name: string) => join(runner.home, name);
const isSame = (a: string, b: string) => readFileSync(a).equals(readFileSync(b));
const remote = (path: string) => `work@127.0.0.1:${path}`;

describe.skipIf(!usable)('ssh', () => {
  test('a command: output, errors, exit code, working folder, variables', async () => {
    const done = await run('pwd; echo no >&2; exit 5');
    expect(done).toEqual({ stdout: `${runner.home}\n`, stderr: 'no\n', exitCode: 5 });
    const env = { LC_TEST: 'x', PRIVATE: 'y' };
    const options = ['-o', 'SendEnv=LC_TEST PRIVATE'];
    const seen = await sshRun(target, [...options, 'echo "$LC_TEST-$PRIVATE"'], { env });
    expect(seen.stdout).toBe('x-\n');
  });

  test('input to its end, and a program that does not read it', async () => {
    const input = 'line\n'.repeat(200_000);
    expect((await run('wc -c', { input })).stdout.trim()).toBe(String(input.length));
    expect(await run('true', { input })).toMatchObject({ exitCode: 0 });
  });

  test('a program ended by a signal', async () => {
    const done = await run('kill -TERM $$');
    expect(done.exitCode).toBe(255);
  });

  test('uploads leave little behind in memory', async () => {
    let mostBytes = 0;
    const watch = setInterval(() => {
      mostBytes = Math.max(mostBytes, runner.rssBytes());
    }, 20);
    const input = `put ${join(local, 'big')} upload\n`.repeat(48);
    const done = await runClient(
      ['sftp', '-F', '/dev/null', ...sshOptions(target), '-b', '-', 'work@127.0.0.1'],
      { input },
    ).finally(() => clearInterval(watch));
    expect(done).toMatchObject({ exitCode: 0, stderr: '' });
    expect(isSame(join(local, 'big'), inSession('upload'))).toBe(true);
    expect(mostBytes).toBeGreaterThan(0);
    expect(mostBytes).toBeLessThan(MAX_UPLOADING_BYTES);
  });

  test('a terminal of its own', async () => {
    const done = await sshRun(target, ['-tt', 'tty; echo $TERM; stty size; exit 3'], {
      env: { TERM: 'xterm-256color' },
    });
    expect(done.stdout).toMatch(/^\/dev\/pts\/\d+\r\nxterm-256color\r\n\d+ \d+\r\n$/);
    expect(done.exitCode).toBe(3);
  });

  test('an interactive shell, which the end of input ends', async () => {
    const done = await sshRun(target, ['-tt'], { input: 'echo one$((1+1))\nexit 4\n' });
    expect(done.stdout).toContain('one2');
    expect(done.exitCode).toBe(4);
  });

  test('a client that goes away takes its program along', async () => {
    const child = Bun.spawn(
      [
        'ssh',
        '-F',
        '/dev/null',
        ...sshOptions(target),
        'work@127.0.0.1',
        'echo $$; exec sleep 1000',
      ],
      {
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'ignore',
        env: { PATH: process.env.PATH ?? '', HOME: '/nonexistent' },
      },
    );
    const { value } = await child.stdout.getReader().read();
    const pid = Number(new TextDecoder().decode(value));
    child.kill('SIGKILL');
    await child.exited;
    await until(() => !statSync(`/proc/${pid}`, { throwIfNoEntry: false }), 'the program is gone');
  });
});

describe.skipIf(!usable)('keys', () => {
  test('another key, and none, are refused; one that is added is let in', async () => {
    const other = join(local, 'id_container');
    await runClient(['ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', other]);
    const stranger = { ...target, keyFolder: local };
    expect((await sshRun(stranger, ['true'])).stderr).toContain('Permission denied (publickey)');
    const keys = inSession('.ssh/authorized_keys');
    await writeFile(keys, `# a comment\nno key\n${readFileSync(`${other}.pub`, 'utf8')}`, {
      flag: 'a',
    });
    expect(await sshRun(stranger, ['true'])).toMatchObject({ exitCode: 0 });
  });

  test('the host key stays the same', async () => {
    const scan = async () =>
      (await runClient(['ssh-keyscan', '-p', String(target.to), '127.0.0.1'])).stdout;
    const first = await scan();
    expect(first).toContain('ssh-ed25519');
    expect(await scan()).toBe(first);
  });

  test('what is no SSH is shut out', async () => {
    const socket = connect(Number(target.to), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    socket.write(`${'x'.repeat(100_000)}\r\n`);
    await until(() => socket.destroyed, 'the connection is closed');
  });
});

describe.skipIf(!usable)('files', () => {
  test.each([
    ['SFTP', []],
    ['the old protocol', ['-O']],
  ])('scp by %s, there and back', async (_name, flags) => {
    const scp = (from: string, to: string) =>
      runClient(['scp', ...flags, '-F', '/dev/null', ...sshOptions(target), from, to]);
    expect(await scp(join(local, 'big'), remote('copy'))).toMatchObject({ exitCode: 0 });
    expect(await scp(remote('copy'), join(local, 'back'))).toMatchObject({ exitCode: 0 });
    expect(isSame(join(local, 'big'), inSession('copy'))).toBe(true);
    expect(isSame(join(local, 'big'), join(local, 'back'))).toBe(true);
    expect((await scp(remote('absent'), local)).stderr).toContain('No such file');
  });

  test('rsync of a tree', async () => {
    const tree = join(local, 'tree');
    await mkdir(join(tree, 'inner'), { recursive: true });
    await copyFile(join(local, 'big'), join(tree, 'inner/big'));
    await writeFile(join(tree, 'script'), '#!/bin/sh\n');
    await chmod(join(tree, 'script'), 0o750);
    await symlink('script', join(tree, 'link'));
    const shell = ['ssh', '-F', '/dev/null', ...sshOptions(target)].join(' ');
    const sync = (from: string, to: string) => runClient(['rsync', '-a', '-e', shell, from, to]);
    expect(await sync(`${tree}/`, remote('synced/'))).toMatchObject({ exitCode: 0 });
    expect(await sync(remote('synced/'), `${local}/again/`)).toMatchObject({ exitCode: 0 });
    expect(isSame(join(tree, 'inner/big'), join(local, 'again/inner/big'))).toBe(true);
    expect((await lstat(join(local, 'again/script'))).mode & 0o777).toBe(0o750);
    expect((await lstat(join(local, 'again/link'))).isSymbolicLink()).toBe(true);
  });

  test('sftp: all that its client offers', async () => {
    const batch = [
      'mkdir box',
      `put ${join(local, 'big')} box/a`,
      'rename box/a box/b',
      'ln -s b box/link',
      'ln box/b box/hard',
      'chmod 640 box/b',
      'ls -l box',
      'df',
      '-rm box/absent',
      'rm box/hard',
      `get -p box/b ${join(local, 'fetched')}`,
      'mkdir box/empty',
      'rmdir box/empty',
      'pwd',
    ];
    const done = await runClient(
      ['sftp', '-F', '/dev/null', ...sshOptions(target), '-b', '-', 'work@127.0.0.1'],
      { input: `${batch.join('\n')}\n` },
    );
    expect(done).toMatchObject({ exitCode: 0 });
    expect(done.stdout).toMatch(/-rw-r----- +2 .* b\n/);
    expect(done.stdout).toMatch(/lrwxrwxrwx .* link\n/);
    expect(done.stdout).toContain(`Remote working directory: ${runner.home}`);
    expect(done.stderr).toContain('box/absent: No such file or directory');
    expect(isSame(join(local, 'big'), join(local, 'fetched'))).toBe(true);
    expect((await readdir(inSession('box'))).sort()).toEqual(['b', 'link']);
  });
});

describe.skipIf(!usable)('forwarding', () => {
  test('local, remote, dynamic, and what is refused', async () => {
    using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: () => new Response('hello'),
    });
    const [near, far, socks] = [await freePort(), await freePort(), await freePort()];
    const tunnel = Bun.spawn(
      [
        ...['ssh', '-F', '/dev/null', ...sshOptions(target), '-o', 'ExitOnForwardFailure=yes'],
        ...['-L', `${near}:127.0.0.1:${server.port}`, '-R', `${far}:127.0.0.1:${server.port}`],
        ...['-D', String(socks), 'work@127.0.0.1', 'echo up; cat'],
      ],
      {
        stdin: 'pipe',
        stdout: 'pipe',
        stderr: 'ignore',
        env: { PATH: process.env.PATH ?? '', HOME: '/nonexistent' },
      },
    );
    await tunnel.stdout.getReader().read();
    for (const port of [near, far]) {
      expect(await (await fetch(`http://127.0.0.1:${port}/`, { keepalive: false })).text()).toBe(
        'hello',
      );
    }
    const through = (port: number) =>
      runClient(['curl', '-s', '--socks5', `127.0.0.1:${socks}`, `http://127.0.0.1:${port}/`]);
    expect((await through(server.port ?? 0)).stdout).toBe('hello');
    expect((await through(await freePort())).exitCode).not.toBe(0);
    tunnel.stdin.end();
    expect(await tunnel.exited).toBe(0);
    // What was listened for ends with the connection.
    await until(
      () =>
        fetch(`http://127.0.0.1:${far}/`).then(
          () => false,
          () => true,
        ),
      'the port is free',
    );
  });

  test('the agent of the client', async () => {
    const socket = join(local, 'agent');
    const agent = Bun.spawn(['ssh-agent', '-D', '-a', socket], {
      stdin: 'ignore',
      stdout: 'ignore',
    });
    try {
      const env = { SSH_AUTH_SOCK: socket };
      const key = join(runner.home, 'id_container');
      await until(
        async () => (await runClient(['ssh-add', '-q', key], { env })).exitCode === 0,
        'the agent has the key',
      );
      const own = await runClient(['ssh-add', '-l'], { env });
      const seen = await sshRun(target, ['-A', 'ssh-add -l'], { env });
      expect(seen).toEqual(own);
      expect(own.stdout).toContain('ED25519');
    } finally {
      agent.kill();
      await agent.exited;
    }
  });
});
