/** What "*" means for each batch step: a guess from the files in the working folder. */
import { basename, extname } from 'node:path';

export type BatchStep = 'clean' | 'build' | 'exec';

export type Guess =
  | { readonly command: string }
  /** Nothing to do, which is fine. */
  | { readonly command: null; readonly problem: null }
  | { readonly command: null; readonly problem: string };

/** Interpreters by file extension; the first one found on the image is used. */
const SCRIPT_COMMANDS: Readonly<Record<string, string>> = {
  '.py': '"$(command -v python3 || command -v python || echo python3)"',
  '.js': 'node',
  '.mjs': 'node',
  '.cjs': 'node',
  '.sh': 'sh',
};
const MAIN_SCRIPTS = ['main.py', 'main.js', 'main.mjs', 'main.sh'];
const NOTHING: Guess = { command: null, problem: null };

/**
 * The command for a step given as "*".
 * @param files names in the working folder; hidden ones are ignored.
 * @param python the image's own Python, when its labels name one.
 */
export function guessCommand(
  step: BatchStep,
  files: readonly string[],
  python: string | null,
): Guess {
  if (step === 'clean') return files.includes('Makefile') ? { command: 'make clean' } : NOTHING;
  if (step === 'build') return guessBuild(files, python);
  return guessExec(files, python);
}

function guessBuild(files: readonly string[], python: string | null): Guess {
  if (files.includes('Makefile')) return { command: 'make' };
  if (files.includes('setup.py')) {
    return { command: `${runnerOf('.py', python)} -m pip install --user -e .` };
  }
  return NOTHING;
}

function guessExec(files: readonly string[], python: string | null): Guess {
  const main = MAIN_SCRIPTS.find((name) => files.includes(name));
  if (main !== undefined) return { command: commandFor(main, python) };
  const scripts = files.filter(
    (name) => !name.startsWith('.') && name !== 'setup.py' && extname(name) in SCRIPT_COMMANDS,
  );
  const [only] = scripts;
  if (only !== undefined && scripts.length === 1) return { command: commandFor(only, python) };
  const found =
    scripts.length === 0 ? '' : `, and more than one script (${scripts.slice(0, 5).join(', ')})`;
  return {
    command: null,
    problem:
      `Cannot tell what to execute: the working folder has none of ${MAIN_SCRIPTS.join(', ')}` +
      `${found}. Give the command with --exec, or name the file main.py.`,
  };
}

function commandFor(file: string, python: string | null): string {
  return `${runnerOf(extname(file), python)} './${basename(file).replaceAll("'", "'\\''")}'`;
}

function runnerOf(extension: string, python: string | null): string {
  if (extension === '.py' && python !== null) return `'${python.replaceAll("'", "'\\''")}'`;
  return SCRIPT_COMMANDS[extension] ?? 'sh';
}
