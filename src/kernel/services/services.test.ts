/** Services of a session: started on first use, refused options, logs, restarts, failures. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { pickPort } from '../../common/ports.ts';
import { systemRandom } from '../../common/random.ts';
import { until } from '../../testing/until.ts';
import { Services } from './services.ts';

/** Answers every request with its process id and a variable; `/die` ends it. */
const SERVER = `
import { createServer } from 'node:http';
const [, , port, ...rest] = process.argv;
console.log('listening with', rest.join(' '));
createServer((request, response) => {
  if (request.url === '/die') process.exit(3);
  response.end(JSON.stringify({ pid: process.pid, env: process.env.GREETING ?? '', rest }));
}).listen(Number(port), '127.0.0.1');
`;

const folder = mkdtempSync(join(tmpdir(), 'services-test-'));
const notes: string[] = [];
let services: Services;
let port: number;

const definition = (name: string, value: unknown) =>
  writeFile(join(folder, `${name}.json`), JSON.stringify(value));

beforeAll(async () => {
  port = await pickPort(0, '127.0.0.1', systemRandom);
  await definition('web', {
    prestart: [
      { action: 'mkdir', args: { path: 'made' } },
      { action: 'run_command', args: { command: ['echo', '-n', 'hi {ports[0]}'] }, ref: 'said' },
      {
        action: 'write_file',
        args: {
          filename: 'server.mjs',
          body: SERVER.replaceAll('{', '{{').replaceAll('}', '}}').split('\n'),
        },
      },
      { action: 'log', args: { message: 'prepared {said[out]}' } },
    ],
    command: ['{runtime_path}', 'server.mjs', '{ports[0]}'],
    env: { GREETING: ['$', '{{ said[out] }}'].join('') },
    url_template: 'http://{host}:{port}/x',
    allowed_arguments: ['--color'],
    allowed_envs: ['TONE', 'HOME'],
    default_arguments: { '--size': ['1', '2'] },
    an_old_key: true,
  });
  await definition('broken', { command: 'echo it is all wrong; exit 4', shell: 'sh' });
  await definition('unknown-variable', { command: ['{nothing}'] });
  await definition('absent-program', { command: ['no-such-program'] });
  await writeFile(join(folder, 'damaged.json'), '{');
  services = new Services({
    workplace: {
      cwd: folder,
      env: { PATH: process.env.PATH ?? '', HOME: folder },
      clock: systemClock,
    },
    runtimePath: process.execPath,
    host: '127.0.0.1',
    definitionsFolder: folder,
    servicePrograms: { vscode: join(folder, 'code-server'), other: '/bin/sh' },
    builtIn: new Set(['sshd']),
    random: systemRandom,
    note: (message) => notes.push(message),
  });
});
afterAll(async () => {
  await services.stopAll();
  rmSync(folder, { recursive: true, force: true });
});

const start = (
  name: string,
  options: { arguments?: Record<string, string | null>; envs?: Record<string, string> } = {},
) =>
  services.start({
    name,
    protocol: 'http',
    ports: [port],
    options: { arguments: {}, envs: {}, ...options },
  });

interface Answer {
  pid: number;
  env: string;
  rest: string[];
}
const ask = async (): Promise<Answer | null> => {
  const response = await fetch(`http://127.0.0.1:${port}/`).catch(() => null);
  return response === null ? null : response.json();
};

test('a program of the node is offered and started in place of the image’s', async () => {
  const offers = await services.list();
  expect(offers.find(({ name }) => name === 'vscode')).toMatchObject({
    allowed_envs: ['PASSWORD'],
  });
  expect(offers.map(({ name }) => name)).not.toContain('other');
  const script = SERVER.replace('const [, , port, ...rest]', 'const [, , , address, ...rest]');
  await writeFile(
    join(folder, 'code-server'),
    `#!${process.execPath}${script.replace('Number(port)', `Number(address.split(':')[1])`)}`,
    { mode: 0o755 },
  );
  expect(await start('vscode', { envs: { PASSWORD: 'x' } })).toBe('started');
  const answer = await fetch(`http://127.0.0.1:${port}/`, { keepalive: false });
  expect(await answer.json()).toMatchObject({ rest: ['--disable-telemetry', '--auth', 'none'] });
  await services.stop('vscode');
});

test('what the definitions offer, and a damaged one is complained about', async () => {
  const offers = await services.list();
  expect(offers.find(({ name }) => name === 'web')).toEqual({
    name: 'web',
    url_template: 'http://{host}:{port}/x',
    allowed_arguments: ['--color'],
    allowed_envs: ['TONE', 'HOME'],
  });
  expect(notes.some((note) => note.includes('damaged.json'))).toBe(true);
});

test.each([
  [
    'an argument that is not listed',
    'web',
    { arguments: { '--root': '/' } },
    '--root; allowed: --color',
  ],
  ['a variable that is not listed', 'web', { envs: { PATH: '/' } }, 'PATH; allowed: TONE, HOME'],
  ['a variable of the session', 'web', { envs: { HOME: '/' } }, 'sets HOME itself'],
  ['an unknown service', 'nosuch', {}, "how 'nosuch' is started"],
  ['a name that is a path', '../web', {}, "'../web' can't be the name"],
  ['a command that fails', 'broken', {}, 'it is all wrong'],
  ['a variable without a value', 'unknown-variable', {}, '{nothing}'],
  ['a program that is not there', 'absent-program', {}, "no program 'no-such-program'"],
])('%s is refused', async (_what, name, options, message) => {
  await expect(start(name, options)).rejects.toThrow(message);
});

test('started once, used by all, restarted when it dies, and ended', async () => {
  const first = await Promise.all([
    start('web', { arguments: { '--color': 'red' } }),
    start('web'),
    start('web'),
  ]);
  expect(first.toSorted()).toEqual(['running', 'running', 'started']);
  expect(await start('web')).toBe('running');
  const answer = await ask();
  expect(answer).toMatchObject({ env: `hi ${port}`, rest: ['--size', '1', '2', '--color', 'red'] });
  const log = readFileSync(join(folder, '.logs/services/web.log'), 'utf8');
  expect(log).toContain(`prepared hi ${port}\nlistening with --size 1 2 --color red`);

  await fetch(`http://127.0.0.1:${port}/die`).catch(() => null);
  const again = await until(ask, 'it runs again');
  expect(again.pid).not.toBe(answer?.pid);
  expect(notes).toContain('web ended with exit code 3; starting it again.');

  await services.stop('web');
  await until(async () => (await ask()) === null, 'it is gone');
  expect(await start('web')).toBe('started');
  expect((await ask())?.rest).toEqual(['--size', '1', '2']);
});

test('what the session serves itself is there', async () => {
  expect(await start('sshd')).toBe('running');
});

test('an opened port is the user’s own; it is not waited for', async () => {
  expect(
    await services.start({
      name: '9000',
      protocol: 'preopen',
      ports: [9],
      options: { arguments: {}, envs: {} },
    }),
  ).toBe('running');
});
