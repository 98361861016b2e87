/** What has to be true of a machine before something is installed on it. */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import { probePort } from '../../common/ports.ts';
import { parseManagerAddress, parseToken } from '../../common/protocol/join.ts';
import { formatSize } from '../../common/sizes.ts';
import type { Check } from '../step.ts';

const NEEDED_BYTES = 1024 ** 3;

function existingParent(path: string): string {
  return existsSync(path) ? path : existingParent(dirname(path));
}

export function platformCheck(): Check {
  return {
    title: 'Operating system',
    async run() {
      if (process.platform === 'linux' || process.platform === 'darwin') return null;
      return {
        problem: `${process.platform} cannot run a cluster.`,
        remedy: 'Use Linux or macOS; on Windows, WSL 2.',
      };
    },
  };
}

export function folderCheck(path: string): Check {
  return {
    title: `Folder ${path}`,
    async run() {
      const place = existingParent(path);
      try {
        accessSync(place, constants.W_OK);
      } catch {
        return {
          problem: `${place} is not writable by this user.`,
          remedy: 'Choose another folder with --target-path, or run this as its owner.',
        };
      }
      const { bavail, bsize } = statfsSync(place);
      if (bavail * bsize >= NEEDED_BYTES) return null;
      return {
        problem: `Only ${formatSize(bavail * bsize)} are free for ${path}.`,
        remedy: `Free some space, or choose another folder: ${formatSize(NEEDED_BYTES)} are needed.`,
      };
    },
  };
}

/** That the agent will find real GPUs to offer: it would start without any. */
export function nvidiaCheck(): Check {
  return {
    title: 'NVIDIA driver',
    async run() {
      if (Bun.which('nvidia-smi') !== null) return null;
      return {
        problem: 'nvidia-smi is not on the path, so no GPU would be offered.',
        remedy:
          'Install the NVIDIA driver, or try --accelerator cuda_mock, whose GPUs are made up.',
      };
    },
  };
}

/** A check whose finding stops nothing where `isWarning` says so. */
export const warning = ({ title, run }: Check, isWarning: boolean): Check => ({
  title,
  async run() {
    const finding = await run();
    return finding === null || !isWarning ? finding : { ...finding, isWarning };
  },
});

/** @param isOurs whether what listens there is this very installation, which may stay. */
export function portCheck(port: number, what: string, flag: string, isOurs: () => boolean): Check {
  return {
    title: `Port ${port} for the ${what}`,
    async run() {
      if (isOurs() || (await probePort(port, '127.0.0.1')) !== null) return null;
      return {
        problem: `Port ${port}, for the ${what}, is taken.`,
        remedy: `End the program that listens there, or choose another port with ${flag}.`,
      };
    },
  };
}

export function dockerCheck(): Check {
  return {
    title: 'Docker',
    async run() {
      if (Bun.which('docker') !== null || existsSync('/var/run/docker.sock')) return null;
      return {
        problem: 'Docker, which the agent is to use, is not installed.',
        remedy: 'Install it (Debian: apt-get install docker.io), or use --agent-backend process.',
      };
    },
  };
}

const MANAGER_TIMEOUT_MS = 5_000;
/** Requests are dated; larger differences are refused. Seconds. */
const MAX_CLOCK_SKEW_S = 30;

const inUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** The manager whose cluster is joined is there, and its clock agrees with this machine's. */
export function managerCheck(address: string, clock: Clock): Check {
  return {
    title: 'Manager',
    async run() {
      const parsed = parseManagerAddress(address);
      if (parsed === null) {
        return {
          problem: address === '' ? 'Which manager is not said.' : `'${address}' is no address.`,
          remedy: 'Give HOST or HOST:PORT of its internal API with --manager.',
        };
      }
      const { host, port } = parsed;
      let date: string | null;
      try {
        const reply = await fetch(`http://${inUrl(host)}:${port}/health`, {
          signal: AbortSignal.timeout(MANAGER_TIMEOUT_MS),
        });
        if (!reply.ok) throw new Error(`it answers ${reply.status}`);
        date = reply.headers.get('date');
      } catch (error) {
        return {
          problem: `The manager at ${host}:${port} cannot be reached: ${errorMessage(error)}`,
          remedy:
            '[manager] internal-addr of manager.toml, port 18080, has to be an address that this machine reaches.',
        };
      }
      const skewS = date === null ? 0 : (clock.now().getTime() - Date.parse(date)) / 1000;
      if (Math.abs(skewS) <= MAX_CLOCK_SKEW_S) return null;
      return {
        problem: `The clocks of this machine and of the manager differ by ${Math.round(Math.abs(skewS))} s.`,
        remedy:
          'Set them by NTP (systemd-timesyncd, chrony): requests with a wrong date are refused.',
        isWarning: true,
      };
    },
  };
}

/** @param isJoined whether this machine is a node already, and needs none. */
export function tokenCheck(token: string, isJoined: boolean): Check {
  return {
    title: 'Token',
    async run() {
      if (isJoined || parseToken(token) !== null) return null;
      return {
        problem: token === '' ? 'A token is needed.' : 'The token is not whole.',
        remedy:
          'Make one at the manager: backend.ai mgr token create. Give it with --token or BACKEND_JOIN_TOKEN.',
      };
    },
  };
}
