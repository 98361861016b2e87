/** Records arrive at servers of syslog: this machine's, and others by UDP and TCP; and what happens without one. */
import { afterEach, expect, test } from 'bun:test';
import { createSocket } from 'node:dgram';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { systemClock } from '../common/clock.ts';
import { loggingSection, type SyslogSettings } from '../common/config/sections.ts';
import { freePort, missingTool, requireOrSkip } from '../testing/services.ts';
import { until } from '../testing/until.ts';
import { createLogger } from './logger.ts';
import { openServerLog } from './server.ts';
import { openSyslog, syslogFormat } from './syslog.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const settingsOf = (section: object): SyslogSettings => {
  const { syslog } = v.parse(loggingSection, { drivers: ['syslog'], syslog: section });
  if (syslog === null) throw new Error('no syslog');
  return syslog;
};

/** A log that goes to the server of the section, and what was said about it. */
function openLog(section: object) {
  const settings = settingsOf(section);
  const said: string[] = [];
  const syslog = openSyslog(settings, systemClock, (text) => said.push(text));
  cleanups.push(() => syslog.close());
  const format = syslogFormat(settings, settings.address.kind === 'unix');
  const log = createLogger({ component: 'manager', level: 'trace', format, write: syslog.write });
  return { log, said };
}

