/** Python in query mode: the image's interpreter with our driver inside. */
import type { DriverSource } from '../driver-process.ts';
import driver from './driver.py' with { type: 'text' };

/** Executes the driver in a namespace of its own, so that `__main__` belongs to the user. */
const BOOTSTRAP = [
  'commands=open(3,"rb",closefd=False)',
  'program=compile(commands.read(int(commands.readline())),"<backend.ai>","exec")',
  'exec(program,{"commands":commands,"__file_name__":"<backend.ai>","__name__":"backend.ai"})',
].join(';');

/** @param interpreter path or name of a Python ≥ 3.6. */
export function pythonDriver(interpreter: string): DriverSource {
  const bytes = Buffer.byteLength(driver);
  return {
    command: interpreter,
    args: ['-c', BOOTSTRAP],
    preamble: `${bytes}\n${driver}`,
    hearsInterrupts: false,
  };
}
