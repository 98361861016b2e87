/**
 * Machines with addresses of their own for tests: network namespaces, joined to this host by veth pairs
 * and a bridge that lies in a namespace itself, out of reach of the host's firewall. All of it goes away
 * with the processes that hold the namespaces open.
 */
import { randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { hireJanitor, type Janitor } from './janitor.ts';
import { missingTool } from './services.ts';
import { until } from './until.ts';

/** Of the range for trying out networks (RFC 2544), which no real network uses. */
const PREFIX = '198.18';
const MAX_HOLD_S = 3600;

export interface TestMachine {
  /** Comes before a command that is to run on the machine. */
  readonly inside: readonly string[];
  /** The present one. */
  readonly address: string;
  /** Gives it another address. */
  renumber(): void;
  /** Pulls the plug, or puts it in again. */
  setLink(isUp: boolean): void;
}

export interface TestNetwork {
  /** Of this host in the network. */
  readonly hostAddress: string;
  addMachine(): Promise<TestMachine>;
  remove(): Promise<void>;
}

/** Why no namespaces can be made here; null when they can. */
export const missingForNetworks = (): string | null =>
  missingTool('ip', 'iproute2') ??
  missingTool('nsenter', 'util-linux') ??
  (process.getuid?.() === 0 ? null : 'network namespaces need root');

function must(...command: string[]): void {
  const { success, stderr } = Bun.spawnSync(command, { stdin: 'ignore' });
  if (!success) throw new Error(`${command.join(' ')}: ${stderr.toString().trim()}`);
}

/** A process that keeps a namespace open. */
class Namespace {
  readonly #holder: Bun.Subprocess;
  readonly #janitor: Janitor;

  private constructor(holder: Bun.Subprocess, janitor: Janitor) {
    this.#holder = holder;
    this.#janitor = janitor;
  }

  static async open(): Promise<Namespace> {
    const holder = Bun.spawn(['unshare', '--net', 'sleep', String(MAX_HOLD_S)], {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'inherit',
    });
    const opened = new Namespace(holder, hireJanitor(holder.pid, '', 'KILL'));
    const own = readlinkSync('/proc/self/ns/net');
    await until(() => {
      if (holder.exitCode !== null) throw new Error('unshare ended');
      return readlinkSync(`/proc/${holder.pid}/ns/net`) !== own;
    }, 'the network namespace is there');
    must(...opened.inside, 'ip', 'link', 'set', 'lo', 'up');
    return opened;
  }

  get pid(): string {
    return String(this.#holder.pid);
  }

  get inside(): readonly string[] {
    return ['nsenter', `--net=/proc/${this.pid}/ns/net`];
  }

  async close(): Promise<void> {
    this.#holder.kill('SIGKILL');
    await this.#holder.exited;
    this.#janitor.dismiss();
  }
}

export async function makeTestNetwork(): Promise<TestNetwork> {
  await using undo = new AsyncDisposableStack();
  const open = async () => {
    const namespace = await Namespace.open();
    undo.defer(() => namespace.close());
    return namespace;
  };
  const hub = await open();
  const tag = randomBytes(3).toString('hex');
  const subnet = `${PREFIX}.${randomBytes(1).readUInt8()}`;
  const hostAddress = `${subnet}.1`;
  let used = 1;
  const nextAddress = () => {
    used += 1;
    return `${subnet}.${used}`;
  };
  must(...hub.inside, 'ip', 'link', 'add', 'hub', 'type', 'bridge');
  must(...hub.inside, 'ip', 'link', 'set', 'hub', 'up');
  /** The other end of a pair becomes a port of the hub. */
  const plugIn = (port: string) => {
    must(...hub.inside, 'ip', 'link', 'set', port, 'master', 'hub', 'up');
  };
  const host = `bai${tag}`;
  must('ip', 'link', 'add', host, 'type', 'veth', 'peer', 'name', 'host', 'netns', hub.pid);
  plugIn('host');
  must('ip', 'addr', 'add', `${hostAddress}/24`, 'dev', host);
  must('ip', 'link', 'set', host, 'up');
  const all = undo.move();

  return {
    hostAddress,
    async addMachine() {
      const namespace = await Namespace.open();
      all.defer(() => namespace.close());
      const ip = (...args: string[]) => must(...namespace.inside, 'ip', ...args);
      const port = `port${used}`;
      ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', port, 'netns', hub.pid);
      plugIn(port);
      ip('link', 'set', 'eth0', 'up');
      let address = nextAddress();
      ip('addr', 'add', `${address}/24`, 'dev', 'eth0');
      return {
        inside: namespace.inside,
        get address() {
          return address;
        },
        renumber() {
          ip('addr', 'flush', 'dev', 'eth0');
          address = nextAddress();
          ip('addr', 'add', `${address}/24`, 'dev', 'eth0');
        },
        setLink(isUp) {
          ip('link', 'set', 'eth0', isUp ? 'up' : 'down');
        },
      };
    },
    remove: () => all.disposeAsync(),
  };
}
