/**
 * The apps that this host has installed, such as Jupyter: sessions of the process backend offer them
 * beside what the runner serves itself. Only programs that sessions get to see count.
 */
import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HostRuntime } from '../../../common/images/host-runtimes.ts';
import type { ServicePort } from '../../../common/protocol/kernel.ts';
import type { HostView } from './host-view.ts';
import type { SandboxKind } from './sandbox-plan.ts';

export interface HostApp {
  /** Name of the service, as images call it. */
  readonly name: string;
  readonly program: string;
}

/** The programs behind the names of services. */
const PROGRAMS: Readonly<Record<string, string>> = {
  jupyter: 'jupyter-notebook',
  jupyterlab: 'jupyter-lab',
  vscode: 'code-server',
  tensorboard: 'tensorboard',
};
/** Any port: sessions get others, which nobody else has. */
const NOMINAL_PORT = 8080;

const isBelow = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(`${folder}/`);

/** Whether sessions see the path under its own name, not covered by anything. */
function isShown(view: HostView, path: string): boolean {
  const depth = (folders: readonly string[]) =>
    Math.max(-1, ...folders.filter((folder) => isBelow(path, folder)).map(({ length }) => length));
  const shown = depth(view.mounts.filter(([from, to]) => from === to).map(([from]) => from));
  return shown > depth([...view.hiddenFolders, ...view.hiddenFiles]);
}

async function usable(folder: string, program: string): Promise<string | null> {
  try {
    const path = join(await realpath(folder), program);
    await access(path, constants.X_OK);
    return (await stat(path)).isFile() ? path : null;
  } catch {
    // Not there, or not for us.
    return null;
  }
}

/**
 * Looks for apps beside the runtimes and on the search path, the first of each kind.
 * @param searchPath folders separated by `:`.
 */
export async function findHostApps(
  view: HostView,
  sandbox: SandboxKind,
  runtimes: readonly HostRuntime[],
  searchPath: string,
): Promise<HostApp[]> {
  const folders = [
    ...runtimes.map(({ executable }) => dirname(executable)),
    ...searchPath.split(':').filter((folder) => folder.startsWith('/')),
  ];
  const find = async (name: string, program: string): Promise<HostApp | null> => {
    for (const folder of new Set(folders)) {
      const path = await usable(folder, program);
      if (path === null) continue;
      const isSeen = isShown(view, path) && isShown(view, await realpath(path));
      if (sandbox === 'none' || isSeen) return { name, program: path };
    }
    return null;
  };
  const found = await Promise.all(
    Object.entries(PROGRAMS).map(([name, program]) => find(name, program)),
  );
  return found.filter((app) => app !== null);
}

/** The apps as services of a session; their ports are still to be chosen. */
export const hostAppPorts = (apps: readonly HostApp[]): ServicePort[] =>
  apps.map(({ name }) => ({
    name,
    protocol: 'http',
    container_ports: [NOMINAL_PORT],
    host_ports: [null],
    is_inference: false,
  }));
