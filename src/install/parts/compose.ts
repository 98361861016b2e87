/** The compose of this machine: Docker's, or Podman's, whichever works with a daemon that answers. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../common/errors.ts';
import { runCommand } from '../shell.ts';
import type { StepContext } from '../step.ts';

const TIMEOUT_MS = 15_000;
/** Of the compose file's syntax, and of `create`. */
const OLDEST = 2;

export interface Compose {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Which programs there are to try, and what the first one that works is; else why none does. */
export type ComposeSearch = Compose | { readonly reasons: readonly string[] };

const mute = (signal: AbortSignal): StepContext => ({
  log: () => undefined,
  progress: () => undefined,
  signal,
});

/** Podman's socket, for a compose that would look for Docker's; empty where Docker's is meant. */
function podmanSocket(): Record<string, string> {
  if (process.env.DOCKER_HOST || existsSync('/var/run/docker.sock')) return {};
  const folders = [process.env.XDG_RUNTIME_DIR ?? '/nowhere', '/run'];
  const socket = folders.map((folder) => join(folder, 'podman/podman.sock')).find(existsSync);
  return socket === undefined ? {} : { DOCKER_HOST: `unix://${socket}` };
}

/** The ways compose can be called, best first. */
const candidates = (): readonly Compose[] => [
  { command: ['docker', 'compose'], env: podmanSocket() },
  { command: ['podman', 'compose'], env: {} },
  { command: ['docker-compose'], env: podmanSocket() },
];

/** Why a program cannot be used; null when it can. */
async function whyNot({ command, env }: Compose, signal: AbortSignal): Promise<string | null> {
  const name = command.join(' ');
  const run = (argument: string) =>
    runCommand([...command, argument], mute(signal), { env, timeoutMs: TIMEOUT_MS });
  try {
    const text = await run('version');
    const found = /Docker Compose version v?(\d+)\.\S+/i.exec(text);
    if (found === null || Number(found[1]) < OLDEST) {
      return `${name} is "${text.trim().split('\n')[0]}", not version 2 or later of Docker Compose.`;
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return `${name} does not work here.`;
  }
  try {
    await run('ls');
    return null;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const said = error.message.trim().split('\n').at(-1) ?? '';
    return `${name} cannot reach its daemon: ${said}`;
  }
}

export async function searchCompose(signal: AbortSignal): Promise<ComposeSearch> {
  const reasons: string[] = [];
  for (const candidate of candidates()) {
    const [program = ''] = candidate.command;
    if (Bun.which(program) === null) continue;
    const reason = await whyNot(candidate, signal);
    if (reason === null) return candidate;
    reasons.push(reason);
  }
  return { reasons };
}

export const COMPOSE_REMEDY =
  'Install Docker with Compose v2 (docker-compose-v2 or docker-compose-plugin), or Podman with its socket ' +
  '(systemctl enable --now podman.socket) and Docker Compose v2; or use servers you have: ' +
  '--postgres-addr, --redis-addr and --etcd-addr.';

/** @throws UserError when none works. */
export async function findCompose(signal: AbortSignal): Promise<Compose> {
  const found = await searchCompose(signal);
  if ('command' in found) return found;
  throw new UserError(['No working compose was found.', ...found.reasons].join('\n'), {
    hint: COMPOSE_REMEDY,
  });
}
