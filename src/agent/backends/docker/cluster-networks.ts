/**
 * The networks of clusters: on each agent one bridge per session of several kernels, on which they find
 * each other by name. A network is there while a kernel of its session is.
 */
import * as v from 'valibot';
import { type DockerEngine, DockerError, isMissing } from '../../../common/docker/engine.ts';
import { LABEL_PREFIX } from '../../../common/images/labels.ts';
import type { KernelSpec } from '../../../common/protocol/kernel.ts';
import { isClustered } from '../cluster-files.ts';
import { INSTANCE_LABEL, SESSION_LABEL } from './container-spec.ts';

const NETWORK_LABEL = `${LABEL_PREFIX}cluster-network`;

const listed = v.array(
  v.object({
    Id: v.string(),
    Name: v.string(),
    Labels: v.nullish(v.record(v.string(), v.string()), {}),
  }),
);

/**
 * The name of a session's network. That of a multi-node session names the agent's instance too, since
 * another agent of the session may use the same daemon.
 */
export function networkName({ sessionId, cluster }: KernelSpec, instance: string): string {
  return cluster.mode === 'single-node'
    ? `bai-singlenode-${sessionId}`
    : `bai-multinode-${sessionId}-${instance.slice(0, 8)}`;
}

/** Whether a kernel's session has a network of this kind: one in its host's network needs none. */
export const hasClusterNetwork = (spec: KernelSpec): boolean =>
  isClustered(spec) && !spec.useHostNetwork;

export class ClusterNetworks {
  readonly #engine: DockerEngine;
  readonly #instance: string;
  /** Session → what is done to its network at the moment, in order. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(engine: DockerEngine, instance: string) {
    this.#engine = engine;
    this.#instance = instance;
  }

  /** Makes the network of a kernel's session unless it is there. @returns its name. */
  ensure(spec: KernelSpec): Promise<string> {
    const { sessionId } = spec;
    return this.#inTurn(sessionId, async () => {
      const [existing] = await this.#find(sessionId);
      if (existing) return existing.Name;
      const name = networkName(spec, this.#instance);
      await this.#engine.call((docker, abortSignal) =>
        docker.createNetwork({
          Name: name,
          Driver: 'bridge',
          CheckDuplicate: true,
          Labels: {
            [NETWORK_LABEL]: '1',
            [INSTANCE_LABEL]: this.#instance,
            [SESSION_LABEL]: sessionId,
          },
          abortSignal,
        }),
      );
      return name;
    });
  }

  /**
   * Removes the network of a session.
   * @param isNeeded whether a kernel of it is still there or coming, asked when its turn comes.
   */
  release(sessionId: string, isNeeded: () => Promise<boolean>): Promise<void> {
    return this.#inTurn(sessionId, async () => {
      const found = await this.#find(sessionId);
      if (found.length === 0 || (await isNeeded())) return;
      for (const { Id } of found) await this.#remove(Id);
    });
  }

  /** Sessions that have a network of this agent. */
  async sessions(): Promise<string[]> {
    const found = await this.#find();
    return [...new Set(found.flatMap(({ Labels }) => Labels?.[SESSION_LABEL] ?? []))];
  }

  async #find(sessionId?: string) {
    const label = [`${NETWORK_LABEL}=1`, `${INSTANCE_LABEL}=${this.#instance}`];
    if (sessionId !== undefined) label.push(`${SESSION_LABEL}=${sessionId}`);
    const answer = await this.#engine.call((docker, abortSignal) =>
      docker.listNetworks({ filters: { label }, abortSignal }),
    );
    return v.parse(listed, answer);
  }

  async #remove(id: string): Promise<void> {
    try {
      await this.#engine.call((docker, abortSignal) =>
        docker.getNetwork(id).remove({ abortSignal }),
      );
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  async #inTurn<T>(sessionId: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(sessionId) ?? Promise.resolve();
    const turn = before.then(work, work);
    this.#turns.set(sessionId, turn);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(sessionId) === turn) this.#turns.delete(sessionId);
    }
  }
}

/** What the daemon says when its address pools are used up, in words that say what to do. */
export function asNetworkFailure(error: unknown): unknown {
  if (!(error instanceof DockerError) || !/address pool/i.test(error.message)) return error;
  return new DockerError(
    error.status,
    `the daemon has no address range left for another network (${error.message}). Give it more with default-address-pools in its daemon.json`,
  );
}
