/** A machine that becomes a node of a running cluster with nothing but an address and a token. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import { type DistributedCluster, startDistributedCluster } from './distributed.ts';
import { expectClearFailure, mustRun, Program, runCli } from './programs.ts';

setDefaultTimeout(120_000);
const NODE = 'i-new-node';
const reason = missingTool('redis-server', 'redis-server') ?? missingTool('etcd', 'etcd-server');

describe.if(requireOrSkip(reason))('joining a cluster', () => {
  let cluster: DistributedCluster;
  let node: string;
  let manager: string;
  let joining: string[];
  let rpcPort: number;
  let agent: Program | null = null;

  beforeAll(async () => {
    cluster = await startDistributedCluster({ agents: ['dummy agent'] });
    node = join(cluster.folder, 'node');
    mkdirSync(node);
    const toml = readFileSync(join(cluster.folderOf('manager'), 'manager.toml'), 'utf8');
    manager = /internal-addr = "([^"]+)"/.exec(toml)?.[1] ?? '';
    rpcPort = await freePort();
    joining = [
      ...['ag', 'join', manager, '--id', NODE, '--backend', 'process'],
      ...['--config-dir', node, '--state-dir', join(node, 'state')],
      ...['--rpc-port', String(rpcPort), '--service-port', String(await freePort())],
    ];
  });

  afterAll(async () => {
    await agent?.stop();
    await cluster?.stop();
  });

  const token = async (...more: string[]) =>
    (
      await mustRun(['mgr', 'token', 'create', ...more], { cwd: cluster.folderOf('manager') })
    ).stdout.trim();
  const status = async () => {
    const [row] = await cluster.sql<{ status: string; addr: string }[]>`
      SELECT status, addr FROM agents WHERE id = ${NODE}`;
    return row ?? null;
  };

  test('a token that is none, or another cluster’s, is refused in words', async () => {
    const at = { cwd: node };
    expectClearFailure(await runCli([...joining, '--token', 'nonsense'], at), 'A whole token');
    const good = await token();
    const [prefix, id, secret, key = ''] = good.split('.');
    const foreign = [prefix, id, secret, key.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))].join(
      '.',
    );
    expectClearFailure(
      await runCli([...joining, '--token', foreign], at),
      'is not the manager that made the token',
    );
    const used = [prefix, id, `${secret?.slice(0, -1)}${secret?.endsWith('A') ? 'E' : 'A'}`, key];
    expectClearFailure(
      await runCli([...joining, '--token', used.join('.')], at),
      'The manager refuses: The token is unknown, used up or too old',
    );
  });

  test('the node serves sessions of the group that its token names', async () => {
    await mustRun(['mgr', 'agent', 'revoke', NODE], { cwd: cluster.folderOf('manager') });
    await mustRun(joining, { cwd: node, env: { BACKEND_JOIN_TOKEN: await token() } });
    expect(statSync(join(node, 'agent.toml')).mode & 0o077).toBe(0);
    agent = new Program(['ag', 'start-server'], { cwd: node });
    await until(async () => (await status())?.status === 'ALIVE', 'the node is alive', 30_000);
    const hello = await mustRun(
      ['run', '--rm', '--scaling-group', 'default', 'bash', '-c', 'echo hello from the node'],
      { cwd: node, env: cluster.clientEnvironment },
    );
    expect(hello.stdout).toContain('hello from the node');
  });

  test('it comes back under another address without joining again', async () => {
    const before = (await status())?.addr;
    await agent?.stop();
    const path = join(node, 'agent.toml');
    const port = await freePort();
    const text = readFileSync(path, 'utf8').replaceAll(`port = ${rpcPort}`, `port = ${port}`);
    await Bun.write(path, text);
    agent = new Program(['ag', 'start-server'], { cwd: node });
    await until(
      async () => {
        const now = await status();
        return now?.status === 'ALIVE' && now.addr !== before;
      },
      'the node is alive at its new address',
      30_000,
    );
  });

  test('once revoked it is no longer heard', async () => {
    await mustRun(['mgr', 'agent', 'revoke', NODE], { cwd: cluster.folderOf('manager') });
    await until(async () => (await status())?.status === 'LOST', 'the node counts as lost', 60_000);
    expectClearFailure(
      await runCli(['mgr', 'agent', 'revoke', NODE], { cwd: cluster.folderOf('manager') }),
      `No agent ${NODE} is known.`,
    );
  });
});
