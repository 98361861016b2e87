/** HTTP/2 through a worker beside nginx's `grpc_pass`: small requests and a stream, by h2load and curl. */
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Permits, permitCookie } from '../../appproxy/shared/permits.ts';
import { systemClock } from '../../common/clock.ts';
import { freePorts } from '../app-proxy.ts';
import { freePort, missingTool } from '../services.ts';
import { until } from '../until.ts';
import { scratch } from './executable.ts';
import { exec, type Row } from './measure.ts';
import { circuitTo, fakeCoordinator, SECRET, workerToml } from './proxy-worker.ts';

const RUNS = 5;
const REQUESTS = 20_000;
const CONNECTIONS = 8;
const STREAMS = 16;
const BIG_BYTES = 256 * 1024 * 1024;

/** nginx as the application, and as a proxy that keeps connections to it. */
const nginxConfig = (base: string, role: 'app' | 'proxy', app: number, proxy: number) =>
  `daemon off; worker_processes 1; pid ${base}/${role}.pid; error_log ${base}/${role}.log;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 4096; }
http { access_log off; sendfile on; keepalive_requests 100000000; http2_max_concurrent_streams 256;
  client_body_temp_path ${base}/${role}-b; proxy_temp_path ${base}/${role}-p;
  fastcgi_temp_path ${base}/${role}-f; uwsgi_temp_path ${base}/${role}-u; scgi_temp_path ${base}/${role}-s;
  ${
    role === 'app'
      ? `server { listen 127.0.0.1:${app} http2; root ${base}/www;
           location = /small { return 200 "a small answer\\n"; } }`
      : `upstream app { server 127.0.0.1:${app}; keepalive 64; }
         server { listen 127.0.0.1:${proxy} http2; location / { grpc_pass grpc://app; } }`
  }
}`;

/** Milliseconds for a thousand small requests. @throws when any was not answered with success. */
async function requestsMs(url: string, cookie: string): Promise<number> {
  const report = await exec([
    ...['h2load', '-n', String(REQUESTS), '-c', String(CONNECTIONS), '-m', String(STREAMS)],
    ...['-H', `cookie: ${cookie}`, `${url}/small`],
  ]);
  const [, perSecond] = /, ([\d.]+) req\/s/.exec(report) ?? [];
  if (!report.includes(`${REQUESTS} succeeded`)) throw new Error(`${url} failed:\n${report}`);
  return 1_000_000 / Number(perSecond);
}

async function streamMs(url: string, cookie: string): Promise<number> {
  const seconds = await exec([
    ...['curl', '-sf', '--http2-prior-knowledge', '-o', '/dev/null', '-H', `Cookie: ${cookie}`],
    ...['-w', '%{time_total}', `${url}/big`],
  ]);
  return Number(seconds) * 1000;
}

const answers = (url: string, cookie: string) =>
  until(
    () =>
      streamMs(url, cookie).then(
        () => true,
        () => false,
      ),
    `${url} answers`,
  );

/** @returns no rows where h2load is missing. */
export async function http2Rows(executable: string): Promise<Row[]> {
  const missing = missingTool('h2load', 'nghttp2-client');
  if (missing !== null) {
    console.error(`⋯ without HTTP/2: ${missing}`);
    return [];
  }
  const base = scratch('proxy-h2');
  mkdirSync(join(base, 'www'), { recursive: true });
  writeFileSync(join(base, 'www/big'), '');
  truncateSync(join(base, 'www/big'), BIG_BYTES);
  await using opened = new AsyncDisposableStack();
  const start = (command: string[], log: string) => {
    const output = Bun.file(join(base, log));
    const child = Bun.spawn(command, {
      ...{ cwd: base, stdin: 'ignore', stdout: output, stderr: output },
    });
    opened.defer(async () => {
      child.kill();
      await child.exited;
    });
  };
  const [appPort, proxyPort] = [await freePort(), await freePort()];
  for (const role of ['app', 'proxy'] as const) {
    const path = join(base, `${role}.conf`);
    writeFileSync(path, nginxConfig(base, role, appPort, proxyPort));
    start(['nginx', '-p', base, '-c', path], `nginx-${role}.log`);
  }
  const ports = await freePorts(1);
  const circuit = circuitTo(appPort, ports[0], 'h2');
  const coordinator = fakeCoordinator([circuit]);
  opened.defer(() => coordinator.stop(true));
  const toml = workerToml(coordinator.url.origin, ports, await freePort(), 'h2');
  writeFileSync(join(base, 'app-proxy-worker.toml'), toml);
  start([executable, 'app-proxy-worker', 'start-server'], 'worker.log');
  const permits = new Permits({ secret: SECRET, digest: 'sha256' }, systemClock);
  const cookie = `${permitCookie(circuit)}=${permits.issue(circuit)}`;
  const [worker, nginx] = [`http://127.0.0.1:${ports[0]}`, `http://127.0.0.1:${proxyPort}`];
  for (const url of [worker, nginx]) await answers(url, cookie);
  const figures = { requests: [[], []], streams: [[], []] } as Record<string, number[][]>;
  // In turns, so that what else the machine does meets both of them.
  for (let run = 0; run < RUNS; run += 1) {
    for (const [at, url] of [worker, nginx].entries()) {
      figures.requests?.[at]?.push(await requestsMs(url, cookie));
      figures.streams?.[at]?.push(await streamMs(url, cookie));
    }
  }
  const row = (what: string, [ours = [], peer = []]: number[][] = []): Row => ({
    ...{ what, unit: 'ms', samples: ours },
    peer: { what: 'nginx grpc_pass', samples: peer },
  });
  return [
    row(`HTTP/2: 1,000 small requests, ${CONNECTIONS} × ${STREAMS} streams`, figures.requests),
    row('HTTP/2: a stream of 256 MiB', figures.streams),
  ];
}