/** Listens like a server of syslog by TCP: records with counted octets. */
async function tcpServer(port: number) {
  const records: string[] = [];
  const connections = new Set<Socket>();
  const server: Server = createServer((socket) => {
    connections.add(socket);
    let held = Buffer.alloc(0);
    socket.on('error', () => connections.delete(socket));
    socket.on('data', (data) => {
      held = Buffer.concat([held, typeof data === 'string' ? Buffer.from(data) : data]);
      for (;;) {
        const space = held.indexOf(' ');
        const end = space + 1 + Number(held.toString('latin1', 0, Math.max(space, 0)));
        if (space < 0 || held.length < end) return;
        records.push(held.toString('utf8', space + 1, end));
        held = held.subarray(end);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = async () => {
    for (const socket of connections) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  cleanups.push(stop);
  return { records, stop };
}

test('by UDP, as RFC 5424 says, with facility and severity', async () => {
  const socket = createSocket('udp4');
  const records: string[] = [];
  socket.on('message', (data) => records.push(data.toString()));
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  cleanups.push(() => socket.close());
  const { log } = openLog({
    address: `udp://127.0.0.1:${socket.address().port}`,
    facility: 'local3',
  });
  for (const level of ['trace', 'debug', 'info', 'warn', 'error'] as const) {
    log[level](`at ${level}\nforged`, { session: 'a b', password: 'x' });
  }
  await until(() => records.length === 5, 'all arrive');
  expect(records.map((text) => /^<(\d+)>1 /.exec(text)?.[1])).toEqual(
    [7, 7, 6, 4, 3].map((severity) => String(19 * 8 + severity)),
  );
  expect(records[2]).toMatch(
    new RegExp(
      `^<158>1 \\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z ${hostname()} backend\\.ai-manager ${process.pid} - - at info`,
    ),
  );
  expect(records[2]).toEndWith('at info\\nforged session="a b" password=[redacted]');
});

test('by TCP, through the absence of the server, told once each time', async () => {
  const port = await freePort();
  const { log, said } = openLog({ address: `tcp://127.0.0.1:${port}`, format: 'json' });
  log.info('before anybody listens');
  await until(() => said.length === 1, 'it is told');
  log.info('still nobody');
  const first = await tcpServer(port);
  await until(() => first.records.length === 2, 'what waited arrives');
  const json = first.records[1]?.slice(first.records[1].indexOf('{')) ?? '';
  expect(JSON.parse(json)).toMatchObject({ message: 'still nobody', level: 'info' });
  await first.stop();
  await until(() => {
    log.info('to nobody');
    return said.length === 2;
  }, 'the loss of the connection is told');
  const second = await tcpServer(port);
  await until(() => second.records.length > 0, 'it goes on');
  expect(said.every((text) => text.startsWith('Cannot send the log to syslog: 127.0.0.1'))).toBe(
    true,
  );
});

test('of more than the queue holds the latest are sent, and how many were lost is told', async () => {
  const port = await freePort();
  const { log, said } = openLog({ address: `tcp://127.0.0.1:${port}` });
  for (let n = 0; n < 1_500; n += 1) log.info(`number ${n}`);
  const { records } = await tcpServer(port);
  await until(() => records.length === 1_000, 'the queue arrives');
  expect(records[0]).toEndWith('number 500');
  expect(records.at(-1)).toEndWith('number 1499');
  await until(() => said.some((text) => text.includes('500 records were lost')), 'it is told');
});

test('what is logged after the end harms nobody', async () => {
  for (const address of ['udp://127.0.0.1:9', `tcp://127.0.0.1:${await freePort()}`, '/dev/null']) {
    const { log, close } = openServerLog({
      component: 'agent',
      settings: v.parse(loggingSection, { drivers: ['syslog'], syslog: { address } }),
      level: null,
      cwd: tmpdir(),
    });
    close();
    log.info('too late');
    close();
  }
});

/** Listens as /dev/log does. */
const LISTENER = `
import os, socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
out = open(sys.argv[2], "a", buffering=1)
print("listening", file=out)
while True:
    print(listener.recv(65536).decode(), file=out)
`;
const lines = (path: string): string[] => {
  try {
    return readFileSync(path, 'utf8').trim().split('\n');
  } catch {
    return [];
  }
};

test.if(requireOrSkip(missingTool('python3', 'python3')))(
  'to /dev/log, as programs of the same machine write, by the configuration of a server',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bai-syslog-'));
    cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'log');
    const heard = join(folder, 'heard');
    const { log, close } = openServerLog({
      component: 'agent',
      settings: v.parse(loggingSection, { drivers: ['syslog'], syslog: { address: path } }),
      level: null,
      cwd: folder,
    });
    cleanups.push(close);
    log.info('waits until somebody listens');
    const child = Bun.spawn(['python3', '-c', LISTENER, path, heard], { stderr: 'inherit' });
    cleanups.push(() => child.kill('SIGKILL'));
    await until(() => lines(heard).includes('listening'), 'somebody listens');
    log.error(`long ${'ü'.repeat(10_000)}`);
    await until(() => lines(heard).length === 3, 'both arrive');
    const [, first = '', second = ''] = lines(heard);
    expect(first).toMatch(
      /^<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d backend\.ai-agent\[\d+\]: waits until somebody listens$/,
    );
    expect(second).toMatch(/^<27>.*: long ü+$/);
    expect(Buffer.byteLength(second)).toBeLessThanOrEqual(8_192);
  },
);

test('an address that is none is told with what is expected', () => {
  for (const address of ['udp://nowhere', 'http://a:1', 'log']) {
    expect(() => settingsOf({ address })).toThrow('"udp://HOST:PORT"');
  }
});

test('a log file that another program set aside is opened anew at SIGHUP', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'bai-hup-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const { log, close } = openServerLog({
    component: 'agent',
    settings: v.parse(loggingSection, {
      drivers: ['file'],
      file: { path: folder, filename: 'a.log' },
    }),
    level: null,
    cwd: folder,
  });
  cleanups.push(close);
  log.info('one');
  renameSync(join(folder, 'a.log'), join(folder, 'a.log.old'));
  log.info('two');
  process.kill(process.pid, 'SIGHUP');
  await until(() => {
    log.info('three');
    return existsSync(join(folder, 'a.log'));
  }, 'the file is there again');
  expect(readFileSync(join(folder, 'a.log.old'), 'utf8')).toContain('two');
  expect(readFileSync(join(folder, 'a.log'), 'utf8')).toContain('three');
});
