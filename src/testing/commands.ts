/** Runs commands of a component in this process, as a shell would. */
import { reportFailure } from '../cli/framework/failures.ts';
import { runProgram } from '../cli/framework/program.ts';
import type { CommandIo, CommandRecord } from '../common/command.ts';

/** @param folder the working directory, also the home. */
export async function runCommands(
  commands: CommandRecord,
  folder: string,
  argv: readonly string[],
) {
  const text = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    write: (chunk: string | Uint8Array) => {
      text[name] += typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk);
    },
    isTTY: false,
    columns: 80,
    rows: 24,
  });
  const io: CommandIo = {
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    env: { PATH: process.env.PATH, HOME: folder },
    cwd: folder,
  };
  const code = await runProgram(
    { name: 'backend.ai', description: '', version: '0', commands },
    argv,
    io,
    async (error, globals) => reportFailure(error, globals, io),
  );
  return { code, ...text };
}
