/** A worker of the app proxy beside nginx: small requests, a 1 GiB stream, and idle WebSockets. */
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Permits, permitCookie } from '../../appproxy/shared/permits.ts';
import { systemClock } from '../../common/clock.ts';
import { freePorts } from '../app-proxy.ts';
import { freePort, missingTool } from '../services.ts';
import { until } from '../until.ts';
import { scratch } from './executable.ts';
import {
  exec,
  printTable,
  processorTime,
  processTree,
  proportionalMemory,
  type Row,
} from './measure.ts';
import { appRows } from './proxy-apps.ts';
import { http2Rows } from './proxy-h2.ts';
import { circuitTo, fakeCoordinator, SECRET, workerToml } from './proxy-worker.ts';
import { load } from './wrk.ts';

const RUNS = 5;
const SECONDS = 3;
const CONNECTIONS = 16;
const STREAM_BYTES = 1024 ** 3;
const SOCKETS = 5_000;
const MAX_SOCKET_MIB = 60;
const MAX_ADDED_MS = 0.3;

interface Proxy {
  readonly what: string;
  readonly url: string;
  /** Its process. */
  readonly pid: number;
}

/** nginx: the application, and two proxies before it: as `proxy_pass` is by itself, and with kept connections. */
function nginxConfig(base: string, role: 'app' | 'proxy', ports: readonly number[]): string {
  const [app, plain, kept] = ports;
  const servers =
    role === 'app'
      ? `server { listen 127.0.0.1:${app}; root ${base}/www;
           location = /small { return 200 "a small answer\\n"; } }`
      : `upstream app { server 127.0.0.1:${app}; keepalive 64; }
         server { listen 127.0.0.1:${plain}; location / { proxy_pass http://127.0.0.1:${app}; } }
         server { listen 127.0.0.1:${kept}; location / { proxy_pass http://app;
           proxy_http_version 1.1; proxy_set_header Connection ""; } }`;
  return `daemon off; worker_processes 1; pid ${base}/${role}.pid; error_log ${base}/${role}.log;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 4096; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  client_body_temp_path ${base}/${role}-b; proxy_temp_path ${base}/${role}-p;
  fastcgi_temp_path ${base}/${role}-f; uwsgi_temp_path ${base}/${role}-u; scgi_temp_path ${base}/${role}-s;
  ${servers}
}`;
}

const answers = (url: string, headers: Record<string, string> = {}) =>
  until(
    () =>
      fetch(url, { headers }).then(
        ({ ok }) => ok,
        () => false,
      ),
    `${url} answers`,
  );

/** Milliseconds for a whole stream, read by curl. */
async function streamMs(url: string, cookie: string): Promise<number> {
  const seconds = await exec([
    ...['curl', '-sf', '-o', '/dev/null', '-H', `Cookie: ${cookie}`, '-w', '%{time_total}', url],
  ]);
  return Number(seconds) * 1000;
}

async function measureHttp(direct: string, proxies: readonly Proxy[], cookie: string) {
  const requests = new Map(proxies.map(({ what }) => [what, [] as number[]]));
  const streams = new Map(proxies.map(({ what }) => [what, [] as number[]]));
  const added = new Map(proxies.map(({ what }) => [what, [] as number[]]));
  const processor = new Map(proxies.map(({ what }) => [what, [] as number[]]));
  const settings = { method: 'GET', headers: { Cookie: cookie }, seconds: SECONDS } as const;
  // In turns, so that what else the machine does meets all of them.
  for (let run = 0; run < RUNS; run += 1) {
    const bare = await load(`${direct}/small`, { ...settings, connections: 1, seconds: 1 });
    for (const { what, url, pid } of proxies) {
      const many = await load(`${url}/small`, { ...settings, connections: CONNECTIONS });
      requests.get(what)?.push(1_000_000 / many.perSecond);
      const one = await load(`${url}/small`, { ...settings, connections: 1, seconds: 1 });
      added.get(what)?.push(one.p50Ms - bare.p50Ms);
      const before = processorTime(processTree(pid));
      streams.get(what)?.push(await streamMs(`${url}/big`, cookie));
      processor.get(what)?.push(processorTime(processTree(pid)) - before);
    }
  }
  const rows: Row[] = [];
  for (const [title, figures] of [
    [`1,000 small requests, ${CONNECTIONS} connections`, requests],
    ['a stream of 1 GiB', streams],
    ['processor time of the proxy for 1 GiB', processor],
    ['added to the latency of a small request, p50', added],
  ] as const) {
    for (const peer of ['proxy_pass', 'proxy_pass, kept']) {
      rows.push({
        what: title,
        unit: 'ms',
        samples: figures.get('worker') ?? [],
        peer: { what: `nginx ${peer}`, samples: figures.get(peer) ?? [] },
        ...(figures === added ? { goal: MAX_ADDED_MS } : {}),
      });
    }
  }
  return rows;
}

