/** What is made ready once per agent, before its first container. */
import { stat } from 'node:fs/promises';
import type { Clock } from '../../../common/clock.ts';
import type { ContainerLimits } from './container-spec.ts';
import { hardLimits } from './daemon.ts';
import { kernelIds } from './layout.ts';
import { runnerExecutable } from './runner-executable.ts';
import { prepareRunnerFiles, type RunnerFiles } from './runner-files.ts';

const DEFAULT_PIDS_LIMIT = 8192;

export interface Prepared {
  readonly runner: RunnerFiles;
  readonly limits: ContainerLimits;
  readonly hostFiles: readonly string[];
}

/** @throws UserError when the runner can't be made. */
export async function prepareHost(options: {
  readonly stateDir: string;
  readonly scratchRoot: string;
  readonly logBytes: number;
  readonly pidsLimit: number | undefined;
  readonly clock: Clock;
  readonly progress: (message: string) => void;
}): Promise<Prepared> {
  const { stateDir, scratchRoot, logBytes, pidsLimit, clock, progress } = options;
  const executable = await runnerExecutable(clock, progress);
  const mayPrune = (await kernelIds(scratchRoot)).length === 0;
  const [runner, limits, hostFiles] = await Promise.all([
    prepareRunnerFiles(stateDir, executable, { mayPrune }),
    hardLimits(),
    existing(['/etc/localtime', '/etc/timezone']),
  ]);
  return {
    runner,
    limits: { ...limits, pids: pidsLimit ?? DEFAULT_PIDS_LIMIT, logBytes },
    hostFiles,
  };
}

async function existing(paths: readonly string[]): Promise<string[]> {
  const infos = await Promise.all(paths.map((path) => stat(path).catch(() => null)));
  return paths.filter((_, index) => infos[index]?.isFile() ?? false);
}
