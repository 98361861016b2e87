/** What a container finds in its environment and in /home/config. */
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { coreCountVariables, runtimeOf } from '../../../common/images/labels.ts';
import type { KernelSpec } from '../../../common/protocol/kernel.ts';
import { runnerEnvironment } from '../../../common/protocol/runner.ts';
import { type KernelLayout, type Owner, SOCKET_NAME } from './layout.ts';

export const CONFIG_MOUNT = '/home/config';
export const WORK_MOUNT = '/home/work';
export const SOCKET_MOUNT = '/run/backend.ai';
const BOOTSTRAP_NAME = 'bootstrap.sh';

/** What user programs see beside the image's own variables. */
export function kernelEnvironment(spec: KernelSpec, owner: Owner): Record<string, string> {
  const cores = String(Math.max(1, Math.floor(Number(spec.slots.cpu ?? '1'))));
  const user = owner.uid === 0 ? 'root' : 'work';
  return {
    TMPDIR: '/tmp',
    ...Object.fromEntries(coreCountVariables(spec.image.labels).map((name) => [name, cores])),
    GPU_COUNT: '0',
    N_GPUS: '0',
    ...spec.environ,
    HOME: WORK_MOUNT,
    USER: user,
    LOGNAME: user,
    LOCAL_USER_ID: String(owner.uid),
    LOCAL_GROUP_ID: String(owner.gid),
  };
}

/** The runner's own variables, which it hides from user programs. */
export function runnerVariables(spec: KernelSpec): Record<string, string> {
  const { type, path } = runtimeOf(spec.image.labels);
  return {
    [runnerEnvironment.socket]: `${SOCKET_MOUNT}/${SOCKET_NAME}`,
    [runnerEnvironment.runtimeType]: type,
    [runnerEnvironment.runtimePath]: path,
    // What is reachable from outside is what the daemon publishes.
    [runnerEnvironment.serviceHost]: '0.0.0.0',
    [runnerEnvironment.bootstrap]:
      spec.bootstrapScript === null ? '' : `${CONFIG_MOUNT}/${BOOTSTRAP_NAME}`,
  };
}

/** `KEY=VALUE` lines; a line break inside a value is written as `\n`. */
const environmentText = (variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `${name}=${value.replaceAll('\n', '\\n')}\n`)
    .join('');

/** Upstream's record of what the kernel was given. */
function resourceText(spec: KernelSpec, cpuIds: readonly number[]): string {
  const lines = [
    'SCRATCH_SIZE=0m',
    'MOUNTS=',
    `SLOTS=${JSON.stringify(spec.slots)}`,
    'UNIFIED_DEVICES=[]',
  ];
  if (cpuIds.length > 0) lines.push(`CPU_SHARES=${cpuIds.map((id) => `${id}:1`).join(',')}`);
  if (spec.slots.mem !== undefined) lines.push(`MEM_SHARES=root:${spec.slots.mem}`);
  return `${lines.join('\n')}\n`;
}

export async function writeKernelFiles(
  layout: KernelLayout,
  spec: KernelSpec,
  cpuIds: readonly number[],
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const files: Record<string, string> = {
    'environ.txt': environmentText(environment),
    'resource.txt': resourceText(spec, cpuIds),
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
