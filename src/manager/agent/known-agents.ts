/** The agents that may call this manager, by key, as the configuration store lists them. */
import type { ConfigStore, Subscription } from '../../stores/config/port.ts';
import { agentKey } from './trust.ts';

const PREFIX = 'nodes/agents';
const KEY_ENTRY = /^nodes\/agents\/([^/]+)\/public-key$/;

/** Follows the list, so that a call costs no look-up. */
export class KnownAgents {
  readonly #keys = new Map<string, string>();
  readonly #config: ConfigStore;
  #subscription: Subscription | null = null;

  private constructor(config: ConfigStore) {
    this.#config = config;
  }

  static async open(config: ConfigStore): Promise<KnownAgents> {
    const known = new KnownAgents(config);
    const set = (key: string, value: string | null) => {
      const agentId = KEY_ENTRY.exec(key)?.[1];
      if (agentId === undefined) return;
      if (value === null) known.#keys.delete(agentId);
      else known.#keys.set(agentId, value);
    };
    known.#subscription = await config.watch(PREFIX, (change) =>
      set(change.key, change.type === 'put' ? change.value : null),
    );
    for (const [key, value] of await config.list(PREFIX)) set(key, value);
    return known;
  }

  /** Whether any agent has this key. */
  has(publicKey: string): boolean {
    return [...this.#keys.values()].includes(publicKey);
  }

  /** Whether this is the agent's key; asks the store if the news of it may not have come yet. */
  async owns(agentId: string, publicKey: string): Promise<boolean> {
    return (
      this.#keys.get(agentId) === publicKey || (await agentKey(this.#config, agentId)) === publicKey
    );
  }

  async close(): Promise<void> {
    await this.#subscription?.close();
  }
}
