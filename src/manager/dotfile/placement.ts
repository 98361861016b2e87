/** Which dotfiles a session finds in its home folder. Pure. */
import { homePathParts } from '../../common/home-path.ts';
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

/**
 * The files of a session. A user's own win over the project's, and these over the domain's; a file
 * that is in the way of a stronger one is left out, as is one that lies outside the home folder.
 */
export function placeDotfiles(packed: {
  readonly domain: Uint8Array | null;
  readonly project: Uint8Array | null;
  readonly keypair: Uint8Array | null;
}): Placed[] {
  const placed: Placed[] = [];
  for (const holder of [packed.keypair, packed.project, packed.domain]) {
    for (const { path, perm, data } of readable(holder)) {
      const parts = homePathParts(path);
      if (parts === null || !/^[0-7]{3,4}$/.test(perm)) continue;
      const own = parts.join('/');
      if (placed.some((other) => collide(other.path, own))) continue;
      placed.push({ path: own, mode: modeOf(perm), data });
    }
  }
  return placed;
}
