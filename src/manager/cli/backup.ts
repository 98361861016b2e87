/** `mgr backup` and `mgr restore`: a cluster's database, configuration and key in one file. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Sql } from 'postgres';
import { systemClock } from '../../common/clock.ts';
import {
  argument,
  choice,
  defineCommand,
  flag,
  option,
  optionalArgument,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { loadKeys, type NodeKeys, saveKeys } from '../../common/rpc/keys.ts';
import type { Manifest } from '../backup/manifest.ts';
import type { Cluster, Preference } from '../backup/service.ts';
import {
  commandLog,
  configOptions,
  type Invocation,
  readConfig,
  timeInName,
  withConfigStore,
  withDatabase,
  withTables,
} from './context.ts';
import { keyFile } from './keys.ts';

const exists = async (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

function clusterOf(invocation: Invocation, sql: Sql, config: Cluster['config']): Cluster {
  const { etcd, id } = readConfig(invocation);
  return {
    ...{ sql, config, namespace: etcd.namespace, managerId: id, clock: systemClock },
    log: commandLog(invocation),
  };
}

const summary = ({ createdAt, version, managerId, tables, config }: Manifest): string => {
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  return (
    `${rows} rows of ${tables.length} tables, ${config.entries} entries of the configuration and the key ` +
    `of ${managerId}, from ${createdAt} (version ${version})`
  );
};

export const backup = defineCommand({
  help:
    'Write the database, the configuration store and the key of the manager to one file. ' +
    'Managers may run meanwhile. The file holds secrets: keep it as safe as the database. ' +
    'Files of folders are not part of it; back up the storage volumes by their own means.',
  options: {
    ...configOptions,
    force: flag(['--force'], 'Replace a file of that name.'),
  },
  positionals: {
    file: optionalArgument('FILE', 'Where to write it. [default: named by the time]'),
  },
  async run({ options: { config, force }, args, io }) {
    const invocation = { io, configPath: config };
    const file = resolve(
      io.cwd,
      args.file ?? `backend.ai-${timeInName(systemClock.now())}.backup.tar.gz`,
    );
    if (!force && (await exists(file))) {
      throw new UserError(`${file} exists.`, { hint: 'Name another file, or add --force.' });
    }
    const keys = await loadKeys(keyFile(readConfig(invocation), io));
    const manifest = await withTables(invocation, (sql) =>
      withConfigStore(invocation, async (store) => {
        const service = await import('../backup/service.ts');
        return service.backup(clusterOf(invocation, sql, store), keys, file);
      }),
    );
    io.stdout.write(`Wrote ${file}: ${summary(manifest)}.\n`);
    return 0;
  },
});

/** @throws UserError when another key is there, which agents of this cluster may know. */
async function placeKeys(path: string, keys: NodeKeys, force: boolean): Promise<void> {
  if ((await exists(path)) && !force) {
    if ((await loadKeys(path)).publicKey === keys.publicKey) return;
    throw new UserError(`${path} holds another key than the backup.`, {
      hint:
        'Agents know the manager by its key. Add --replace-key when no agent of this cluster knows ' +
        'the present one, then run the same command again.',
    });
  }
  await saveKeys(path, keys);
}

export const restore = defineCommand({
  help:
    'Restore a backup into an empty cluster: a database without accounts, and the configuration store ' +
    'that manager.toml names. Stop the managers first. When it is interrupted, run it again.',
  options: {
    ...configOptions,
    check: flag(['--check'], 'Only prove that the file is whole, and tell what it holds.'),
    prefer: option<Preference>(
      ['--prefer'],
      'SIDE',
      'Where the configuration store has other values: keep the present ones, or take those of the backup.',
      choice(['backup', 'present']),
    ),
    replaceKey: flag(['--replace-key'], 'Replace another key of the manager.'),
  },
  positionals: { file: argument('FILE', 'The backup.') },
  async run({ options: { config, check, prefer, replaceKey }, args, io }) {
    const invocation = { io, configPath: config };
    const file = resolve(io.cwd, args.file);
    if (check) {
      const { checkBackup } = await import('../backup/read.ts');
      io.stdout.write(`${file} is whole: ${summary(await checkBackup(file))}.\n`);
      return 0;
    }
    const path = keyFile(readConfig(invocation), io);
    const manifest = await withDatabase(invocation, (sql) =>
      withConfigStore(invocation, async (store) => {
        const service = await import('../backup/service.ts');
        return service.restore(clusterOf(invocation, sql, store), file, {
          prefer: prefer ?? null,
          saveKeys: (keys) => placeKeys(path, keys, replaceKey),
        });
      }),
    );
    io.stdout.write(`Restored ${summary(manifest)}.\n`);
    return 0;
  },
});
