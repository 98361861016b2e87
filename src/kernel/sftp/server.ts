/**
 * SFTP version 3 with the extensions of OpenSSH, over a channel. One request is performed at a time
 * and none is read before the last answer was taken, so a client can't make memory grow.
 */
import type { Duplex } from 'node:stream';
import { errorCode, errorMessage } from '../../common/errors.ts';
import { chunksOf, writeOut } from '../ssh/streams.ts';
import { Handles } from './handles.ts';
import { type Answer, extensions, perform, Refusal, type Workspace } from './operations.ts';
import { packets } from './packets.ts';
import {
  MalformedPacket,
  PacketReader,
  packet,
  request,
  response,
  status,
  string,
  uint32,
} from './wire.ts';

const VERSION = 3;

const codes: Readonly<Record<string, number>> = {
  ENOENT: status.noSuchFile,
  ENOTDIR: status.noSuchFile,
  ELOOP: status.noSuchFile,
  EACCES: status.permissionDenied,
  EPERM: status.permissionDenied,
  EROFS: status.permissionDenied,
};

function refusal(error: unknown): Answer {
  const code =
    error instanceof Refusal
      ? error.code
      : error instanceof MalformedPacket
        ? status.badMessage
        : (codes[errorCode(error)] ?? status.failure);
  return [response.status, uint32(code), string(errorMessage(error)), string('')];
}

async function answer(data: Buffer, space: Workspace): Promise<Buffer> {
  const reader = new PacketReader(data);
  const type = reader.byte();
  if (type === request.init) {
    const offered = Object.entries(extensions).flat().map(string);
    return packet(response.version, null, uint32(VERSION), ...offered);
  }
  const id = reader.uint32();
  try {
    const [kind, ...parts] = await perform(type, reader, space);
    return packet(kind, id, ...parts);
  } catch (error) {
    const [kind, ...parts] = refusal(error);
    return packet(kind, id, ...parts);
  }
}

/** Serves a client until it leaves or says what can't be understood. Never rejects. */
export async function serveSftp(channel: Duplex, home: string): Promise<void> {
  const handles = new Handles();
  try {
    for await (const data of packets(chunksOf(channel))) {
      if (!(await writeOut(channel, await answer(data, { home, handles })))) break;
    }
  } catch {
    // Broken off, or no SFTP: there is nobody to tell.
  } finally {
    await handles.closeAll();
  }
}
