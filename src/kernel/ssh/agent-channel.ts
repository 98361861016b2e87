/**
 * Opens a channel to the agent of an SSH client. ssh2 speaks this part of the protocol but offers it
 * to its client side only, so its parts are put together here; the tests hold it to its version.
 */
import type { Connection, ServerChannel } from 'ssh2';
import * as v from 'valibot';

const WINDOW_BYTES = 2 * 1024 * 1024;
const PACKET_BYTES = 32 * 1024;
const TYPE = 'auth-agent@openssh.com';

type Opened = (error: Error | undefined, channel: ServerChannel | undefined) => void;

const parts = v.object({
  _chanMgr: v.custom<{ add(opened: Opened): number }>(
    (value) => typeof value === 'object' && value !== null && 'add' in value,
  ),
  _protocol: v.custom<{ openssh_authAgent(id: number, window: number, packet: number): void }>(
    (value) => typeof value === 'object' && value !== null && 'openssh_authAgent' in value,
  ),
});

/** @param opened told of the channel, or why there is none. */
export function agentChannel(connection: Connection, opened: Opened): void {
  const { _chanMgr: channels, _protocol: protocol } = v.parse(parts, connection);
  const id = channels.add(
    Object.assign((...args: Parameters<Opened>) => opened(...args), { type: TYPE }),
  );
  // -1: too many channels.
  if (id >= 0) protocol.openssh_authAgent(id, WINDOW_BYTES, PACKET_BYTES);
  else opened(new Error('too many channels'), undefined);
}
