/** Starts the command tree in this process and ends the process with the command's exit code. */
import type { CommandRecord } from '../common/command.ts';
import { BROKEN_PIPE_EXIT_CODE, BrokenPipe, dieOnInterrupt, processIo } from './framework/io.ts';
import { runProgram } from './framework/program.ts';
import { clientCommands } from './tree.ts';

/** @param version of the whole product. */
export async function main(commands: CommandRecord, version: string): Promise<never> {
  const io = processIo();
  dieOnInterrupt(io);
  const completion = io.env._BACKEND_AI_COMPLETE;
  if (completion) {
    const { completionAnswer } = await import('./completion/shells.ts');
    io.stdout.write((await completionAnswer(completion, commands, process.argv.slice(2))) ?? '');
    process.exit(0);
  }
  const exitCode = await runProgram(
    {
      name: 'backend.ai',
      description: 'Backend.AI: run compute sessions on a cluster, or run the cluster itself.',
      version,
      commands,
      traced: new Set(Object.keys(clientCommands)),
    },
    process.argv.slice(2),
    io,
    async (error, globals) => {
      if (error instanceof BrokenPipe) return BROKEN_PIPE_EXIT_CODE;
      const { reportFailure } = await import('./framework/failures.ts');
      return reportFailure(error, globals, io);
    },
  );
  process.exit(exitCode);
}
