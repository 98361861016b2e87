/** Apps of a real session: the terminal's page and its echo through the app proxy; SFTP beside OpenSSH. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readClientConfig } from '../../client/config.ts';
import { Client } from '../../client/index.ts';
import { BunWebSocket } from '../../common/bun-websocket.ts';
import { findLocalCluster } from '../../common/local-cluster.ts';
import { freePort, missingTool } from '../services.ts';
import { until } from '../until.ts';
import { scratch } from './executable.ts';
import { exec, type Row, sample } from './measure.ts';

const SESSIONS = 10;
const KEYSTROKES = 300;
const TRANSFERS = 5;
const FILE_BYTES = 128 * 1024 * 1024;
const MAX_PAGE_MS = 300;
const MAX_ECHO_MS = 10;
const SSHD = '/usr/sbin/sshd';

type Environment = Record<string, string | undefined>;

interface OpenedTerminal {
  readonly origin: string;
  readonly cookie: string;
}

/** What a browser does to open the terminal of a session. */
async function openTerminal(client: Client, sessionId: string): Promise<OpenedTerminal> {
  const { token, wsproxy_addr } = await client.session.startService(sessionId, { app: 'ttyd' });
  const path = `/v2/proxy/${token}/${sessionId}/add?app=ttyd&protocol=http`;
  const added = Object(await (await fetch(new URL(path, wsproxy_addr))).json());
  const asked = await fetch(added.url, { headers: { Accept: 'application/json' } });
  const { redirect_url } = Object(await asked.json());
  const setup = await fetch(redirect_url, { redirect: 'manual' });
  const [cookie = ''] = (setup.headers.get('Set-Cookie') ?? '').split(';');
  return { origin: new URL(setup.headers.get('Location') ?? '').origin, cookie };
}

async function firstByte({ origin, cookie }: OpenedTerminal): Promise<void> {
  const page = await fetch(`${origin}/`, { headers: { Cookie: cookie } });
  if (!page.ok) throw new Error(`the terminal's page answered ${page.status}`);
  await page.body?.getReader().read();
}

/** A terminal as its client has it. */
interface Terminal {
  type(keys: string): void;
  close(): void;
}

/**
 * Milliseconds from a keystroke to its echo, by a terminal that echoes and a program that waits.
 * @param open given what is told of everything that is shown.
 */
async function echoes(open: (show: (text: string) => void) => Promise<Terminal>) {
  let shown = '';
  let onShown = () => {};
  const terminal = await open((text) => {
    shown += text;
    onShown();
  });
  await until(() => shown !== '', 'the prompt is shown');
  terminal.type('stty -icanon; echo ready-$((1+1)); exec cat >/dev/null\r');
  await until(() => shown.includes('ready-2'), 'the program waits');
  const samples = await sample(KEYSTROKES, async (index) => {
    shown = '';
    const key = String.fromCharCode(97 + (index % 26));
    const echoed = new Promise<void>((resolve) => {
      onShown = () => {
        if (shown.includes(key)) resolve();
      };
    });
    terminal.type(key);
    await echoed;
  });
  terminal.close();
  return samples;
}

const opened = (socket: Bun.WebSocket) =>
  new Promise((resolve) => socket.addEventListener('open', resolve));

/** By the app proxy, as the terminal's page does. */
async function pageTerminal({ origin, cookie }: OpenedTerminal, show: (text: string) => void) {
  const socket = new BunWebSocket(`${origin.replace('http', 'ws')}/ws`, {
    headers: { Cookie: cookie },
    protocols: ['tty'],
  });
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('message', ({ data }) => {
    if (!(data instanceof ArrayBuffer)) return;
    const text = Buffer.from(data).toString('latin1');
    if (text.startsWith('0')) show(text.slice(1));
  });
  await opened(socket);
  socket.send(Buffer.from(JSON.stringify({ AuthToken: '', columns: 80, rows: 24 })));
  return {
    type: (keys: string) => void socket.send(Buffer.from(`0${keys}`)),
    close: () => socket.close(),
  };
}

/** By the web server and the manager, signed in there. */
async function webTerminal(
  { webUrl, login }: { webUrl: string; login: { username: string; password: string } },
  session: string,
  show: (text: string) => void,
) {
  const response = await fetch(`${webUrl}/server/login`, {
    method: 'POST',
    body: JSON.stringify(login),
  });
  const id = response.headers.get('X-BackendAI-SessionID');
  if (id === null) throw new Error(`nobody could sign in at ${webUrl}`);
  const url = `${webUrl.replace('http', 'ws')}/func/stream/session/${session}/pty`;
  const socket = new BunWebSocket(url, { headers: { 'X-BackendAI-SessionID': id } });
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('message', ({ data }) => {
    const { type, data: bytes } = Object(JSON.parse(Buffer.from(data).toString()));
    if (type === 'out') show(Buffer.from(bytes, 'base64').toString('latin1'));
  });
  await opened(socket);
  return {
    type: (keys: string) =>
      void socket.send(
        JSON.stringify({ type: 'stdin', chars: Buffer.from(keys).toString('base64') }),
      ),
    close: () => socket.close(),
  };
}

