/**
 * Which folder may import which: the arrows of the design, as a check. Components meet only over
 * the network or inside src/standalone; SQL and the stores' drivers stay behind their walls.
 */
import { dirname, join, normalize } from 'node:path';
import { Glob } from 'bun';

interface Import {
  readonly from: string;
  /** Path below the root, or the bare package name. */
  readonly to: string;
}

const COMPONENTS = [
  'manager',
  'agent',
  'kernel',
  'cli',
  'client',
  'storage',
  'appproxy',
  'web',
  'install',
  'standalone',
];
const SHARED = ['common', 'stores', 'logging', 'metrics', 'accelerator', 'plugin'];

/** Tests, suites run by tests, and the harness may reach everywhere. */
const isTest = (path: string) =>
  /\.test\.ts$|(^|[-/])(contract|conformance)\.ts$|^src\/([^/]+\/)*testing\//.test(path);

const folderOf = (path: string) => /^src\/([^/]+)\//.exec(path)?.[1] ?? null;

const rules: { name: string; broken: (edge: Import) => boolean }[] = [
  {
    name: 'a component imports no other component',
    broken({ from, to }) {
      const [source, target] = [folderOf(from), folderOf(to)];
      if (source === null || target === null || source === target || source === 'standalone')
        return false;
      if (!COMPONENTS.includes(target)) return false;
      // The command tree loads each component's own commands when one of them is named.
      if (source === 'cli' && (target === 'client' || to.startsWith(`src/${target}/cli/`)))
        return false;
      return COMPONENTS.includes(source) || SHARED.includes(source);
    },
  },
  {
    name: 'tests and the harness are imported by tests only',
    broken: ({ to }) => isTest(to),
  },
  {
    name: 'only src/stores knows Redis and etcd',
    broken: ({ from, to }) => /^(redis|@redis\/.*|etcd3)$/.test(to) && folderOf(from) !== 'stores',
  },
  {
    name: 'a manager feature reaches another one through its service, never its store',
    broken({ from, to }) {
      const feature = /^src\/manager\/([^/]+)\//.exec(from)?.[1];
      const store = /^src\/manager\/([^/]+)\/(?:[a-z-]+-)?store\.ts$/.exec(to)?.[1];
      if (feature === undefined || store === undefined || feature === store) return false;
      // Not features but the ground they stand on: the catalogue of tables, the filter language.
      return store !== 'db' && store !== 'graphql';
    },
  },
];

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]/g;

async function importsOf(file: string): Promise<Import[]> {
  const text = await Bun.file(file).text();
  return [...text.matchAll(IMPORT)].map((match) => {
    const target = match[1] ?? match[2] ?? match[3] ?? '';
    const to = target.startsWith('.') ? normalize(join(dirname(file), target)) : target;
    return { from: file, to };
  });
}

let edges = 0;
const violations: string[] = [];
for await (const file of new Glob('{src,bin}/**/*.ts').scan('.')) {
  for (const edge of await importsOf(file)) {
    edges += 1;
    if (isTest(file)) continue;
    for (const rule of rules) {
      if (rule.broken(edge)) violations.push(`${edge.from} → ${edge.to}\n    ${rule.name}`);
    }
  }
}
if (violations.length > 0) {
  console.error(
    `${violations.length} imports against the design's arrows:\n${violations.join('\n')}`,
  );
  process.exit(1);
}
console.log(`import directions: ${edges} imports follow the design`);