/** Memory of the worker for each lot of open, idle WebSockets. */
async function measureSockets(port: number, cookie: string, pid: number): Promise<Row> {
  const memory = () => proportionalMemory(processTree(pid));
  const beforeMiB = memory();
  const sockets: Socket[] = [];
  let open = 0;
  for (let index = 0; index < SOCKETS; index += 1) {
    const socket = connect(port, '127.0.0.1');
    socket.once('data', (head) => {
      if (head.toString('latin1').startsWith('HTTP/1.1 101')) open += 1;
    });
    socket.on('error', () => {});
    socket.write(
      `GET /ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nCookie: ${cookie}\r\nConnection: Upgrade\r\n` +
        'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    sockets.push(socket);
    // The listeners' queues are shorter than the crowd.
    if (index % 100 === 99) await until(() => open > index, `${index + 1} WebSockets are open`);
  }
  const samples = [memory() - beforeMiB];
  for (const socket of sockets) socket.destroy();
  return {
    what: `${SOCKETS} idle WebSockets`,
    ...({ unit: 'MiB', goal: MAX_SOCKET_MIB } as const),
    samples,
  };
}

export async function run(executable: string): Promise<void> {
  const missing = missingTool('nginx', 'nginx-light');
  if (missing) throw new Error(missing);
  const base = scratch('proxy');
  mkdirSync(join(base, 'www'), { recursive: true });
  writeFileSync(join(base, 'www/big'), '');
  truncateSync(join(base, 'www/big'), STREAM_BYTES);
  await using opened = new AsyncDisposableStack();
  const start = (command: string[]) => {
    const log = Bun.file(
      join(base, `${command[0]?.split('/').at(-1)}-${command.at(-1)?.length}.log`),
    );
    const child = Bun.spawn(command, { cwd: base, stdin: 'ignore', stdout: log, stderr: log });
    opened.defer(async () => {
      child.kill();
      await child.exited;
    });
    return child;
  };
  const nginxPorts = [await freePort(), await freePort(), await freePort()];
  const [, nginx] = (['app', 'proxy'] as const).map((role) => {
    const path = join(base, `${role}.conf`);
    writeFileSync(path, nginxConfig(base, role, nginxPorts));
    return start(['nginx', '-p', base, '-c', path]).pid;
  });
  if (nginx === undefined) throw new Error('nginx was not started');
  const sockets = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request, server) =>
      server.upgrade(request, { data: undefined })
        ? undefined
        : new Response(null, { status: 400 }),
    websocket: { message() {}, idleTimeout: 0 },
  });
  opened.defer(() => sockets.stop(true));
  const [appPort = 0, plainPort = 0, keptPort = 0] = nginxPorts;
  const ports = await freePorts(2);
  const circuits = [circuitTo(appPort, ports[0]), circuitTo(sockets.port ?? 0, ports[1])];
  const coordinator = fakeCoordinator(circuits);
  opened.defer(() => coordinator.stop(true));
  const toml = workerToml(coordinator.url.origin, ports, await freePort());
  writeFileSync(join(base, 'app-proxy-worker.toml'), toml);
  const worker = start([executable, 'app-proxy-worker', 'start-server']);
  const permits = new Permits({ secret: SECRET, digest: 'sha256' }, systemClock);
  const cookies = circuits.map((circuit) => `${permitCookie(circuit)}=${permits.issue(circuit)}`);
  const [cookie = '', socketCookie = ''] = cookies;
  const proxies: Proxy[] = [
    { what: 'worker', url: `http://127.0.0.1:${ports[0]}`, pid: worker.pid },
    { what: 'proxy_pass', url: `http://127.0.0.1:${plainPort}`, pid: nginx },
    { what: 'proxy_pass, kept', url: `http://127.0.0.1:${keptPort}`, pid: nginx },
  ];
  for (const { url } of proxies) await answers(`${url}/small`, { Cookie: cookie });
  const socketRow = await measureSockets(ports[1], socketCookie, worker.pid);
  const rows = await measureHttp(`http://127.0.0.1:${appPort}`, proxies, cookie);
  await opened.disposeAsync();
  const http2 = await http2Rows(executable);
  printTable('Apps of a session', await appRows(executable));
  printTable('App proxy (ratios against nginx: below 0.67 is 1.5 times as fast)', [
    ...rows,
    ...http2,
    socketRow,
  ]);
}
