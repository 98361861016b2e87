/**
 * Other versions of this program: the present source with one migration more and a higher version number.
 * For tests of upgrades, which need two versions where there may be no history to take one from.
 */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkoutRoot } from '../common/executable.ts';
import { VERSION } from '../common/version.ts';
import { migrations } from '../manager/db/migrations/index.ts';

const root = checkoutRoot ?? '.';
/** What a program started from its source reads, but for the libraries. */
const COPIED = ['bin', 'config', 'fixtures', 'halfstack', 'src', 'bunfig.toml', 'tsconfig.json'];

/** The schema that this source brings a database to. */
export const PRESENT_SCHEMA = migrations.at(-1)?.version ?? 0;

export interface OtherVersion {
  /** Starts it. */
  readonly program: readonly string[];
  readonly version: string;
}

/** How the program of a checkout is started. */
const programOf = (folder: string): string[] => [
  process.execPath,
  join(folder, 'bin/backend.ai.ts'),
];

/** A checkout of any version, whose libraries are installed. */
export function versionOf(checkout: string): OtherVersion {
  const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8'));
  return { program: programOf(checkout), version: String(version) };
}

/**
 * Makes a version that comes after this one.
 * @param folder is made.
 * @param added SQL of its migrations, the first of which has the number after `PRESENT_SCHEMA`.
 */
export function makeNextVersion(folder: string, added: readonly string[]): OtherVersion {
  mkdirSync(folder, { recursive: true });
  for (const name of COPIED) cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const version = VERSION.replace(/\d+$/, (last) => String(Number(last) + 1));
  const manifest = readFileSync(join(root, 'package.json'), 'utf8');
  writeFileSync(
    join(folder, 'package.json'),
    manifest.replace(`"version": "${VERSION}"`, `"version": "${version}"`),
  );
  const list = join(folder, 'src/manager/db/migrations/index.ts');
  const more = added.map((sql, index) => {
    const number = PRESENT_SCHEMA + 1 + index;
    return `  { version: ${number}, name: 'next_${number}', sql: ${JSON.stringify(sql)} },\n`;
  });
  writeFileSync(list, readFileSync(list, 'utf8').replace(/\n\];\s*$/, `\n${more.join('')}];\n`));
  return { program: programOf(folder), version };
}
