/**
 * Which agents have which images, as their heartbeats tell. Kept in the live store: when it is lost,
 * the next heartbeats fill it again.
 */
import * as v from 'valibot';
import type { LiveStore } from '../../stores/live/port.ts';
import type { Db } from '../db/connect.ts';
import { normalizeArchitecture } from './reference.ts';
import * as store from './store.ts';

/** Hash: agent → JSON list of its images' keys. */
const KEY = 'agent-images';
const imageKeys = v.pipe(v.string(), v.parseJson(), v.array(v.string()));

interface ImageName {
  /** `registry/project/name:tag`. */
  readonly canonical: string;
  readonly architecture: string;
}

const keyOf = (image: ImageName): string =>
  `${image.canonical} ${normalizeArchitecture(image.architecture)}`;

/** Remembers all images of an agent in place of those it had before. */
export function noteAgentImages(
  live: LiveStore,
  agentId: string,
  images: readonly ImageName[],
): Promise<void> {
  return live.hashSet(KEY, { [agentId]: JSON.stringify(images.map(keyOf)) });
}

/** Where images are: asks which agents have one of the same name and architecture. */
export type ImageLocations = (image: ImageName) => readonly string[];

/** The images that agents which are alive have now. */
export async function loadImageLocations(live: LiveStore, sql: Db): Promise<ImageLocations> {
  const [byAgent, alive] = await Promise.all([live.hashGetAll(KEY), store.selectAliveAgents(sql)]);
  const agents = new Map<string, string[]>();
  for (const agentId of alive) {
    const text = byAgent[agentId];
    if (text === undefined) continue;
    for (const key of v.parse(imageKeys, text)) {
      const known = agents.get(key);
      if (known) known.push(agentId);
      else agents.set(key, [agentId]);
    }
  }
  return (image) => agents.get(keyOf(image)) ?? [];
}
