/** A server as systemd starts it: ready, alive, its log's level read again, and stopping. */
import { afterAll, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustRun, Program } from '../testing/faults/programs.ts';
import { freePort, missingTool, requireOrSkip } from '../testing/services.ts';
import { until } from '../testing/until.ts';
import { systemClock } from './clock.ts';
import { serviceReady } from './service-manager.ts';

const TIMEOUT_MS = 150_000;
const canRun = requireOrSkip(missingTool('python3', 'python3'));
const folder = mkdtempSync(join(tmpdir(), 'bai-notify-'));
const received: Bun.Subprocess[] = [];
afterAll(() => {
  for (const child of received) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** Bun has no datagram sockets of Unix, so another program listens. It says when it does. */
const LISTENER = `
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = sys.argv[1]
listener.bind("\\0" + name[1:] if name.startswith("@") else name)
out = open(sys.argv[2], "a", buffering=1)
print("listening", file=out)
while True:
    print(listener.recv(4096).decode(), file=out)
`;

async function listen(name: string, heardFile: string): Promise<() => string[]> {
  const child = Bun.spawn(['python3', '-c', LISTENER, name, heardFile], {
    stdout: 'ignore',
    stderr: 'inherit',
  });
  received.push(child);
  const heard = () => {
    try {
      return readFileSync(heardFile, 'utf8').trim().split('\n');
    } catch {
      return [];
    }
  };
  await until(() => heard().includes('listening'), 'somebody listens');
  return () => heard().slice(1);
}

test.skipIf(!canRun)(
  'a server says what systemd waits for, and reads the level of its log at SIGHUP',
  async () => {
    const socket = join(folder, 'notify.sock');
    const heard = await listen(socket, join(folder, 'heard'));
    const path = join(folder, 'webserver.conf');
    const settings = (level: string) => `[service]
ip = "127.0.0.1"
port = ${port}
[api]
endpoint = "http://127.0.0.1:1"
[logging]
level = "${level}"
`;
    const port = await freePort();
    writeFileSync(path, settings('INFO'));
    const server = new Program(['web', 'start-server'], {
      cwd: folder,
      env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' },
    });
    await until(() => heard()[0] === 'READY=1', 'it says that it is ready', 60_000);
    await until(() => heard().filter((line) => line === 'WATCHDOG=1').length > 2, 'it is alive');
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).ok).toBe(true);
    writeFileSync(path, '[api');
    server.signal('SIGHUP');
    await server.says('could not be read again');
    expect(server.isRunning).toBe(true);
    writeFileSync(path, settings('ERROR'));
    server.signal('SIGHUP');
    // What is told from now on is below the level, this too: it is seen that nothing is said.
    writeFileSync(path, settings('DEBUG'));
    server.signal('SIGHUP');
    await server.says('was read again');
    const { code } = await server.stop();
    expect(code).toBe(0);
    expect(heard().at(-1)).toBe('STOPPING=1');
    expect(new Set(heard())).toEqual(new Set(['READY=1', 'WATCHDOG=1', 'STOPPING=1']));
  },
  TIMEOUT_MS,
);

test.skipIf(!canRun)(
  'so does a cluster of one machine, once sessions can be asked for',
  async () => {
    const socket = join(folder, 'up.sock');
    const heard = await listen(socket, join(folder, 'heard-of-up'));
    const data = join(folder, 'data');
    const place = ['--env-id', 'notifying', '--data-dir', data];
    const cluster = new Program(['up', '--quiet', '--backend', 'dummy', ...place], {
      cwd: folder,
      env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '200000' },
    });
    await until(
      () => heard().filter((line) => line === 'WATCHDOG=1').length > 2,
      'alive',
      TIMEOUT_MS,
    );
    expect(heard()[0]).toBe('READY=1');
    expect(existsSync(join(data, 'notifying/cluster.json'))).toBe(true);
    expect((await cluster.stop()).code).toBe(0);
    expect(heard().at(-1)).toBe('STOPPING=1');
    await mustRun(['down', '--purge', ...place], { cwd: folder });
  },
  2 * TIMEOUT_MS,
);

test.skipIf(!canRun)(
  'a socket that is not in the file system; one where nobody listens',
  async () => {
    const name = `@bai-notify-${crypto.randomUUID()}`;
    const heard = await listen(name, join(folder, 'abstract'));
    serviceReady({ NOTIFY_SOCKET: name }, systemClock)[Symbol.dispose]();
    await until(() => heard().length === 2, 'both are heard');
    expect(heard()).toEqual(['READY=1', 'STOPPING=1']);
    serviceReady({ NOTIFY_SOCKET: join(folder, 'nobody') }, systemClock)[Symbol.dispose]();
    serviceReady({ NOTIFY_SOCKET: `/${'x'.repeat(200)}` }, systemClock)[Symbol.dispose]();
    serviceReady({}, systemClock)[Symbol.dispose]();
  },
);
