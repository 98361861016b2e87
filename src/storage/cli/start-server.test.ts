/** `storage start-server` as people run it: with TLS, and with what can be wrong at the start. */
import { afterAll, expect, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../testing/services.ts';
import { until } from '../../testing/until.ts';

const PROGRAM = join(import.meta.dir, '../../../bin/backend.ai.ts');
const TIMEOUT_MS = 60_000;
const folder = mkdtempSync(join(tmpdir(), 'bai-storage-cli-'));
const running: Bun.Subprocess[] = [];
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const config = (client: number, manager: number, volume = 'volume') => `[storage-proxy]
secret = "s"
pid-file = "proxy.pid"
[api.client]
service-addr = "127.0.0.1:${client}"
ssl-enabled = true
ssl-cert = "cert.pem"
ssl-privkey = "key.pem"
[api.manager]
service-addr = "127.0.0.1:${manager}"
ssl-enabled = true
ssl-cert = "cert.pem"
ssl-privkey = "key.pem"
secret = "m"
[volume.volume1]
backend = "vfs"
path = "${volume}"
`;

function start(text: string | null) {
  const path = join(folder, 'storage-proxy.toml');
  if (text === null) rmSync(path, { force: true });
  else writeFileSync(path, text);
  const child = Bun.spawn([process.execPath, PROGRAM, 'storage', 'start-server'], {
    cwd: folder,
    env: { ...process.env, HOME: folder },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  });
  running.push(child);
  return child;
}

async function complaintOf(text: string | null): Promise<string> {
  const child = start(text);
  const complaint = await new Response(child.stderr).text();
  expect(await child.exited).toBe(1);
  expect(complaint).not.toContain('    at ');
  return complaint;
}

test(
  'both APIs speak TLS, files travel, and it ends when it is told to',
  async () => {
    mkdirSync(join(folder, 'volume'));
    const made = Bun.spawnSync([
      ...['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2'],
      ...['-subj', '/CN=localhost', '-keyout', join(folder, 'key.pem')],
      ...['-out', join(folder, 'cert.pem')],
    ]);
    expect(made.exitCode).toBe(0);
    const [client, manager] = [await freePort(), await freePort()];
    const child = start(config(client, manager));
    const tls = { rejectUnauthorized: false };
    const ask = async (path: string, params: object): Promise<unknown> => {
      const response = await fetch(`https://127.0.0.1:${manager}${path}`, {
        method: 'POST',
        headers: { 'X-BackendAI-Storage-Auth-Token': 'm' },
        body: JSON.stringify({
          volume: 'volume1',
          vfid: `user:${'1'.repeat(32)}/${'2'.repeat(32)}`,
          ...params,
        }),
        tls,
      });
      const text = await response.text();
      return text === '' ? response.status : JSON.parse(text);
    };
    await until(
      () =>
        fetch(`https://127.0.0.1:${manager}/status`, { tls }).then(
          ({ ok }) => ok,
          () => false,
        ),
      'the proxy answers',
    );
    expect(readFileSync(join(folder, 'proxy.pid'), 'utf8')).toBe(`${child.pid}\n`);
    expect(await ask('/folder/create', {})).toBe(204);
    const address = async (what: 'upload' | 'download', params: object) => {
      const { token } = Object(await ask(`/folder/file/${what}`, { relpath: 'x', ...params }));
      return `https://127.0.0.1:${client}/${what}?token=${token}`;
    };
    const content = Buffer.alloc(3_000_000, 'tls');
    const up = await fetch(await address('upload', { size: content.length }), {
      method: 'PATCH',
      headers: { 'Upload-Offset': '0' },
      body: content,
      tls,
    });
    expect(up.status).toBe(204);
    const down = await fetch(await address('download', {}), { tls });
    expect(Buffer.from(await down.arrayBuffer()).equals(content)).toBe(true);
    child.kill('SIGTERM');
    expect(await child.exited).toBe(0);
    expect(existsSync(join(folder, 'proxy.pid'))).toBe(false);
  },
  TIMEOUT_MS,
);

test(
  'what is wrong at the start is told with what to do',
  async () => {
    expect(await complaintOf(null)).toContain('No storage-proxy.toml found');
    const missing = await complaintOf(config(0, 0, 'nowhere'));
    expect(missing).toContain('The volume volume1 is not there');
    expect(missing).toContain('[volume.volume1]');
    const taken = createServer();
    const port = await freePort();
    await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', () => resolve()));
    try {
      expect(await complaintOf(config(await freePort(), port))).toContain('[api.manager]');
      expect(await complaintOf(config(port, await freePort()))).toContain('[api.client]');
    } finally {
      taken.close();
    }
    const noSuchUser = config(0, 0).replace('secret = "s"', 'secret = "s"\nuser = "nobody-at-all"');
    expect(await complaintOf(noSuchUser)).toContain('There is no user "nobody-at-all"');
  },
  TIMEOUT_MS,
);
