/** What the servers below have to hold before the components start: settings, tables, accounts. */
import { join } from 'node:path';
import type { Random } from '../../common/random.ts';
import { type Layout, loadOrCreateSecrets, writeOwnFile } from '../layout.ts';
import type { InstallRequest } from '../request.ts';
import { runCommand } from '../shell.ts';
import type { Step, StepContext } from '../step.ts';
import { storedSettings } from './config-files.ts';

/** Holds the accounts' passwords and keys, which the database does not. */
export const accountsPath = (layout: Layout): string => join(layout.root, 'accounts.json');

/** A command of the installed program, in its configuration folder. */
export function runInstalled(
  layout: Layout,
  args: readonly string[],
  context: StepContext,
  options: { env?: Record<string, string>; timeoutMs?: number; quiet?: boolean } = {},
): Promise<string> {
  return runCommand([layout.executable, ...args], context, { cwd: layout.config, ...options });
}

/** Names the manager's configuration file to its commands. */
export const managerConfig = (layout: Layout) => ['-f', join(layout.config, 'manager.toml')];

export function settingsStep(request: InstallRequest, layout: Layout, random: Random): Step {
  return {
    id: 'settings',
    title: "Write the cluster's settings to etcd",
    async run(context) {
      const settings = storedSettings(request, loadOrCreateSecrets(layout, random));
      for (const [key, tree] of Object.entries(settings)) {
        const file = join(layout.config, `.${key}.json`);
        writeOwnFile(file, JSON.stringify(tree));
        const args = ['mgr', 'etcd', 'put-json', key, file, ...managerConfig(layout)];
        await runInstalled(layout, args, context);
      }
    },
  };
}

export function dataSteps(request: InstallRequest, layout: Layout, random: Random): Step[] {
  return [
    settingsStep(request, layout, random),
    {
      id: 'schema',
      title: 'Create the tables',
      async run(context) {
        const args = ['mgr', 'schema', 'oneshot', ...managerConfig(layout)];
        await runInstalled(layout, args, context);
      },
    },
    {
      id: 'accounts',
      title: 'Make the first accounts, with secrets of their own',
      run: async (context) => {
        await runInstalled(
          layout,
          [
            ...['mgr', 'fixture', 'create-accounts', accountsPath(layout)],
            ...['--env-dir', layout.root, ...managerConfig(layout)],
          ],
          context,
        );
      },
    },
  ];
}
