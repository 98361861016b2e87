/** The packets of SFTP version 3 (draft-ietf-secsh-filexfer-02), read and written. */

export const request = {
  init: 1,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  extended: 200,
} as const;

export const response = {
  version: 2,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extendedReply: 201,
} as const;

export const status = {
  ok: 0,
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  unsupported: 8,
} as const;

const flag = { size: 1, owner: 2, permissions: 4, times: 8, extended: 0x80000000 } as const;

/** What is known, or is to become, of a file. Times in seconds since 1970. */
export interface Attributes {
  readonly size?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Type and permission bits. */
  readonly mode?: number;
  readonly atime?: number;
  readonly mtime?: number;
}

/** A packet that is shorter than it says. */
export class MalformedPacket extends Error {}

export class PacketReader {
  readonly #data: Buffer;
  #at: number;

  constructor(data: Buffer, at = 0) {
    this.#data = data;
    this.#at = at;
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#data.length) throw new MalformedPacket('the packet ends early');
    this.#at = at + count;
    return at;
  }

  byte(): number {
    return this.#data.readUInt8(this.#take(1));
  }

  uint32(): number {
    return this.#data.readUInt32BE(this.#take(4));
  }

  /** A position in a file. @throws MalformedPacket beyond what numbers hold exactly. */
  uint64(): number {
    const value = Number(this.#data.readBigUInt64BE(this.#take(8)));
    if (!Number.isSafeInteger(value)) throw new MalformedPacket('the position is too large');
    return value;
  }

  bytes(): Buffer {
    const length = this.uint32();
    const at = this.#take(length);
    return this.#data.subarray(at, at + length);
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  attributes(): Attributes {
    const flags = this.uint32();
    const size = flags & flag.size ? { size: this.uint64() } : {};
    const owner = flags & flag.owner ? { uid: this.uint32(), gid: this.uint32() } : {};
    const mode = flags & flag.permissions ? { mode: this.uint32() } : {};
    const times = flags & flag.times ? { atime: this.uint32(), mtime: this.uint32() } : {};
    return { ...size, ...owner, ...mode, ...times };
  }
}

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

export const uint64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};

export const string = (value: string | Buffer): Buffer => {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([uint32(bytes.length), bytes]);
};

export function attributes({ size, uid, gid, mode, atime, mtime }: Attributes): Buffer {
  let flags = 0;
  const parts: Buffer[] = [];
  const add = (bit: number, ...values: Buffer[]) => {
    flags |= bit;
    parts.push(...values);
  };
  if (size !== undefined) add(flag.size, uint64(size));
  if (uid !== undefined && gid !== undefined) add(flag.owner, uint32(uid), uint32(gid));
  if (mode !== undefined) add(flag.permissions, uint32(mode));
  if (atime !== undefined && mtime !== undefined) add(flag.times, uint32(atime), uint32(mtime));
  return Buffer.concat([uint32(flags), ...parts]);
}

/** A whole packet: its length, type, the request it answers (if any), and what it says. */
export function packet(type: number, id: number | null, ...parts: readonly Buffer[]): Buffer {
  const head = Buffer.allocUnsafe(id === null ? 5 : 9);
  const length = parts.reduce((sum, part) => sum + part.length, head.length - 4);
  head.writeUInt32BE(length);
  head.writeUInt8(type, 4);
  if (id !== null) head.writeUInt32BE(id, 5);
  return Buffer.concat([head, ...parts], length + 4);
}
