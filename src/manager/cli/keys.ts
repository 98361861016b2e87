/** The manager's keys: the configured file, else one in the user's data folder. */
import { join, resolve } from 'node:path';
import type { CommandIo } from '../../common/command.ts';
import { dataFolder } from '../../common/local-cluster.ts';
import type { ManagerConfig } from '../config-file.ts';

export function keyFile({ rpcKeyFile, id }: ManagerConfig, { env, cwd }: CommandIo): string {
  return resolve(cwd, rpcKeyFile ?? join(dataFolder(env), 'manager', `${id}.key_secret`));
}
