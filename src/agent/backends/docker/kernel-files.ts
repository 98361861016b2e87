/** What a container finds in its environment and in /home/config. */
import { appendFile, chmod, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  coreCountVariables,
  runtimeOf,
  SSH_SERVICE,
  TERMINAL_SERVICE,
} from '../../../common/images/labels.ts';
import type { KernelSpec, ServicePort } from '../../../common/protocol/kernel.ts';
import {
  RUNNER_MEMORY_BYTES,
  RUNNER_THREADS,
  runnerEnvironment,
} from '../../../common/protocol/runner.ts';
import { environmentText, type Grant, resourceText } from '../../resources/grant.ts';
import { withHooks } from '../hooks.ts';
import { portText } from '../service-ports.ts';
import { type KernelLayout, type Owner, SOCKET_NAME } from './layout.ts';

export const CONFIG_MOUNT = '/home/config';
export const WORK_MOUNT = '/home/work';
export const SOCKET_MOUNT = '/run/backend.ai';
/** Where the container finds a library that is loaded first. */
export const hookTarget = (path: string): string => `/opt/kernel/${basename(path)}`;
const BOOTSTRAP_NAME = 'bootstrap.sh';

/** What user programs see beside the image's own variables. */
export function kernelEnvironment(
  spec: KernelSpec,
  owner: Owner,
  { environment, attachment }: Grant,
): Record<string, string> {
  const cores = String(Math.max(1, Math.floor(Number(spec.slots.cpu ?? '1'))));
  const user = owner.uid === 0 ? 'root' : 'work';
  const variables = {
    TMPDIR: '/tmp',
    ...Object.fromEntries(coreCountVariables(spec.image.labels).map((name) => [name, cores])),
    ...environment,
    ...spec.environ,
    // Not the user's to change: they say which devices are the kernel's.
    ...attachment.environment,
    HOME: WORK_MOUNT,
    USER: user,
    LOGNAME: user,
    LOCAL_USER_ID: String(owner.uid),
    LOCAL_GROUP_ID: String(owner.gid),
  };
  return withHooks(variables, attachment.hooks.map(hookTarget));
}

/**
 * The runner's own variables, which it hides from user programs.
 * @param bindHost address of the host that services are reached at.
 */
export function runnerVariables(
  spec: KernelSpec,
  servicePorts: readonly ServicePort[],
  bindHost: string,
): Record<string, string> {
  const { type, path } = runtimeOf(spec.image.labels);
  return {
    [runnerEnvironment.socket]: `${SOCKET_MOUNT}/${SOCKET_NAME}`,
    [runnerEnvironment.runtimeType]: type,
    [runnerEnvironment.runtimePath]: path,
    // In a network of its own, what is reachable from outside is what the daemon publishes.
    [runnerEnvironment.serviceHost]: spec.useHostNetwork ? bindHost : '0.0.0.0',
    [runnerEnvironment.sshPort]: portText(servicePorts, SSH_SERVICE.name),
    [runnerEnvironment.terminalPort]: portText(servicePorts, TERMINAL_SERVICE.name),
    [runnerEnvironment.threads]: RUNNER_THREADS,
    [runnerEnvironment.memory]: RUNNER_MEMORY_BYTES,
    [runnerEnvironment.bootstrap]:
      spec.bootstrapScript === null ? '' : `${CONFIG_MOUNT}/${BOOTSTRAP_NAME}`,
  };
}

export async function writeKernelFiles(
  layout: KernelLayout,
  spec: KernelSpec,
  grant: Grant,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const files: Record<string, string> = {
    'environ.txt': environmentText(environment),
    'resource.txt': resourceText(spec, grant),
    ...(spec.bootstrapScript === null ? {} : { [BOOTSTRAP_NAME]: spec.bootstrapScript }),
  };
  await Promise.all(
    Object.entries(files).map(async ([name, text]) => {
      const path = join(layout.config, name);
      await writeFile(path, text);
      // Not subject to the agent's umask: the container reads it as another user.
      await chmod(path, 0o644);
    }),
  );
}

/** Adds what is known only once there is a container to what the kernel can read. */
export const noteContainer = (layout: KernelLayout, containerId: string): Promise<void> =>
  appendFile(join(layout.config, 'resource.txt'), `CID=${containerId}\n`);
