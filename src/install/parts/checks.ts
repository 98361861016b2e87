/** What has to be true of a machine before something is installed on it. */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { probePort } from '../../common/ports.ts';
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
