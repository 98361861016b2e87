/** Sessions as people name them. */
import type { Client } from '../../client/index.ts';

const UUID = /^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i;

/** The id of a session given by id or by a live session's name; null when there is no such name. */
export async function sessionIdOf(client: Client, reference: string): Promise<string | null> {
  if (UUID.test(reference)) return reference;
  const matches = await client.session.match(reference);
  return matches.find((match) => match.name === reference)?.id ?? null;
}
