/** The storage proxy beside nginx: the same file down with sendfile, and up against a plain PUT. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { freePort, missingTool } from '../services.ts';
import { until } from '../until.ts';
import { scratch } from './executable.ts';
import { exec, printTable, processTree, proportionalMemory, sample } from './measure.ts';

const FILE_MIB = 1024;
const RUNS = 5;
const AT_ONCE = 20;
const AT_ONCE_MIB = 50;
const LISTED = 100_000;
const MAX_MEMORY_MIB = 100;
const MAX_LISTING_MS = 300;
const VFID = 'user:11111111-2222-3333-4444-555555555555/00000000000000000000000000000001';
const FOLDER = 'volume/11111111222233334444555555555555/00/00/0000000000000000000000000001';
const SECRET = 'm';

interface Server {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

async function startServer(command: readonly string[], cwd: string, url: string): Promise<Server> {
  const log = Bun.file(join(cwd, `${command.length}.log`));
  const child = Bun.spawn([...command], { cwd, stdin: 'ignore', stdout: log, stderr: log });
  await until(
    () =>
      fetch(url).then(
        () => true,
        () => false,
      ),
    `${command[0]} answers`,
  );
  return {
    url,
    pid: child.pid,
    async stop() {
      child.kill();
      await child.exited;
    },
  };
}

/** One worker, since the proxy is one process too; bodies are written straight into the target's disk. */
const nginxConfig = (base: string, port: number): string => `
daemon off; worker_processes 1; pid ${base}/nginx.pid; error_log ${base}/nginx-error.log;
${process.getuid?.() === 0 ? 'user root;' : ''}
events {}
http {
  access_log off; sendfile on; tcp_nopush on; client_max_body_size 0;
  client_body_temp_path ${base}/nginx-body; proxy_temp_path ${base}/nginx-proxy;
  fastcgi_temp_path ${base}/nginx-f; uwsgi_temp_path ${base}/nginx-u; scgi_temp_path ${base}/nginx-s;
  server { listen 127.0.0.1:${port}; root ${base}/nginx; location / { dav_methods PUT; } }
}`;

async function startNginx(base: string): Promise<Server> {
  const port = await freePort();
  mkdirSync(join(base, 'nginx'));
  writeFileSync(join(base, 'nginx.conf'), nginxConfig(base, port));
  const command = ['nginx', '-p', base, '-c', join(base, 'nginx.conf')];
  return await startServer(command, base, `http://127.0.0.1:${port}`);
}

async function startProxy(executable: string, base: string): Promise<Server & { client: string }> {
  const [client, manager] = [await freePort(), await freePort()];
  mkdirSync(join(base, 'volume'));
  writeFileSync(
    join(base, 'storage-proxy.toml'),
    `[storage-proxy]
secret = "s"
[api.client]
service-addr = "127.0.0.1:${client}"
[api.manager]
service-addr = "127.0.0.1:${manager}"
secret = "${SECRET}"
[volume.volume1]
backend = "vfs"
path = "volume"
`,
  );
  const command = [executable, 'storage', 'start-server'];
  const server = await startServer(command, base, `http://127.0.0.1:${manager}`);
  return { ...server, client: `http://127.0.0.1:${client}` };
}

async function ask(proxy: Server, path: string, params: object): Promise<unknown> {
  const response = await fetch(`${proxy.url}${path}`, {
    method: 'POST',
    headers: { 'X-BackendAI-Storage-Auth-Token': SECRET },
    body: JSON.stringify({ volume: 'volume1', vfid: VFID, ...params }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return text === '' ? null : JSON.parse(text);
}

type Proxy = Awaited<ReturnType<typeof startProxy>>;

async function address(proxy: Proxy, what: 'upload' | 'download', params: object): Promise<string> {
  const answer = await ask(proxy, `/folder/file/${what}`, params);
  const { token } = v.parse(v.object({ token: v.string() }), answer);
  return `${proxy.client}/${what}?token=${token}`;
}

const curl = (...args: string[]) => exec(['curl', '-sS', '-f', '-o', '/dev/null', ...args]);

/** As tus clients send it: one request from the offset on. */
async function upload(proxy: Proxy, file: string, mib: number, relpath: string): Promise<void> {
  const url = await address(proxy, 'upload', { relpath, size: mib * 1024 * 1024 });
  const headers = ['-H', 'Expect:', '-H', 'Upload-Offset: 0', '-H', 'Tus-Resumable: 1.0.0'];
  await curl('-X', 'PATCH', ...headers, '-T', file, url);
}

/**
 * Runs two bodies in turns, so that both meet the same state of the machine.
 * @param between told the number of the run; not timed.
 */
async function inTurns(
  ours: (run: number) => Promise<void>,
  theirs: (run: number) => Promise<void>,
  between: (run: number) => Promise<void> = async () => {},
) {
  const samples = { ours: [] as number[], theirs: [] as number[] };
  for (let run = 0; run <= RUNS; run++) {
    const times = [await sample(1, () => ours(run)), await sample(1, () => theirs(run))] as const;
    await between(run);
    // The first warms up.
    if (run === 0) continue;
    samples.ours.push(...times[0]);
    samples.theirs.push(...times[1]);
  }
  return samples;
}

async function peakOf(pid: number, work: Promise<unknown>): Promise<number> {
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, proportionalMemory(processTree(pid)));
  }, 50);
  await work;
  clearInterval(timer);
  return peak;
}

