/** The stored form of dotfiles: MessagePack, a list of maps, as upstream writes and reads it. */
import { decode, encode } from '@msgpack/msgpack';
import * as v from 'valibot';

/** A small file that every new session of its owner is to find in its home folder. */
export interface Dotfile {
  readonly path: string;
  /** Three octal digits, e.g. "644". */
  readonly perm: string;
  readonly data: string;
}

const stored = v.array(v.object({ path: v.string(), perm: v.string(), data: v.string() }));

/** @throws when the bytes are no such list. */
export const unpackDotfiles = (bytes: Uint8Array): Dotfile[] => v.parse(stored, decode(bytes));

export const packDotfiles = (files: readonly Dotfile[]): Uint8Array =>
  encode(files.map(({ path, perm, data }) => ({ path, perm, data })));
