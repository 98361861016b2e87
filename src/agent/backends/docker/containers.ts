/** The containers of this agent's kernels: finding them, and ending one however far it got. */
import * as v from 'valibot';
import { type DockerEngine, DockerError, isMissing } from '../../../common/docker/engine.ts';
import { PROBE_LABEL } from './accounts.ts';
import { INSTANCE_LABEL, KERNEL_LABEL, SESSION_LABEL } from './container-spec.ts';

const REMOVE_TIMEOUT_MS = 90_000;
const END_TIMEOUT_MS = 30_000;
/** Name prefix of containers that are kept after their kernel ended, to look into them. */
const KEPT = 'kept.';

const listed = v.array(
  v.object({
    Id: v.string(),
    Names: v.nullish(v.array(v.string()), []),
    State: v.string(),
    Labels: v.nullish(v.record(v.string(), v.string()), {}),
  }),
);
const details = v.object({
  Name: v.string(),
  State: v.object({
    Status: v.string(),
    ExitCode: v.number(),
    OOMKilled: v.optional(v.boolean(), false),
  }),
});
const waitAnswer = v.object({ StatusCode: v.number() });

export interface FoundContainer {
  readonly containerId: string;
  readonly kernelId: string;
  readonly sessionId: string;
  readonly state: 'running' | 'exited' | 'unstarted';
}

const stateOf = (state: string): FoundContainer['state'] => {
  if (state === 'created' || state === 'configured' || state === 'initialized') return 'unstarted';
  return state === 'running' || state === 'paused' || state === 'restarting' ? 'running' : 'exited';
};

const refused = (error: unknown, ...statuses: number[]): boolean =>
  error instanceof DockerError && statuses.includes(error.status);

export class Containers {
  readonly #engine: DockerEngine;
  readonly #instance: string;
  readonly #keepEnded: boolean;

  constructor(engine: DockerEngine, instance: string, keepEnded: boolean) {
    this.#engine = engine;
    this.#instance = instance;
    this.#keepEnded = keepEnded;
  }

  /** Every container of a kernel of this agent, or of one kernel only. */
  async find(kernelId?: string): Promise<FoundContainer[]> {
    const label = [`${INSTANCE_LABEL}=${this.#instance}`];
    if (kernelId !== undefined) label.push(`${KERNEL_LABEL}=${kernelId}`);
    const answer = await this.#engine.call((docker, abortSignal) =>
      docker.listContainers({ all: true, filters: { label }, abortSignal }),
    );
    return v
      .parse(listed, answer)
      .filter(({ Names }) => !(Names ?? []).some((name) => name.startsWith(`/${KEPT}`)))
      .map(({ Id, State, Labels }) => ({
        containerId: Id,
        kernelId: Labels?.[KERNEL_LABEL] ?? '',
        sessionId: Labels?.[SESSION_LABEL] ?? '',
        state: stateOf(State),
      }));
  }

  /** The exit code of a container that ended; null when it never ran or is gone. */
  async exitCode(containerId: string): Promise<number | null> {
    const found = await this.#inspect(containerId);
    if (found === null || stateOf(found.State.Status) !== 'exited') return null;
    return found.State.ExitCode;
  }

  /** Whether the system ended a program in it for want of memory. */
  async ranOutOfMemory(containerId: string): Promise<boolean> {
    return (await this.#inspect(containerId))?.State.OOMKilled ?? false;
  }

  /**
   * Stops a container, by force when it doesn't end within `graceMs`, and removes it.
   * @returns its exit code; null when it never ran or is gone.
   */
  async end(containerId: string, graceMs: number): Promise<number | null> {
    const found = await this.#inspect(containerId);
    if (found === null) return null;
    const state = stateOf(found.State.Status);
    let exitCode = state === 'exited' ? found.State.ExitCode : null;
    if (state === 'running') exitCode = await this.#stop(containerId, graceMs);
    if (this.#keepEnded && state !== 'unstarted') await this.#keep(containerId, found.Name);
    else await this.#remove(containerId);
    return exitCode;
  }

  /** Removes what reading accounts left behind when an agent was killed in the middle of it. */
  async removeProbes(): Promise<void> {
    const answer = await this.#engine.call((docker, abortSignal) =>
      docker.listContainers({
        all: true,
        filters: { label: [`${PROBE_LABEL}=${this.#instance}`] },
        abortSignal,
      }),
    );
    for (const { Id } of v.parse(listed, answer)) await this.#remove(Id);
  }

  async #inspect(containerId: string): Promise<v.InferOutput<typeof details> | null> {
    try {
      const answer = await this.#engine.call((docker, abortSignal) =>
        docker.getContainer(containerId).inspect({ abortSignal }),
      );
      return v.parse(details, answer);
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async #stop(containerId: string, graceMs: number): Promise<number | null> {
    const timeoutMs = graceMs + END_TIMEOUT_MS;
    try {
      await this.#engine.call(
        async (docker, abortSignal) => {
          const container = docker.getContainer(containerId);
          if (graceMs > 0) await container.stop({ t: Math.ceil(graceMs / 1000), abortSignal });
          else await container.kill({ signal: 'SIGKILL', abortSignal });
        },
        { timeoutMs },
      );
    } catch (error) {
      if (isMissing(error)) return null;
      // It ended by itself meanwhile.
      if (!refused(error, 304, 409)) throw error;
    }
    try {
      const answer = await this.#engine.call(
        (docker, abortSignal) => docker.getContainer(containerId).wait({ abortSignal }),
        { timeoutMs },
      );
      return v.parse(waitAnswer, answer).StatusCode;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async #remove(containerId: string): Promise<void> {
    try {
      await this.#engine.call(
        (docker, abortSignal) =>
          docker.getContainer(containerId).remove({ force: true, v: true, abortSignal }),
        { timeoutMs: REMOVE_TIMEOUT_MS },
      );
    } catch (error) {
      // 409: somebody else is removing it already.
      if (!isMissing(error) && !refused(error, 409)) throw error;
    }
  }

  async #keep(containerId: string, name: string): Promise<void> {
    try {
      await this.#engine.call((docker, abortSignal) =>
        docker
          .getContainer(containerId)
          .rename({ name: `${KEPT}${name.replace(/^\//, '')}`, abortSignal }),
      );
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
}
