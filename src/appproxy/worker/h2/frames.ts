/** Frames of HTTP/2 (RFC 9113, section 4): found in the bytes as they come, and written. */

export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const FLAG = { ACK: 1, END_STREAM: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 0x20 } as const;

export const SETTING = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
} as const;

/** Codes of errors (RFC 9113, section 7). */
export const CODE = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const;

/** What a client sends before its first frame. */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** The connection cannot go on. */
export class H2Error extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  /** Of HEADERS: the whole block, also of its CONTINUATIONs, without padding. */
  readonly payload: Buffer;
  /** The frame as it came, but for HEADERS. */
  readonly whole: Buffer;
}

const HEAD_BYTES = 9;
/** Nobody is told that more is taken, so this is what both ends keep to. Bytes. */
const MAX_PAYLOAD_BYTES = 16_384;
/** Longest block of a head, and the pieces it may come in. */
const MAX_BLOCK_BYTES = 64 * 1024;
const MAX_BLOCK_PIECES = 64;
const STREAM_ID = 0x7fffffff;

/** Bytes that every frame of a type has; types of any length are not listed. */
const LENGTHS: Readonly<Record<number, number>> = {
  [FRAME.RST_STREAM]: 4,
  [FRAME.PING]: 8,
  [FRAME.WINDOW_UPDATE]: 4,
};

/** A head that goes on in the next frame. */
interface BlockInPieces {
  readonly first: Frame;
  readonly pieces: Buffer[];
  bytes: number;
}

/** Cuts what one side sends into frames. At most one frame, and one block, waits for its rest. */
export class FrameReader {
  #unread: Buffer | null = null;
  #block: BlockInPieces | null = null;

  push(chunk: Buffer): void {
    this.#unread = this.#unread === null ? chunk : Buffer.concat([this.#unread, chunk]);
  }

  /** Takes bytes that come before the frames. @returns null while there are not so many. */
  take(bytes: number): Buffer | null {
    const unread = this.#unread;
    if (unread === null || unread.length < bytes) return null;
    this.#unread = unread.length === bytes ? null : unread.subarray(bytes);
    return unread.subarray(0, bytes);
  }

  /** What has come and was not taken. */
  get unread(): Buffer {
    return this.#unread ?? Buffer.alloc(0);
  }

  /** @returns the next frame, or null until more has come. @throws H2Error */
  next(): Frame | null {
    for (;;) {
      const frame = this.#cut();
      if (frame === null) return null;
      const complete = this.#block === null ? this.#begin(frame) : this.#goOn(this.#block, frame);
      if (complete !== null) return complete;
    }
  }

  #cut(): Frame | null {
    const unread = this.#unread;
    if (unread === null || unread.length < HEAD_BYTES) return null;
    const length = unread.readUIntBE(0, 3);
    const type = unread[3] ?? 0;
    const exact = LENGTHS[type];
    if (length > MAX_PAYLOAD_BYTES || (exact !== undefined && length !== exact)) {
      throw new H2Error(CODE.FRAME_SIZE_ERROR, 'A frame has a length that it cannot have.');
    }
    const whole = this.take(HEAD_BYTES + length);
    if (whole === null) return null;
    return {
      ...{ type, whole, payload: whole.subarray(HEAD_BYTES) },
      flags: whole[4] ?? 0,
      streamId: whole.readUInt32BE(5) & STREAM_ID,
    };
  }

  #begin(frame: Frame): Frame | null {
    if (frame.type === FRAME.CONTINUATION) {
      throw new H2Error(CODE.PROTOCOL_ERROR, 'A head goes on that has not begun.');
    }
    if (frame.type !== FRAME.HEADERS) return frame;
    const first = { ...frame, payload: blockOf(frame) };
    if ((frame.flags & FLAG.END_HEADERS) !== 0) return first;
    this.#block = { first, pieces: [first.payload], bytes: first.payload.length };
    return null;
  }

  #goOn(block: BlockInPieces, frame: Frame): Frame | null {
    if (frame.type !== FRAME.CONTINUATION || frame.streamId !== block.first.streamId) {
      throw new H2Error(CODE.PROTOCOL_ERROR, 'A head is interrupted by another frame.');
    }
    block.pieces.push(frame.payload);
    block.bytes += frame.payload.length;
    if (block.bytes > MAX_BLOCK_BYTES || block.pieces.length > MAX_BLOCK_PIECES) {
      throw new H2Error(CODE.ENHANCE_YOUR_CALM, 'A head is too long.');
    }
    if ((frame.flags & FLAG.END_HEADERS) === 0) return null;
    this.#block = null;
    return { ...block.first, payload: Buffer.concat(block.pieces) };
  }
}

