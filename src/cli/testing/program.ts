/** Runs the client's commands in this process, as a shell would. */
import type { Clock } from '../../common/clock.ts';
import { reportFailure } from '../framework/failures.ts';
import { runProgram } from '../framework/program.ts';
import { clientCommands } from '../tree.ts';
import { capturedIo } from './io.ts';

export interface Outcome {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

/** @param options.input all of standard input. */
export async function runCommand(
  argv: readonly string[],
  options: { env: Record<string, string>; cwd?: string; input?: string; clock?: Clock },
): Promise<Outcome> {
  const io = capturedIo(options);
  const exitCode = await runProgram(
    { name: 'backend.ai', description: '', version: '0', commands: clientCommands },
    argv,
    io,
    async (error, globals) => reportFailure(error, globals, io),
  );
  return { exitCode, out: io.out(), err: io.err() };
}
