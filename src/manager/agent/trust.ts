/** Whose word counts: the public keys under which agents are known in the configuration store. */
import * as v from 'valibot';
import type { ConfigStore } from '../../stores/config/port.ts';

/** An Ed25519 public key: base64url of 32 bytes. */
const publicKey = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/));
const AGENT_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const keyPath = (agentId: string) => `nodes/agents/${agentId}/public-key`;

/** The key that `agentId` must sign with; null when the agent is not known. */
export async function agentKey(config: ConfigStore, agentId: string): Promise<string | null> {
  if (!AGENT_ID.test(agentId)) return null;
  const parsed = v.safeParse(publicKey, await config.get(keyPath(agentId)));
  return parsed.success ? parsed.output : null;
}

/** Makes an agent known; later calls replace its key. @throws ValiError for malformed values. */
export async function trustAgent(config: ConfigStore, agentId: string, key: string): Promise<void> {
  v.parse(v.pipe(v.string(), v.regex(AGENT_ID)), agentId);
  await config.put(keyPath(agentId), v.parse(publicKey, key));
}

/** As `trustAgent`, for a name that nobody has. @returns whether it was still free. */
export async function trustNewAgent(
  config: ConfigStore,
  agentId: string,
  key: string,
): Promise<boolean> {
  v.parse(v.pipe(v.string(), v.regex(AGENT_ID)), agentId);
  return await config.compareAndPut(keyPath(agentId), null, v.parse(publicKey, key));
}

/** From now on the agent's calls are refused. @returns whether it was known. */
export async function distrustAgent(config: ConfigStore, agentId: string): Promise<boolean> {
  if (!AGENT_ID.test(agentId)) return false;
  return await config.delete(keyPath(agentId));
}
