/** Which dotfiles a session gets: whose wins, and that none leaves the home folder. */
import { expect, test } from 'bun:test';
import { join, normalize } from 'node:path';
import fc from 'fast-check';
import { type Dotfile, packDotfiles } from './format.ts';
import { dotfilesInTheWay, placeDotfiles, withSshKey } from './placement.ts';

const file = (path: string, data = path, perm = '644'): Dotfile => ({ path, perm, data });
const pack = (own: Dotfile[], project: Dotfile[] = [], domain: Dotfile[] = []) => ({
  keypair: packDotfiles(own),
  project: packDotfiles(project),
  domain: packDotfiles(domain),
});
const place = (...holders: Parameters<typeof pack>) => placeDotfiles(pack(...holders), []);

test("a user's own file wins over the project's, and that over the domain's", () => {
  const placed = place(
    [file('.a', 'own')],
    [file('.a', 'project'), file('.b', 'project')],
    [file('./.a', 'domain'), file('/home/work/.b', 'domain'), file('~/.c', 'domain')],
  );
  expect(placed.map(({ path, data }) => [path, data])).toEqual([
    ['.a', 'own'],
    ['.b', 'project'],
    ['.c', 'domain'],
  ]);
});

test('a file in the way of a stronger one is left out', () => {
  const placed = place([file('.x/y')], [file('.x'), file('.z')], [file('.z/deep'), file('.x/q')]);
  expect(placed.map(({ path }) => path)).toEqual(['.x/y', '.z', '.x/q']);
});

test('modes are octal, and lend no rights', () => {
  const placed = place([file('.a', '', '600'), file('.b', '', '4755'), file('.c', '', 'abc')]);
  expect(placed.map(({ mode }) => mode)).toEqual([0o600, 0o755]);
});

test('what is unreadable or absent is nothing', () => {
  const broken = Uint8Array.of(0xff, 1);
  const none = { keypair: null, project: broken, domain: new Uint8Array() };
  expect(placeDotfiles(none, [])).toEqual([]);
});

test('folders that are mounted win: what is in their way is told, what they hide left out', () => {
  const packed = pack([file('.a'), file('data'), file('.deep/x'), file('.b/inside')]);
  const mounts = ['/home/work/data', '/home/work/.deep/x/y', '/home/work/.b/', '/elsewhere/.a'];
  expect(dotfilesInTheWay(packed, mounts)).toEqual(['data', '.deep/x']);
  expect(placeDotfiles(packed, mounts).map(({ path }) => path)).toEqual(['.a']);
});

test('no path leaves the home folder, and no two collide', () => {
  const part = fc.constantFrom('a', 'b', '.', '..', '', '~', 'home', 'work', '.ssh');
  const path = fc.array(part, { maxLength: 6 }).map((parts) => parts.join('/'));
  const files = fc.array(
    path.map((text) => file(text)),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(files, files, files, (own, project, domain) => {
      const paths = place(own, project, domain).map((placed) => placed.path);
      for (const one of paths) {
        expect(normalize(join('/home/work', one))).toBe(`/home/work/${one}`);
        const others = paths.filter((other) => other !== one);
        expect(others.some((other) => other.startsWith(`${one}/`))).toBe(false);
      }
      expect(new Set(paths).size).toBe(paths.length);
    }),
    { numRuns: 500 },
  );
});

test("the owner's SSH key lets the owner in, unless the owner brought keys along", () => {
  const key = { publicKey: 'ssh-ed25519 AAAA me', privateKey: 'secret' };
  const paths = (...args: Parameters<typeof withSshKey>) =>
    withSshKey(...args).map(({ path, mode }) => `${path} ${mode.toString(8)}`);
  expect(paths([], key, [])).toEqual(['.ssh/authorized_keys 600', 'id_container 600']);
  expect(paths([], { ...key, privateKey: null }, [])).toEqual(['.ssh/authorized_keys 600']);
  expect(paths([], { publicKey: null, privateKey: null }, [])).toEqual([]);
  expect(paths([], key, ['/home/work/.ssh'])).toEqual([]);
  const own = place([file('.ssh/authorized_keys')]);
  expect(paths(own, key, [])).toEqual(['.ssh/authorized_keys 644']);
});
