/** One end of an HTTP/2 connection that says what a test wants said, also what breaks the rules. */
import { connect as dial, type Socket } from 'node:net';
import {
  FLAG,
  FRAME,
  type Frame,
  FrameReader,
  frame,
  headFrames,
  PREFACE,
  settingsFrame,
} from '../appproxy/worker/h2/frames.ts';
import { encodeBlock, HpackDecoder } from '../appproxy/worker/h2/hpack.ts';
import { until } from './until.ts';

const MIB = 1024 * 1024;

/** One end of a connection that says exactly what it is told to. */
export class Peer {
  static readonly #sockets: Socket[] = [];
  readonly socket: Socket;
  readonly heard: Frame[] = [];
  readonly heads: { streamId: number; fields: Record<string, string> }[] = [];
  isClosed = false;
  readonly #reader = new FrameReader();
  readonly #decoder = new HpackDecoder();

  constructor(socket: Socket, isServer: boolean, start: 'settings' | 'no settings' = 'settings') {
    this.socket = socket;
    Peer.#sockets.push(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
    });
    let isAwaited = isServer;
    socket.on('data', (chunk) => {
      this.#reader.push(Buffer.from(chunk));
      if (isAwaited && this.#reader.take(PREFACE.length) === null) return;
      isAwaited = false;
      for (let next = this.#reader.next(); next !== null; next = this.#reader.next()) {
        this.heard.push(next);
        if (next.type !== FRAME.HEADERS) continue;
        const fields = this.#decoder.decode(next.payload, MIB) ?? [];
        const named = Object.fromEntries(fields.map(({ name, value }) => [name, value]));
        this.heads.push({ streamId: next.streamId, fields: named });
      }
    });
    if (!isServer) this.send(PREFACE);
    if (start === 'settings') this.send(settingsFrame(new Map()));
  }

  static to(port: number, start: 'settings' | 'no settings' = 'settings'): Peer {
    return new Peer(dial(port, '127.0.0.1'), false, start);
  }

  /** Breaks all connections off. */
  static destroyAll(): void {
    for (const socket of Peer.#sockets.splice(0)) socket.destroy();
  }

  send(...parts: Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  async hears(type: number, streamId: number): Promise<Frame> {
    const found = () => this.heard.find((one) => one.type === type && one.streamId === streamId);
    return await until(() => found() ?? false, `frame ${type} of stream ${streamId}`);
  }

  async closes(): Promise<void> {
    await until(() => this.isClosed, 'the connection is closed');
  }

  /** The code that the connection was ended with. */
  async goesAway(): Promise<number> {
    return (await this.hears(FRAME.GOAWAY, 0)).payload.readUInt32BE(4);
  }
}

export type Fields = Readonly<Record<string, string>>;
export const block = (fields: Fields) =>
  encodeBlock(
    Object.entries(fields).map(([name, value]) => ({ name, value, isNeverIndexed: false })),
    false,
  );
export const GET: Fields = { ':method': 'GET', ':scheme': 'http', ':authority': 'h', ':path': '/' };
export const head = (streamId: number, fields: Fields, isWhole = true) =>
  headFrames(streamId, block(fields), isWhole);
export const data = (streamId: number, text: string, isLast = true) =>
  frame(FRAME.DATA, isLast ? FLAG.END_STREAM : 0, streamId, Buffer.from(text));

/** Writes until nothing more is taken. @param more the same each time, or what comes next. @returns bytes. */
export async function fill(socket: Socket, more: Buffer | (() => Buffer)): Promise<number> {
  let [written, before, stillness] = [0, -1, 0];
  await until(
    () => {
      stillness = written === before && socket.writableNeedDrain ? stillness + 1 : 0;
      before = written;
      while (!socket.writableNeedDrain && written < 512 * MIB) {
        const bytes = typeof more === 'function' ? more() : more;
        socket.write(bytes);
        written += bytes.length;
      }
      return stillness > 20;
    },
    'nothing more is taken',
    45_000,
  );
  return written;
}
