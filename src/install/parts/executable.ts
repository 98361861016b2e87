/** Puts the executable where it stays: a copy of the compiled file, or a way into the checkout. */
import { constants, existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorMessage } from '../../common/errors.ts';
import { checkoutRoot, selfCommand } from '../../common/executable.ts';
import { VERSION } from '../../common/version.ts';
import { runCommand } from '../shell.ts';
import type { Check, Step, StepContext } from '../step.ts';
import { sha256Of } from './download.ts';

const VERSION_TIMEOUT_MS = 30_000;

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Started from a checkout there is nothing to copy: a line of shell leads back to it. */
const launcherText = (): string =>
  `#!/bin/sh\n# Leads to the checkout that this installation was made from.\nexec ${selfCommand()
    .map(quote)
    .join(' ')} "$@"\n`;

/**
 * Puts this program at `path` at once; the one that was there is kept as `path.previous`. Nothing is
 * done when it is there: after an interruption, too, `path.previous` stays the one of before.
 */
export async function placeExecutable(path: string): Promise<void> {
  if (await isPlaced(path)) return;
  await mkdir(dirname(path), { recursive: true });
  const fresh = `${path}.new`;
  const kept = `${path}.previous.new`;
  try {
    if (checkoutRoot === null) await copyFile(process.execPath, fresh, constants.COPYFILE_FICLONE);
    else await writeFile(fresh, launcherText());
    await chmod(fresh, 0o755);
    if (existsSync(path)) {
      // Whole, or not there: the disk may become full.
      await copyFile(path, kept, constants.COPYFILE_FICLONE);
      await rename(kept, `${path}.previous`);
    }
    await rename(fresh, path);
  } finally {
    await rm(fresh, { force: true });
    await rm(kept, { force: true });
  }
}

async function isPlaced(path: string): Promise<boolean> {
  if (!existsSync(path)) return false;
  if (checkoutRoot !== null) return (await readFile(path, 'utf8')) === launcherText();
  if (path === process.execPath) return true;
  const [here, there] = [Bun.file(process.execPath), Bun.file(path)];
  if (here.size !== there.size) return false;
  return (await sha256Of(process.execPath)) === (await sha256Of(path));
}

/** Whether the executable of before an upgrade is there. */
export const hasPrevious = (path: string): boolean => existsSync(`${path}.previous`);

/** Brings back the executable of before an upgrade, if there is one. */
export async function restorePrevious(path: string): Promise<void> {
  if (hasPrevious(path)) await rename(`${path}.previous`, path);
}

export const forgetPrevious = (path: string): Promise<void> =>
  rm(`${path}.previous`, { force: true });

export function executableStep(path: string): Step {
  return {
    id: 'executable',
    title: `Put the executable at ${path}`,
    isDone: () => isPlaced(path),
    async run(context: StepContext) {
      await placeExecutable(path);
      await runCommand([path, '--version'], context, { timeoutMs: VERSION_TIMEOUT_MS });
      // Only an upgrade goes back to it.
      await forgetPrevious(path);
    },
  };
}

/** That the program at `path`, if there is one, is not newer: it may have changed tables as this one does not know. */
export function notNewerCheck(path: string, signal: AbortSignal): Check {
  return {
    title: 'Installed version',
    async run() {
      if (!existsSync(path)) return null;
      const context = { log: () => undefined, progress: () => undefined, signal };
      const answer = await runCommand([path, '--version'], context, {
        timeoutMs: VERSION_TIMEOUT_MS,
      }).catch(errorMessage);
      const version = /\b\d+\.\d+\.\d+\S*/.exec(answer)?.[0];
      // What does not say its version, such as half a file, is replaced.
      if (version === undefined || Bun.semver.order(version, VERSION) <= 0) return null;
      return {
        problem: `${path} is version ${version}, and this program the older ${VERSION}.`,
        remedy: `Install a release of ${version} or later, or uninstall that one first: ${path} install --mode maintain --action uninstall`,
      };
    },
  };
}