/** An SSH server of OpenSSH that takes the session's own key. @returns what ends it. */
async function startSshd(base: string, key: string, port: number): Promise<() => Promise<void>> {
  const inBase = (name: string) => join(base, name);
  await exec(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', inBase('host')]);
  writeFileSync(inBase('authorized'), await exec(['ssh-keygen', '-y', '-f', key]));
  mkdirSync('/run/sshd', { recursive: true });
  const settings = {
    ...{ Port: port, ListenAddress: '127.0.0.1', HostKey: inBase('host'), UsePAM: 'no' },
    ...{ AuthorizedKeysFile: inBase('authorized'), StrictModes: 'no', PidFile: 'none' },
    ...{ PermitRootLogin: 'prohibit-password', Subsystem: 'sftp internal-sftp' },
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${value}\n`);
  writeFileSync(inBase('sshd_config'), lines.join(''));
  const child = Bun.spawn([SSHD, '-D', '-e', '-f', inBase('sshd_config')], {
    stdio: ['ignore', 'ignore', Bun.file(inBase('sshd.log'))],
  });
  return async () => {
    child.kill();
    await child.exited;
  };
}

/** Seconds for one file up and down by OpenSSH's client, as milliseconds. */
async function transfers(base: string, key: string, user: string, port: number) {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR'];
  const sftp = (batch: string) => {
    writeFileSync(join(base, 'batch'), `${batch}\n`);
    const flags = options.flatMap((option) => ['-o', option]);
    const where = ['-i', key, '-P', String(port), '-b', join(base, 'batch'), `${user}@127.0.0.1`];
    return exec(['sftp', '-q', '-F', '/dev/null', ...flags, ...where]);
  };
  const name = `bench-${port}`;
  await until(
    () =>
      sftp('pwd').then(
        () => true,
        () => false,
      ),
    'the server takes the key',
  );
  const up = await sample(
    TRANSFERS,
    async () => void (await sftp(`put ${join(base, 'file')} ${name}`)),
  );
  const down = await sample(
    TRANSFERS,
    async () => void (await sftp(`get ${name} ${join(base, 'back')}`)),
  );
  await sftp(`rm ${name}`);
  return { up, down };
}

async function sftpRows(base: string, key: string, port: number): Promise<Row[]> {
  writeFileSync(join(base, 'file'), crypto.getRandomValues(new Uint8Array(65_536)));
  await exec(['truncate', '-s', String(FILE_BYTES), join(base, 'file')]);
  const peerPort = await freePort();
  const stop = await startSshd(base, key, peerPort);
  try {
    const peer = await transfers(base, key, process.env.USER ?? 'root', peerPort);
    const ours = await transfers(base, key, 'work', port);
    return (['up', 'down'] as const).map((way) => ({
      ...{ what: `SFTP, 128 MiB ${way}`, unit: 'ms', samples: ours[way] },
      peer: { what: 'OpenSSH', samples: peer[way] },
    }));
  } finally {
    await stop();
  }
}

async function measure(executable: string, base: string, env: Environment): Promise<Row[]> {
  const cluster = findLocalCluster(join(base, 'default'));
  const account = cluster?.accounts.find(({ name }) => name === 'user');
  if (!cluster || !account) throw new Error('the cluster is not running');
  const client = new Client(
    readClientConfig({
      BACKEND_ENDPOINT: cluster.endpoint,
      BACKEND_ACCESS_KEY: account.accessKey,
      BACKEND_SECRET_KEY: account.secretKey,
    }),
  );
  const page: number[] = [];
  for (let index = 0; index < SESSIONS; index += 1) {
    const { sessionId } = await client.session.create({ image: 'bash', name: `page-${index}` });
    page.push(...(await sample(1, async () => firstByte(await openTerminal(client, sessionId)))));
    await client.session.destroy(sessionId, { forced: true });
  }
  const { sessionId } = await client.session.create({
    ...{ image: 'bash', name: 'bench-apps', resources: { cpu: '1', mem: '1g' } },
  });
  const terminal = await openTerminal(client, sessionId);
  const echo = await echoes((show) => pageTerminal(terminal, show));
  const { sessionId: second } = await client.session.create({ image: 'bash', name: 'bench-web' });
  const login = { username: account.email, password: account.password };
  const webEcho = await echoes((show) =>
    webTerminal({ webUrl: cluster.webUrl, login }, 'bench-web', show),
  );
  await client.session.destroy(second, { forced: true });
  const rows: Row[] = [
    {
      ...{ what: 'session ready → first byte of the terminal’s page', unit: 'ms' },
      ...{ samples: page, goal: MAX_PAGE_MS },
    },
    {
      ...{ what: 'echo of a keystroke by the app proxy', unit: 'ms' },
      ...{ samples: echo, goal: MAX_ECHO_MS },
    },
    {
      ...{ what: 'echo of a keystroke by web server and manager', unit: 'ms' },
      ...{ samples: webEcho, goal: MAX_ECHO_MS },
    },
  ];
  const printed = await exec([executable, 'ssh-config', '--print', 'bench-apps'], env);
  const key = /IdentityFile "?([^"\n]+)/.exec(printed)?.[1] ?? '';
  const [port] =
    (await client.session.apps(sessionId)).find(({ name }) => name === 'sshd')?.ports ?? [];
  const missing = missingTool(SSHD, 'openssh-server');
  if (missing !== null) console.error(`⋯ without SFTP: ${missing}`);
  else rows.push(...(await sftpRows(base, key, Number(port))));
  return rows;
}

/** Measures on a cluster of its own. */
export async function appRows(executable: string): Promise<Row[]> {
  const base = scratch('proxy-apps');
  mkdirSync(base, { recursive: true });
  chmodSync(dirname(base), 0o755);
  const env = {
    ...{ BACKEND_DATA_DIR: base, HOME: base },
    ...{ BACKEND_ENDPOINT: undefined, BACKEND_ACCESS_KEY: undefined },
  };
  await exec([executable, 'up', '--detach', '--quiet', '--backend', 'process'], env);
  try {
    return await measure(executable, base, env);
  } finally {
    await exec([executable, 'down', '--sessions'], env);
  }
}
