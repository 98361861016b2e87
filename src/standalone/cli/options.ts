/** The options that name a local cluster, shared by `up`, `down`, `status` and `doctor`. */
import { type CommandIo, option, UsageError } from '../../common/command.ts';
import { clusterFolder } from '../../common/local-cluster.ts';

export const placeOptions = {
  envId: option(['--env-id'], 'ID', "Which of this machine's clusters. [default: default]"),
  dataDir: option(['--data-dir'], 'DIR', 'Where clusters keep their state.'),
};

/** The folder of the cluster that the options and the environment name. */
export function folderOf(
  options: { readonly envId: string | undefined; readonly dataDir: string | undefined },
  io: CommandIo,
): string {
  try {
    return clusterFolder(io.env, { envId: options.envId, dataDir: options.dataDir });
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}
