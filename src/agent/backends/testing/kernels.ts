/** Kernels for tests of backends: what is asked for, code that runs in them, and waiting. */
import { randomUUID } from 'node:crypto';
import { hostArchitecture } from '../../../common/images/labels.ts';
import type { ExecuteSlice } from '../../../common/protocol/execution.ts';
import type { KernelSpec } from '../../../common/protocol/kernel.ts';
import type { AgentImage } from '../../../common/protocol/manager.ts';
import { until } from '../../../testing/until.ts';
import type { RunnerClient } from '../backend.ts';

const DEADLINE_MS = 20_000;

/** A spec for a kernel of `image`; `overrides` replaces whole fields. */
export function testSpec(image: AgentImage, overrides: Partial<KernelSpec> = {}): KernelSpec {
  return {
    kernelId: randomUUID(),
    sessionId: randomUUID(),
    sessionName: 'test',
    sessionType: 'interactive',
    accessKey: 'AKIATEST',
    ownerUserId: randomUUID(),
    ownerProjectId: randomUUID(),
    image: {
      canonical: image.canonical,
      architecture: hostArchitecture(),
      digest: image.digest,
      labels: image.labels,
      isLocal: true,
      autoPull: 'none',
      registryAccount: null,
    },
    cluster: {
      mode: 'single-node',
      size: 1,
      role: 'main',
      idx: 1,
      localRank: 0,
      hostname: 'main1',
      sshKeypair: null,
    },
    useHostNetwork: false,
    slots: { cpu: '1', mem: String(256 * 1024 * 1024) },
    allowFractionalResourceFragmentation: true,
    shmemBytes: 16 * 1024 * 1024,
    environ: { BACKENDAI_TEST: "it's\nset" },
    bootstrapScript: null,
    dotfiles: [],
    startupCommand: null,
    batchTimeoutMs: null,
    preopenPorts: [],
    mounts: [],
    ...overrides,
  };
}

/** Waits until `condition` holds. @throws Error after 20 seconds. */
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  await until(condition, 'the condition holds', DEADLINE_MS);
}

/** For one step of a backend. */
export const deadline = (): AbortSignal => AbortSignal.timeout(DEADLINE_MS);

/** Runs code in query mode to its end. @returns what it printed, and the last slice. */
export async function runCode(
  runner: RunnerClient,
  code: string,
): Promise<{ stdout: string; stderr: string; last: ExecuteSlice }> {
  const runId = randomUUID();
  const request = { runId, code, options: {}, waitMs: 2000, eager: true };
  let last = await runner.call({ op: 'execute', request: { ...request, mode: 'query' } });
  const items = [...last.console];
  for (let turn = 0; turn < 500 && last.status === 'continued'; turn += 1) {
    last = await runner.call({
      op: 'execute',
      request: { ...request, mode: 'continue', code: '' },
    });
    items.push(...last.console);
  }
  const text = (stream: string) =>
    items
      .map(([kind, value]) => (kind === stream && typeof value === 'string' ? value : ''))
      .join('');
  return { stdout: text('stdout'), stderr: text('stderr'), last };
}

/** Python that serves the kernel's name on a port of the address that the kernel's name stands for. */
export const serveName = (port: number): string => `
import socket, threading
server = socket.create_server((socket.gethostname(), ${port}))
def serve():
    while True:
        connection, _ = server.accept()
        connection.sendall(socket.gethostname().encode() + b"\\n")
        connection.close()
threading.Thread(target=serve, daemon=True).start()`;

/** Python that prints what `serveName` of the kernel called `name` says. */
export const visitName = (name: string, port: number): string => `
import socket
print(socket.create_connection(("${name}", ${port}), timeout=20).makefile().readline().strip())`;
