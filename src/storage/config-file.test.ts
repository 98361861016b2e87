/** storage-proxy.toml: what is accepted, and how what is wrong is told. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadStorageConfig } from './config-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-storage-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

function load(text: string, env: Record<string, string> = {}) {
  writeFileSync(join(folder, 'storage-proxy.toml'), text);
  return loadStorageConfig({ places: { cwd: folder, home: folder }, env });
}

const sample = readFileSync(join(import.meta.dir, '../../config/storage-proxy.toml'), 'utf8');

test('the sample loads, and every key of it has an effect', () => {
  const config = load(sample);
  expect(config.withoutEffect).toEqual([]);
  expect(config).toMatchObject({
    managerListen: { hostname: '127.0.0.1', port: 6022, tls: null },
    clientListen: { hostname: '127.0.0.1', port: 6021, tls: null },
    settings: {
      nodeId: hostname(),
      scandirLimit: 1000,
      maxUploadBytes: 100 * 1024 ** 3,
      tokenLifetimeMs: 86_400_000,
      createsMissingScopes: true,
      volumes: [{ name: 'volume1', backend: 'vfs', path: './volumes/volume1', fsprefix: '.' }],
    },
  });
});

test('the keys that the sample shows commented out are valid', () => {
  const shown = load(sample.replace(/^# (\[otel\]$|[a-z-]+ = )/gm, '$1'));
  expect(shown.withoutEffect).toEqual([]);
  expect(shown.pidFile).toBe('./storage-proxy.pid');
  expect(shown.settings).toEqual(load(sample).settings);
});

test("a file in upstream's style loads unmodified", () => {
  const { settings, withoutEffect, user, managerListen } = load(`
[etcd]
namespace = "local"
addr = { host = "127.0.0.1", port = 8120 }
[storage-proxy]
node_id = "i-storage"
num-proc = 4
pid_file = "./storage-proxy.pid"
event-loop = "uvloop"
scandir_limit = 500
max-upload-size = "10g"
secret = "s"
session-expire = "2h"
user = 1000
group = "staff"
[storage-proxy.volume-stats]
observe-interval = 10
[api.client]
service-addr = { host = "0.0.0.0", port = 6021 }
ssl-enabled = false
[api.manager]
service-addr = { host = "127.0.0.1", port = 6022 }
ssl-enabled = true
ssl-cert = "a.pem"
ssl-privkey = "b.pem"
secret = "t"
[volume.volume_1]
backend = "vfs"
path = "/vfroot/local"
fsprefix = "x"
[volume.volume_1.options]
[debug]
enabled = false
`);
  expect(withoutEffect).toEqual([
    ...['[etcd] namespace', '[etcd] addr', '[storage-proxy] num-proc'],
    ...['[storage-proxy] event-loop', '[storage-proxy] volume-stats', '[debug] enabled'],
  ]);
  expect(user).toBe('1000');
  expect(managerListen.tls).toEqual({ certFile: 'a.pem', keyFile: 'b.pem' });
  expect(settings).toMatchObject({
    nodeId: 'i-storage',
    scandirLimit: 500,
    tokenLifetimeMs: 7_200_000,
    volumes: [{ name: 'volume_1', backend: 'vfs', path: '/vfroot/local', fsprefix: 'x' }],
  });
});

const s3 = (more: string) => `[storage-proxy]
secret = "s"
[api.manager]
secret = "t"
[volume.a]
backend = "vfs"
path = "/a"
[artifact-storages.files]
type = "vfs_storage"
[artifact-storages.files.vfs_storage]
base_path = "/files"
[artifact-storages.models]
type = "object_storage"
[artifact-storages.models.object_storage]
endpoint = "http://127.0.0.1:9000"
access-key = "a"
secret_key = "b"
${more}`;

test('object storages of artifacts', () => {
  const { settings, withoutEffect } = load(
    s3(`buckets = ["m"]
region = "x"
upload_chunk_size = "16m"
[artifact-storages.models.object_storage.presigned_upload]
max_size = "1g"
`),
  );
  expect(withoutEffect).toEqual(['[artifact-storages.files]']);
  expect(settings.objectStorages).toEqual([
    {
      ...{ name: 'models', endpoint: 'http://127.0.0.1:9000', region: 'x', buckets: ['m'] },
      ...{ accessKey: 'a', secretKey: 'b', uploadChunkBytes: 16 * 1024 ** 2 },
      presignedUpload: { minBytes: null, maxBytes: 1024 ** 3, expirationSec: 300 },
      presignedDownload: { expirationSec: 300 },
    },
  ]);
  expect(() => load(s3('buckets = []'))).toThrow('expected at least one bucket');
  expect(() => load(s3('buckets = ["m"]').replace('http:', 'ftp:'))).toThrow(
    'expected http://HOST',
  );
  expect(() => load(s3('').replace('object_storage"', 'tape"'))).toThrow(
    'expected "object_storage"',
  );
});

test('what is missing or wrong is told with its line', () => {
  const wrong = (text: string) => () => load(text);
  const minimal = '[storage-proxy]\nsecret = "s"\n[api.manager]\nsecret = "t"\n';
  expect(wrong(minimal)).toThrow('[volume] is missing');
  expect(wrong('[volume.a]\nbackend = "vfs"\npath = "/a"\n')).toThrow('[storage-proxy] is missing');
  expect(wrong(`${minimal}[volume.a]\nbackend = "nfs"\npath = "/a"\n`)).toThrow(
    'storage-proxy.toml:6: [volume.a] backend: expected "vfs", "xfs" or "cephfs"',
  );
  expect(wrong(`${minimal}ssl-enabled = true\n[volume.a]\nbackend = "vfs"\npath = "/"\n`)).toThrow(
    'expected ssl-cert and ssl-privkey',
  );
  expect(wrong(`${minimal}[volume.a]\nbackend = "vfs"\npath_x = "/"\n`)).toThrow("'path_x'");
});
