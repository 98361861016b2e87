/** A real container registry for tests, and images pushed to it over its own protocol. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hireJanitor } from './janitor.ts';
import { eventually, freePort } from './services.ts';

/** The one account of the registry; it answers nobody else. */
export const REGISTRY_ACCOUNT = { username: 'robot', password: 'tést secret' };

export interface TestRegistry {
  /** `127.0.0.1:port`, which is also the first part of its images' names. */
  readonly addr: string;
  readonly url: string;
  /** Pushes one image per architecture under a tag; more than one makes an index. @returns config digests. */
  push(
    repository: string,
    tag: string,
    images: readonly { architecture: string; labels?: Record<string, string> }[],
  ): Promise<string[]>;
  stop(): Promise<void>;
}

const authorization = `Basic ${Buffer.from(`${REGISTRY_ACCOUNT.username}:${REGISTRY_ACCOUNT.password}`).toString('base64')}`;
const digestOf = (data: string): string =>
  `sha256:${createHash('sha256').update(data).digest('hex')}`;

async function send(url: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('Authorization', authorization);
  const response = await fetch(url, { ...init, headers, signal: AbortSignal.timeout(10_000) });
  if (!response.ok)
    throw new Error(`${init.method} ${url}: ${response.status} ${await response.text()}`);
  return response;
}

async function pushBlob(base: string, data: string): Promise<{ digest: string; size: number }> {
  const digest = digestOf(data);
  const size = Buffer.byteLength(data);
  const known = await fetch(`${base}/blobs/${digest}`, {
    method: 'HEAD',
    headers: { Authorization: authorization },
  });
  if (known.ok) return { digest, size };
  const started = await send(`${base}/blobs/uploads/`, { method: 'POST' });
  const place = new URL(started.headers.get('location') ?? '', base);
  place.searchParams.set('digest', digest);
  const headers = { 'Content-Type': 'application/octet-stream' };
  await send(place.href, { method: 'PUT', headers, body: data });
  return { digest, size };
}

async function pushManifest(base: string, reference: string, mediaType: string, content: object) {
  const body = JSON.stringify({ schemaVersion: 2, mediaType, ...content });
  const headers = { 'Content-Type': mediaType };
  await send(`${base}/manifests/${reference || digestOf(body)}`, { method: 'PUT', headers, body });
  return { digest: digestOf(body), size: Buffer.byteLength(body), mediaType };
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar';
/** An archive of nothing: two blocks of zeros. */
const EMPTY_TAR = '\0'.repeat(1024);

/**
 * @param base such as `http://127.0.0.1:5000/v2/stable/python`.
 * @param reference the tag; empty: it has none.
 */
export async function pushImage(
  base: string,
  reference: string,
  { architecture, labels = {} }: { architecture: string; labels?: Record<string, string> },
) {
  const layer = await pushBlob(base, EMPTY_TAR);
  const rootfs = { type: 'layers', diff_ids: [layer.digest] };
  const config = await pushBlob(
    base,
    JSON.stringify({ architecture, os: 'linux', config: { Labels: labels }, rootfs }),
  );
  const manifest = await pushManifest(base, reference, MANIFEST, {
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: [{ mediaType: LAYER, ...layer }],
  });
  return { config: config.digest, manifest, architecture };
}

/** Starts a registry with an empty store of its own, on loopback. Lets tags be deleted. */
export async function startTestRegistry(): Promise<TestRegistry> {
  const folder = mkdtempSync(join(tmpdir(), 'bai-registry-'));
  mkdirSync(join(folder, 'data'));
  const addr = `127.0.0.1:${await freePort()}`;
  const hash = await Bun.password.hash(REGISTRY_ACCOUNT.password, { algorithm: 'bcrypt', cost: 4 });
  writeFileSync(join(folder, 'htpasswd'), `${REGISTRY_ACCOUNT.username}:${hash}\n`);
  writeFileSync(
    join(folder, 'config.yml'),
    [
      'version: 0.1',
      'log: {level: error}',
      `storage: {filesystem: {rootdirectory: ${folder}/data}, delete: {enabled: true}}`,
      `http: {addr: "${addr}"}`,
      `auth: {htpasswd: {realm: test, path: ${folder}/htpasswd}}`,
    ].join('\n'),
  );
  const child = Bun.spawn(['docker-registry', 'serve', join(folder, 'config.yml')], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'ignore',
  });
  const janitor = hireJanitor(child.pid, folder, 'KILL');
  const url = `http://${addr}`;
  await eventually('the registry answers', async () => {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
    return fetch(`${url}/v2/`).then(
      ({ status }) => status === 401,
      () => false,
    );
  });
  return {
    addr,
    url,
    async push(repository, tag, images) {
      const base = `${url}/v2/${repository}`;
      const [only, ...more] = images;
      if (only && more.length === 0) return [(await pushImage(base, tag, only)).config];
      const pushed: Awaited<ReturnType<typeof pushImage>>[] = [];
      for (const image of images) pushed.push(await pushImage(base, '', image));
      await pushManifest(base, tag, INDEX, {
        manifests: pushed.map(({ manifest, architecture }) => ({
          ...manifest,
          platform: { architecture, os: 'linux' },
        })),
      });
      return pushed.map(({ config }) => config);
    },
    async stop() {
      child.kill('SIGKILL');
      await child.exited;
      janitor.dismiss();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
