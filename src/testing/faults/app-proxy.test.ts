/**
 * `kill -9` of coordinator, manager, agent and worker under 200 open connections to an app of a
 * session. Connections depend on the worker alone; when that one dies the clients connect again, at
 * the same address and with the permit they have.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import * as v from 'valibot';
import { freePorts } from '../app-proxy.ts';
import { freePort, missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import { type DistributedCluster, startDistributedCluster } from './distributed.ts';
import { mustRun, Program } from './programs.ts';

const CONNECTIONS = 200;
const TIMEOUT_MS = 180_000;
const DEADLINE_MS = 60_000;

const isReady =
  requireOrSkip(missingTool('etcd', 'etcd-server')) &&
  requireOrSkip(missingTool('redis-server', 'redis-server'));

/** Takes up every WebSocket and sends back what it gets. */
const echoing = (port: number) => `
import socket, threading
def serve(peer):
    head = b''
    while not head.endswith(b'\\r\\n\\r\\n'):
        data = peer.recv(65536)
        if not data:
            return peer.close()
        head += data
    peer.sendall(b'HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n')
    while True:
        data = peer.recv(65536)
        if not data:
            return peer.close()
        peer.sendall(data)
def accept(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
listener = socket.create_server(('127.0.0.1', ${port}), backlog=${CONNECTIONS})
threading.Thread(target=accept, args=(listener,), daemon=True).start()
print('serving')
`;

const SECRETS = `[secrets]
api_secret = "faults-api"
jwt_secret = "faults-jwt"
[permit_hash]
secret = "faults-permit"
[logging]
drivers = ["file"]
file = { path = ".", filename = "server.log" }
`;

