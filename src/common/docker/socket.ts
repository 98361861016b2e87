/** Where the Docker daemon of this host listens. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../errors.ts';

const DEFAULT_SOCKET = '/var/run/docker.sock';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Where the daemon listens: DOCKER_HOST if it is set, else the first socket there is of Docker's and
 * Podman's own.
 * @throws UserError when DOCKER_HOST is not a Unix socket: kernels need the daemon of this very host.
 */
export function dockerSocketPath(env: Environment): string {
  const host = env.DOCKER_HOST;
  if (host) {
    const path = /^unix:\/\/(\/.+)$/.exec(host)?.[1];
    if (path !== undefined) return path;
    throw new UserError(`DOCKER_HOST is '${host}', which is not a Unix socket.`, {
      hint: 'Sessions need the Docker daemon of this host: set DOCKER_HOST=unix:///var/run/docker.sock or unset it.',
    });
  }
  const podman = ['/run/podman/podman.sock'];
  if (env.XDG_RUNTIME_DIR) podman.push(join(env.XDG_RUNTIME_DIR, 'podman/podman.sock'));
  return [DEFAULT_SOCKET, ...podman].find((path) => existsSync(path)) ?? DEFAULT_SOCKET;
}