async function measure(proxy: Proxy, nginx: Server, base: string): Promise<void> {
  const file = join(base, 'source');
  const makeRandom = (path: string, mib: number) =>
    exec(['sh', '-c', `head -c ${mib}M /dev/urandom > "$1"`, 'sh', path]);
  await makeRandom(file, FILE_MIB);
  await ask(proxy, '/folder/create', {});

  // New files each time: one that replaces another is on the disk before it does, unlike nginx's.
  const up = await inTurns(
    (run) => upload(proxy, file, FILE_MIB, `file${run}`),
    async (run) => void (await curl('-H', 'Expect:', '-T', file, `${nginx.url}/file${run}`)),
    async (run) => {
      if (run === RUNS) return;
      rmSync(join(base, 'nginx', `file${run}`));
      await ask(proxy, '/folder/file/delete', { relpaths: [`file${run}`] });
    },
  );
  const url = await address(proxy, 'download', { relpath: `file${RUNS}` });
  const down = await inTurns(
    async () => void (await curl(url)),
    async () => void (await curl(`${nginx.url}/file${RUNS}`)),
  );

  const small = join(base, 'small');
  await makeRandom(small, AT_ONCE_MIB);
  const idle = proportionalMemory(processTree(proxy.pid));
  const uploads = Array.from({ length: AT_ONCE }, (_, i) =>
    upload(proxy, small, AT_ONCE_MIB, `many/${i}`),
  );
  const peak = await peakOf(proxy.pid, Promise.all(uploads));

  const many = join(base, FOLDER, 'listed');
  const script = 'mkdir "$1" && cd "$1" && seq 1 "$2" | xargs touch';
  await exec(['sh', '-c', script, 'sh', many, String(LISTED)]);
  const listing = await sample(RUNS, async () => {
    await ask(proxy, '/folder/file/list', { relpath: 'listed' });
  });
  const ls = await sample(RUNS, async () => void (await exec(['ls', '-l', many])));

  printTable(`Storage: ${FILE_MIB} MiB against nginx`, [
    {
      ...{ what: 'download', unit: 'ms', samples: down.ours },
      peer: { what: 'nginx sendfile', samples: down.theirs },
    },
    {
      ...{ what: 'upload (tus)', unit: 'ms', samples: up.ours },
      peer: { what: 'nginx PUT', samples: up.theirs },
    },
    { what: 'memory at rest', unit: 'MiB', samples: [idle] },
    {
      ...{ what: `memory at ${AT_ONCE} uploads`, unit: 'MiB', samples: [peak] },
      goal: MAX_MEMORY_MIB,
    },
    {
      ...{ what: `list, of ${LISTED} entries`, unit: 'ms', samples: listing, goal: MAX_LISTING_MS },
      peer: { what: 'ls -l', samples: ls },
    },
  ]);
}

export async function run(executable: string): Promise<void> {
  const missing = missingTool('nginx', 'nginx-light');
  if (missing) throw new Error(missing);
  const base = scratch('storage');
  mkdirSync(base, { recursive: true });
  const proxy = await startProxy(executable, base);
  try {
    const nginx = await startNginx(base);
    try {
      await measure(proxy, nginx, base);
    } finally {
      await nginx.stop();
    }
  } finally {
    await proxy.stop();
  }
}
