/** The list of what the tests run is complete: on a machine that lacks something it is installed, not skipped. */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Glob } from 'bun';

const root = join(import.meta.dir, '..');
const script = readFileSync(join(import.meta.dir, 'install-test-packages.sh'), 'utf8');
const installed = new Set([...script.matchAll(/^need \S+ (\S+)$/gm)].map(([, name = '']) => name));

test('every program that a test asks for by its package is among those that are installed', () => {
  const asked = [...new Glob('src/**/*.ts').scanSync(root)]
    // Benchmarks are run by hand.
    .filter((path) => !path.startsWith('src/testing/bench/'))
    .flatMap((path) => [
      ...readFileSync(join(root, path), 'utf8').matchAll(/missingTool\('[^']+', '([^']+)'\)/g),
    ])
    .map(([, name = '']) => name)
    // It installs the others.
    .filter((name) => name !== 'dpkg');
  expect(asked.length).toBeGreaterThan(20);
  expect(new Set(asked).difference(installed)).toEqual(new Set());
});

test('so are those that a release is built with', () => {
  expect(installed.has('xz-utils')).toBe(true);
});
