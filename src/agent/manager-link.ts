/**
 * Finds the cluster's managers in the configuration store and keeps calling one that answers. An
 * agent that is given one address uses that and needs no store.
 */
import * as v from 'valibot';
import type { Clock } from '../common/clock.ts';
import { BackendError, errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { managerApi } from '../common/protocol/manager.ts';
import type { Random } from '../common/random.ts';
import type { ApiOf } from '../common/rpc/api.ts';
import { rpcClient } from '../common/rpc/client.ts';
import type { NodeKeys } from '../common/rpc/signature.ts';
import type { ConfigStore, Subscription } from '../stores/config/port.ts';

const PREFIX = 'nodes/manager-rpc';
const MAX_MANAGERS = 100;
const WAITING_NOTICE_MS = 5_000;

const managerEntry = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ addr: v.pipe(v.string(), v.regex(/^https?:\/\//)), publicKey: v.string() }),
);
/** Where a manager listens for agents, and its public key. */
export type ManagerContact = v.InferOutput<typeof managerEntry>;

/** The managers that the store lists now; entries that make no sense are left out. */
export async function listedManagers(config: ConfigStore): Promise<ManagerContact[]> {
  const entries = [...(await config.list(PREFIX)).values()];
  return entries.flatMap((text) => {
    const parsed = v.safeParse(managerEntry, text);
    return parsed.success ? [parsed.output] : [];
  });
}

type ManagerCalls = ApiOf<typeof managerApi>;

export interface ManagerLinkOptions {
  keys: NodeKeys;
  clock: Clock;
  random: Random;
  log: Logger;
}

export class ManagerLink {
  readonly #options: ManagerLinkOptions;
  readonly #contacts = new Map<string, ManagerContact>();
  #client: { readonly id: string; readonly calls: ManagerCalls } | null = null;
  #subscription: Subscription | null = null;
  #found = Promise.withResolvers<void>();

  private constructor(options: ManagerLinkOptions) {
    this.#options = options;
  }

  /** A link to one manager at a known address. */
  static toAddress(contact: ManagerContact, options: ManagerLinkOptions): ManagerLink {
    const link = new ManagerLink(options);
    link.#set('configured', contact);
    return link;
  }

  /** A link to the managers listed in the store, now and later. */
  static async discover(config: ConfigStore, options: ManagerLinkOptions): Promise<ManagerLink> {
    const link = new ManagerLink(options);
    const note = (key: string, value: string | null) => {
      const parsed = value === null ? null : v.safeParse(managerEntry, value);
      if (parsed?.success) link.#set(key, parsed.output);
      else link.#remove(key);
      if (parsed?.success === false) options.log.warn('A listed manager is not usable', { key });
    };
    link.#subscription = await config.watch(PREFIX, (change) =>
      note(change.key, change.type === 'put' ? change.value : null),
    );
    for (const [key, value] of await config.list(PREFIX)) note(key, value);
    return link;
  }

  /** Whether a key belongs to a manager of this cluster. */
  isTrusted(publicKey: string): boolean {
    return [...this.#contacts.values()].some((contact) => contact.publicKey === publicKey);
  }

  /** Waits until there is a manager, telling from time to time that it waits. */
  async waitForManager(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (this.#contacts.size === 0) {
      log.info(`Waiting for a manager to be listed under ${PREFIX}`);
      const found = this.#found.promise;
      await Promise.race([found, clock.sleep(WAITING_NOTICE_MS, signal)]);
    }
  }

  /** The manager's calls. One that can't be reached is left for the next in the list. */
  readonly calls: ManagerCalls = {
    heartbeat: (params) => this.#call((manager) => manager.heartbeat(params)),
    deliver: (params) => this.#call((manager) => manager.deliver(params)),
    reportStatistics: (params) => this.#call((manager) => manager.reportStatistics(params)),
    goodbye: (params) => this.#call((manager) => manager.goodbye(params)),
  };

  async close(): Promise<void> {
    await this.#subscription?.close();
  }

  #set(id: string, contact: ManagerContact): void {
    if (this.#contacts.size >= MAX_MANAGERS && !this.#contacts.has(id)) return;
    this.#contacts.set(id, contact);
    if (this.#client?.id === id) this.#client = null;
    this.#found.resolve();
    this.#found = Promise.withResolvers<void>();
  }

  #remove(id: string): void {
    this.#contacts.delete(id);
    if (this.#client?.id === id) this.#client = null;
  }

  #current(): { readonly id: string; readonly calls: ManagerCalls } {
    if (this.#client) return this.#client;
    const [entry] = this.#contacts;
    if (!entry) {
      throw new BackendError('AgentConnectionUnavailable', 'No manager is listed at present.');
    }
    const [id, { addr, publicKey }] = entry;
    const { keys, clock, random } = this.#options;
    const calls = rpcClient(managerApi, { baseUrl: addr, keys, peer: publicKey, clock, random });
    this.#client = { id, calls };
    return this.#client;
  }

  async #call<T>(use: (manager: ManagerCalls) => Promise<T>): Promise<T> {
    const { id, calls } = this.#current();
    try {
      return await use(calls);
    } catch (error) {
      const isAway =
        error instanceof BackendError && error.problem === 'AgentConnectionUnavailable';
      if (isAway) this.#setBack(id);
      throw error;
    }
  }

  /** Puts a manager that does not answer at the end of the list. */
  #setBack(id: string): void {
    const contact = this.#contacts.get(id);
    if (!contact || this.#contacts.size < 2) return;
    this.#contacts.delete(id);
    this.#contacts.set(id, contact);
    if (this.#client?.id === id) this.#client = null;
    this.#options.log.warn('A manager does not answer; trying another', { manager: id });
  }
}

/** Makes this agent known to the managers. @throws BackendError when the store refuses. */
export async function publishAgentKey(
  config: ConfigStore,
  agentId: string,
  publicKey: string,
): Promise<void> {
  try {
    await config.put(`nodes/agents/${agentId}/public-key`, publicKey);
  } catch (error) {
    throw new BackendError(
      'ServiceUnavailable',
      `The agent's public key could not be published: ${errorMessage(error)}`,
      { cause: error },
    );
  }
}