/** The part of a head's block that is in a HEADERS frame. */
function blockOf({ flags, payload }: Frame): Buffer {
  const padding = (flags & FLAG.PADDED) === 0 ? 0 : 1 + (payload[0] ?? 0);
  const from = Math.min(padding, 1) + ((flags & FLAG.PRIORITY) === 0 ? 0 : 5);
  const to = payload.length - Math.max(0, padding - 1);
  if (from > to) throw new H2Error(CODE.PROTOCOL_ERROR, 'A frame has more padding than room.');
  return payload.subarray(from, to);
}

export function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const whole = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  whole.writeUIntBE(payload.length, 0, 3);
  whole[3] = type;
  whole[4] = flags;
  whole.writeUInt32BE(streamId, 5);
  whole.set(payload, HEAD_BYTES);
  return whole;
}

/** A head, in as many frames as it needs. */
export function headFrames(streamId: number, block: Buffer, endsStream: boolean): Buffer {
  const flags = endsStream ? FLAG.END_STREAM : 0;
  if (block.length <= MAX_PAYLOAD_BYTES)
    return frame(FRAME.HEADERS, flags | FLAG.END_HEADERS, streamId, block);
  const first = block.subarray(0, MAX_PAYLOAD_BYTES);
  const frames = [frame(FRAME.HEADERS, flags, streamId, first)];
  for (let at = MAX_PAYLOAD_BYTES; at < block.length; at += MAX_PAYLOAD_BYTES) {
    const piece = block.subarray(at, at + MAX_PAYLOAD_BYTES);
    const isLast = at + MAX_PAYLOAD_BYTES >= block.length;
    frames.push(frame(FRAME.CONTINUATION, isLast ? FLAG.END_HEADERS : 0, streamId, piece));
  }
  return Buffer.concat(frames);
}

function uint32(...values: number[]): Buffer {
  const out = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) out.writeUInt32BE(value, 4 * at);
  return out;
}

export const resetFrame = (streamId: number, code: number): Buffer =>
  frame(FRAME.RST_STREAM, 0, streamId, uint32(code));

/** Says that no stream after `lastId` was looked at. */
export const goAwayFrame = (lastId: number, code: number, message = ''): Buffer =>
  frame(FRAME.GOAWAY, 0, 0, Buffer.concat([uint32(lastId, code), Buffer.from(message)]));

/** Lets the other side send so many bytes more, on all streams together. */
export const creditFrame = (bytes: number): Buffer =>
  frame(FRAME.WINDOW_UPDATE, 0, 0, uint32(bytes));

export type Settings = ReadonlyMap<number, number>;

export function settingsFrame(settings: Settings): Buffer {
  const payload = Buffer.alloc(6 * settings.size);
  let at = 0;
  for (const [key, value] of settings) {
    payload.writeUInt16BE(key, at);
    payload.writeUInt32BE(value, at + 2);
    at += 6;
  }
  return frame(FRAME.SETTINGS, 0, 0, payload);
}

export const SETTINGS_TAKEN = frame(FRAME.SETTINGS, FLAG.ACK, 0, Buffer.alloc(0));

/** @throws H2Error */
export function readSettings({ payload, streamId }: Frame): Map<number, number> {
  if (payload.length % 6 !== 0) {
    throw new H2Error(CODE.FRAME_SIZE_ERROR, 'The settings have a length that they cannot have.');
  }
  if (streamId !== 0) throw new H2Error(CODE.PROTOCOL_ERROR, 'Settings are for no single stream.');
  const settings = new Map<number, number>();
  for (let at = 0; at < payload.length; at += 6) {
    settings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
  }
  return settings;
}
