/** agent.toml: what is accepted, and how what is wrong is told. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadAgentConfig } from './config-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-agent-'));
afterAll(() => rmSync(folder, { recursive: true }));

function load(text: string, env: Record<string, string> = {}) {
  writeFileSync(join(folder, 'agent.toml'), text);
  return loadAgentConfig({ places: { cwd: folder, home: folder }, env });
}

const sample = readFileSync(join(import.meta.dir, '../../config/agent.toml'), 'utf8');

test('the sample loads, and every key of it has an effect', () => {
  const { settings, withoutEffect } = load(sample);
  expect(withoutEffect).toEqual([]);
  expect(settings).toMatchObject({
    backend: 'process',
    scalingGroup: 'default',
    rpcListenAddr: { host: '0.0.0.0', port: 6001 },
    managerAddr: null,
    resource: { reservedMemBytes: 1024n ** 3n, reservedCpu: 1 },
    container: { kernelUid: null, portRange: [30000, 31000], portReuseCooldownMs: 60_000 },
    debug: { heartbeatIntervalMs: 20_000 },
    syncIntervalMs: 10_000,
  });
});

test('the keys that the sample shows commented out are valid, and their defaults are right', () => {
  const shown = load(sample.replace(/^# (\[otel\]$|[a-z-]+ = )/gm, '$1'));
  expect(shown.withoutEffect).toEqual([]);
  const { managerAddr, advertisedRpcAddr, pidFile, accelerators, ...rest } = shown.settings;
  const {
    managerAddr: _,
    advertisedRpcAddr: __,
    pidFile: ___,
    accelerators: ____,
    ...defaults
  } = load(sample).settings;
  expect(rest).toEqual(defaults);
  expect(managerAddr).toEqual({ host: '127.0.0.1', port: 18080 });
  expect(advertisedRpcAddr).toEqual({ host: '10.0.0.5', port: 6001 });
  expect(pidFile).toBe('./agent.pid');
  expect(accelerators.allow).toEqual(['ai.backend.accelerator.mock']);
});

test("a file in upstream's style loads unmodified", () => {
  const { settings, withoutEffect } = load(`
[etcd]
namespace = "local"
addr = { host = "127.0.0.1", port = 8120 }
user = ""
password = ""
[agent]
mode = "docker"
rpc-listen-addr = { host = "127.0.0.1", port = 6001 }
agent-sock-port = 6007
scaling_group = "gpu"
event-loop = "uvloop"
image-commit-path = "./tmp/backend.ai/commit/"
cohabiting-storage-proxy = true
[container]
port-range = [30000, 31000]
kernel-uid = 1000
bind-host = "127.0.0.1"
sandbox-type = "docker"
scratch-type = "hostdir"
scratch-size = "1G"
[watcher]
service-addr = { host = "127.0.0.1", port = 6009 }
[logging]
level = "INFO"
drivers = ["console"]
[resource]
reserved-cpu = 1
reserved-mem = "1G"
[debug]
enabled = true
[debug.coredump]
enabled = false
size-limit = "64M"
[license]
addr = { host = "127.0.0.1", port = 6099 }
`);
  expect(settings.backend).toBe('docker');
  expect(settings.scalingGroup).toBe('gpu');
  expect(settings.container.kernelUid).toBe(1000);
  expect(settings.etcd?.addrs).toEqual(['127.0.0.1:8120']);
  expect(withoutEffect).toContain('[license]');
  expect(withoutEffect).toContain('[container] sandbox-type');
});

test('a manager address makes etcd unnecessary, the lack of both is told', () => {
  const { settings } = load('[agent]\nmode = "dummy"\nmanager-addr = "h:1"\n');
  expect(settings.etcd).toBeNull();
  expect(settings.managerAddr).toEqual({ host: 'h', port: 1 });
  expect(() => load('[agent]\nbackend = "dummy"\n')).toThrow(
    'agent.toml: expected [agent] manager-addr or an [etcd] section',
  );
});

test('the environment wins', () => {
  const { settings } = load(sample, {
    BACKEND_AGENT_HOST_OVERRIDE: '10.0.0.9',
    BACKEND_AGENT_PORT: '7001',
    BACKEND_CONTAINER_PORT_RANGE: '40000-40010',
    BACKEND_SCRATCH_ROOT: '/scratch',
  });
  expect(settings.rpcListenAddr).toEqual({ host: '10.0.0.9', port: 7001 });
  expect(settings.container.portRange).toEqual([40000, 40010]);
  expect(settings.container.scratchRoot).toBe('/scratch');
});

test('mistakes are told with their line', () => {
  const withAgent = (rest: string) => `[agent]\nbackend = "docker"\nmanager-addr = "h:1"\n${rest}`;
  expect(() => load('[agent]\nbackend = "podman"\n')).toThrow(
    'agent.toml:2: [agent] backend: expected "docker", "process" or "dummy", found "podman"',
  );
  expect(() => load(withAgent('[container]\nport-range = [5, 1]\n'))).toThrow(
    'agent.toml:5: [container] port-range: expected a range of ports',
  );
  expect(() => load(withAgent('[resource]\nreserved-memm = "1G"\n'))).toThrow(
    "unknown key 'reserved-memm' (did you mean 'reserved-mem'?)",
  );
});
