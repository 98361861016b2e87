/** Names of a daemon's images and the aliases they get. */
import { describe, expect, test } from 'bun:test';
import { canonicalOfTag, tagOfCanonical, withAliases } from './docker.ts';

describe('names', () => {
  test.each([
    ['python:3.11', 'local/python:3.11'],
    ['team/python:3.11', 'local/team/python:3.11'],
    ['local/odd:1', 'local/local/odd:1'],
    [
      'cr.example.org/stable/python:3.9-ubuntu20.04',
      'cr.example.org/stable/python:3.9-ubuntu20.04',
    ],
    ['localhost:5000/a:1', 'localhost:5000/a:1'],
  ])('%s is %s and back', (tag, canonical) => {
    expect(canonicalOfTag(tag)).toBe(canonical);
    expect(tagOfCanonical(canonical)).toBe(tag);
  });

  test("Podman's own host name is not a registry", () => {
    expect(canonicalOfTag('localhost/python:3')).toBe('local/python:3');
  });
});

describe('aliases', () => {
  const image = (canonical: string, digest = canonical) => ({
    canonical,
    architecture: 'x86_64',
    digest,
    sizeBytes: 1,
    labels: {},
  });
  const aliasesOf = (...images: ReturnType<typeof image>[]) =>
    Object.fromEntries(withAliases(images).map(({ canonical, aliases }) => [canonical, aliases]));

  test('an image alone gets its name, with and without version', () => {
    expect(aliasesOf(image('local/stable/python:3.11-debian12'))).toEqual({
      'local/stable/python:3.11-debian12': ['python', 'python:3.11'],
    });
  });

  test('images that compete get what is their own only', () => {
    expect(aliasesOf(image('local/python:3.11-a'), image('local/python:3.12-a'))).toEqual({
      'local/python:3.11-a': ['python:3.11'],
      'local/python:3.12-a': ['python:3.12'],
    });
  });

  test('two tags of one image do not compete', () => {
    expect(aliasesOf(image('local/r:2', 'same'), image('local/r:1', 'same'))).toEqual({
      'local/r:1': ['r', 'r:1'],
      'local/r:2': ['r:2'],
    });
  });
});
