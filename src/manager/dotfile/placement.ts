/** Which dotfiles a session finds in its home folder. Pure. */
import { HOME, homePathParts } from '../../common/home-path.ts';
import type { KernelSpec } from '../../common/protocol/kernel.ts';
import { type Dotfile, unpackDotfiles } from './format.ts';

type Placed = KernelSpec['dotfiles'][number];

/** The mode of `755`; without the bits that lend rights. */
const modeOf = (perm: string): number => Number.parseInt(perm, 8) & 0o777;

function readable(packed: Uint8Array | null): Dotfile[] {
  if (packed === null || packed.byteLength === 0) return [];
  try {
    return unpackDotfiles(packed);
  } catch {
    // Written by something else in another form; a session does not fail for it. Listing tells.
    return [];
  }
}

/** Whether one of the paths is the other or a folder above it. */
const collide = (one: string, other: string): boolean =>
  one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);

/** The dotfiles as they are kept. */
export interface PackedDotfiles {
  readonly domain: Uint8Array | null;
  readonly project: Uint8Array | null;
  readonly keypair: Uint8Array | null;
}

/** What is mounted below the home folder, as paths in it. */
const inHome = (mounts: readonly string[]): string[] =>
  mounts.flatMap((path) => {
    const parts = path.startsWith(`${HOME}/`) ? homePathParts(path.replace(/\/+$/, '')) : null;
    return parts === null ? [] : [parts.join('/')];
  });

/** The dotfiles that lie where a folder is to be mounted, or where a folder above it has to be. */
export function dotfilesInTheWay(packed: PackedDotfiles, mounts: readonly string[]): string[] {
  const places = inHome(mounts);
  return placeDotfiles(packed, [])
    .map(({ path }) => path)
    .filter((path) => places.some((place) => place === path || place.startsWith(`${path}/`)));
}

/**
 * The files of a session. A user's own win over the project's, and these over the domain's; a file
 * that is in the way of a stronger one or of a mounted folder is left out, as is one that a folder
 * would hide or that lies outside the home folder.
 * @param mounts where folders are mounted.
 */
export function placeDotfiles(packed: PackedDotfiles, mounts: readonly string[]): Placed[] {
  const places = inHome(mounts);
  const placed: Placed[] = [];
  for (const holder of [packed.keypair, packed.project, packed.domain]) {
    for (const { path, perm, data } of readable(holder)) {
      const parts = homePathParts(path);
      if (parts === null || !/^[0-7]{3,4}$/.test(perm)) continue;
      const own = parts.join('/');
      if (places.some((place) => collide(place, own))) continue;
      if (placed.some((other) => collide(other.path, own))) continue;
      placed.push({ path: own, mode: modeOf(perm), data });
    }
  }
  return placed;
}

const AUTHORIZED_KEYS = '.ssh/authorized_keys';
/** Where clients fetch the private half from. */
const PRIVATE_KEY = 'id_container';

/**
 * The files with the owner's SSH key among them, which lets the owner in. Files of the owner's own and
 * mounted folders are not touched: whoever brings authorized keys along decides who comes in.
 */
export function withSshKey(
  placed: readonly Placed[],
  key: { readonly publicKey: string | null; readonly privateKey: string | null },
  mounts: readonly string[],
): Placed[] {
  const taken = [...inHome(mounts), ...placed.map(({ path }) => path)];
  const isFree = (path: string) => !taken.some((other) => collide(other, path));
  const { publicKey, privateKey } = key;
  if (!publicKey || !isFree(AUTHORIZED_KEYS)) return [...placed];
  const file = (path: string, text: string) => ({ path, mode: 0o600, data: `${text.trim()}\n` });
  const secret = privateKey && isFree(PRIVATE_KEY) ? [file(PRIVATE_KEY, privateKey)] : [];
  return [...placed, file(AUTHORIZED_KEYS, publicKey), ...secret];
}