/** The two programs of the app proxy, beside those of the cluster. */
class ProxyPrograms {
  readonly #folder: string;
  readonly #running = new Map<string, Program>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async write(name: string, text: string): Promise<void> {
    await mkdir(join(this.#folder, name), { recursive: true });
    await writeFile(join(this.#folder, name, `${name}.toml`), text, { mode: 0o600 });
  }

  start(name: string): void {
    const cwd = join(this.#folder, name);
    this.#running.set(name, new Program([name, 'start-server'], { cwd }));
  }

  async killAndRestart(name: string): Promise<void> {
    await this.#running.get(name)?.kill();
    this.start(name);
  }

  async stop(): Promise<void> {
    for (const program of this.#running.values()) await program.stop();
  }
}

/** One client: an open WebSocket, of which only the bytes matter. */
class Client {
  readonly socket: Socket;
  isOpen = false;
  isClosed = false;
  #heard = '';

  constructor(origin: string, cookie: string) {
    const { hostname, port } = new URL(origin);
    this.socket = connect(Number(port), hostname);
    this.socket.on('data', (chunk) => {
      this.#heard += chunk.toString('latin1');
      this.isOpen ||= this.#heard.startsWith('HTTP/1.1 101');
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.isClosed = true;
    });
    this.socket.write(
      `GET / HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: Upgrade\r\n` +
        `Upgrade: websocket\r\nCookie: ${cookie}\r\n\r\n`,
    );
  }

  say(words: string): void {
    this.socket.write(words);
  }

  hasHeard(words: string): boolean {
    return this.#heard.includes(words);
  }
}

let cluster: DistributedCluster;
let programs: ProxyPrograms;
let coordinatorUrl: string;
let sessionId: string;
let app: string;

beforeAll(async () => {
  if (!isReady) return;
  cluster = await startDistributedCluster({ agents: ['process agent'] });
  programs = new ProxyPrograms(cluster.folder);
  const {
    host,
    port: hostPorts,
    user,
    pass,
  } = v.parse(
    v.object({
      host: v.array(v.string()),
      port: v.array(v.number()),
      user: v.string(),
      pass: v.nullish(v.string()),
    }),
    cluster.sql.options,
  );
  await cluster.sql`CREATE DATABASE appproxy`;
  const [coordinatorPort, workerPort] = [await freePort(), await freePort()];
  coordinatorUrl = `http://127.0.0.1:${coordinatorPort}`;
  await programs.write(
    'app-proxy-coordinator',
    `[db]
addr = "${host[0]}:${hostPorts[0]}"
name = "appproxy"
user = "${user}"
password = "${pass ?? ''}"
[proxy_coordinator]
bind_addr = "127.0.0.1:${coordinatorPort}"
${SECRETS}`,
  );
  const ports = await freePorts(5);
  await programs.write(
    'app-proxy-worker',
    `[proxy_worker]
coordinator_endpoint = "${coordinatorUrl}"
authority = "faults"
protocol = "http"
accepted_traffics = ["interactive"]
frontend_mode = "port"
api_bind_addr = "127.0.0.1:${workerPort}"
heartbeat_period = 1
[proxy_worker.port_proxy]
bind_host = "127.0.0.1"
advertised_host = "127.0.0.1"
bind_port_range = [${ports[0]}, ${ports[1]}]
${SECRETS}`,
  );
  const at = { cwd: join(cluster.folder, 'app-proxy-coordinator') };
  await mustRun(['app-proxy-coordinator', 'schema', 'oneshot'], at);
  programs.start('app-proxy-coordinator');
  programs.start('app-proxy-worker');
  await cluster.sql`
    UPDATE scaling_groups SET wsproxy_addr = ${coordinatorUrl}, wsproxy_api_token = 'faults-api'`;
  app = String(await freePort());
  const created = await cluster.client.session.create({
    ...{ image: 'python', name: 'echoing', preopenPorts: [Number(app)] },
    ...{ scalingGroup: 'default', resources: { cpu: '0.1', mem: '512m' } },
  });
  sessionId = created.sessionId;
  let printed = '';
  const code = echoing(Number(app));
  for await (const slice of await cluster.client.session.stream(sessionId, {
    mode: 'query',
    code,
  })) {
    printed += JSON.stringify(slice);
    if (printed.includes('serving')) break;
  }
}, TIMEOUT_MS);
afterAll(async () => {
  if (!isReady) return;
  await programs?.stop();
  await cluster?.stop();
}, TIMEOUT_MS);

/** The way of a WebUI from the session to an opened app. */
async function open(): Promise<{ origin: string; cookie: string }> {
  const { token, wsproxy_addr } = await cluster.client.session.startService('echoing', { app });
  const path = `/v2/proxy/${token}/${sessionId}/add?app=${app}&protocol=preopen`;
  const { url } = Object(await (await fetch(new URL(path, wsproxy_addr))).json());
  const auth = await fetch(url, { headers: { Accept: 'application/json' } });
  const { redirect_url } = Object(await auth.json());
  const setup = await fetch(redirect_url, { redirect: 'manual' });
  const [cookie = ''] = (setup.headers.get('Set-Cookie') ?? '').split(';');
  return { origin: new URL(setup.headers.get('Location') ?? '').origin, cookie };
}

const patientlyOpen = (after: string) =>
  until(() => open().catch(() => null), `the app can be opened ${after}`, DEADLINE_MS);

async function connectAll(origin: string, cookie: string): Promise<Client[]> {
  const clients: Client[] = [];
  for (let index = 0; index < CONNECTIONS; index += 1) clients.push(new Client(origin, cookie));
  await until(() => clients.every(({ isOpen }) => isOpen), 'all are connected', DEADLINE_MS);
  return clients;
}

async function allEcho(clients: readonly Client[], words: string): Promise<void> {
  for (const client of clients) client.say(words);
  await until(
    () => clients.every((client) => client.hasHeard(words)),
    `all hear ${words}`,
    DEADLINE_MS,
  );
  expect(clients.filter(({ isClosed }) => isClosed)).toEqual([]);
}

test.skipIf(!isReady)(
  'connections survive everything but the death of their worker, and come back after that',
  async () => {
    const { origin, cookie } = await patientlyOpen('at first');
    const clients = await connectAll(origin, cookie);
    await allEcho(clients, 'first');

    await programs.killAndRestart('app-proxy-coordinator');
    await allEcho(clients, 'without-coordinator');
    expect((await patientlyOpen('after the coordinator')).origin).toBe(origin);

    await cluster.killAndRestart('manager');
    await allEcho(clients, 'without-manager');
    expect((await patientlyOpen('after the manager')).origin).toBe(origin);

    await cluster.killAndRestart('process agent');
    await allEcho(clients, 'without-agent');
    expect((await patientlyOpen('after the agent')).origin).toBe(origin);

    await programs.killAndRestart('app-proxy-worker');
    await until(() => clients.every(({ isClosed }) => isClosed), 'all notice', DEADLINE_MS);
    // Before anybody opens the app again: the address and the permit are as good as before.
    await until(
      async () => {
        const probe = new Client(origin, cookie);
        await until(() => probe.isOpen || probe.isClosed, 'an answer', DEADLINE_MS);
        const { isOpen } = probe;
        probe.socket.destroy();
        return isOpen;
      },
      'the worker serves its circuits again',
      DEADLINE_MS,
    );
    const again = await connectAll(origin, cookie);
    await allEcho(again, 'again');

    await cluster.client.session.destroy(sessionId, { forced: true });
    await until(
      () => again.every(({ isClosed }) => isClosed),
      'the session ends them',
      DEADLINE_MS,
    );
  },
  TIMEOUT_MS,
);
