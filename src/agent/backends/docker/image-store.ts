/** The images of the daemon as this agent knows them: kept until the daemon says they changed. */
import * as v from 'valibot';
import type { Clock } from '../../../common/clock.ts';
import {
  answerStream,
  type DockerEngine,
  DockerError,
  isMissing,
} from '../../../common/docker/engine.ts';
import { BackendError, errorMessage } from '../../../common/errors.ts';
import { discoverDockerImages, tagOfCanonical } from '../../../common/images/docker.ts';
import type { KernelSpec } from '../../../common/protocol/kernel.ts';
import type { AgentImage } from '../../../common/protocol/manager.ts';
import { followProgress, STALL_MS } from './progress.ts';

/** The daemon tells about changes; this is for those it keeps to itself. */
const MAX_AGE_MS = 60_000;
const MAX_KNOWN_IDS = 10_000;

const inspected = v.object({ Id: v.string() });

/** The account of the image's registry, as the daemon takes it. */
function accountFor({ canonical, registryAccount }: KernelSpec['image']) {
  if (registryAccount === null) return {};
  const [serveraddress] = canonical.split('/', 1);
  return { authconfig: { ...registryAccount, serveraddress } };
}

export class ImageStore {
  readonly #engine: DockerEngine;
  readonly #clock: Clock;
  readonly #ids = new Map<string, string>();
  #scan: Promise<AgentImage[]> | null = null;
  #scannedAtMs = 0;
  #lastKnown: AgentImage[] | null = null;

  constructor(engine: DockerEngine, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  /** Forgets what was known, because images changed or may have. */
  invalidate(): void {
    this.#scan = null;
    this.#ids.clear();
  }

  /**
   * The images for kernels. While the daemon is away these are the last ones known, so that the agent
   * still counts as alive.
   * @param isFresh whether the daemon tells us about changes at present.
   */
  async list(isFresh: boolean): Promise<AgentImage[]> {
    const nowMs = this.#clock.monotonicMs();
    if (!isFresh || nowMs - this.#scannedAtMs > MAX_AGE_MS) this.invalidate();
    const scan = this.#scan ?? discoverDockerImages(this.#engine);
    if (this.#scan === null) this.#scannedAtMs = nowMs;
    this.#scan = scan;
    try {
      this.#lastKnown = await scan;
      return this.#lastKnown;
    } catch (error) {
      if (this.#scan === scan) this.#scan = null;
      const isAway = error instanceof BackendError && error.problem === 'ServiceUnavailable';
      if (isAway && this.#lastKnown !== null) return this.#lastKnown;
      throw error;
    }
  }

  /** The id of an image by its catalogue name; null when the daemon doesn't have it. */
  async idOf(canonical: string): Promise<string | null> {
    const known = this.#ids.get(canonical);
    if (known !== undefined) return known;
    try {
      const answer = await this.#engine.call((docker) =>
        docker.getImage(tagOfCanonical(canonical)).inspect(),
      );
      const { Id: id } = v.parse(inspected, answer);
      if (this.#ids.size >= MAX_KNOWN_IDS) this.#ids.clear();
      this.#ids.set(canonical, id);
      return id;
    } catch (error) {
      // 400: not even a name that an image could have.
      if (isMissing(error) || (error instanceof DockerError && error.status === 400)) return null;
      throw error;
    }
  }

  /**
   * Pulls an image from its registry.
   * @throws BackendError ImageNotFound when it can't be had; the reason of `signal`.
   */
  async pull({ image }: KernelSpec, signal: AbortSignal): Promise<void> {
    const { canonical } = image;
    const tag = tagOfCanonical(canonical);
    if (tag !== canonical) {
      throw new BackendError(
        'ImageNotFound',
        `${canonical} is not on this agent's Docker daemon, and local images can't be pulled. ` +
          `Build or load it there as '${tag}'.`,
      );
    }
    try {
      const stream = await this.#engine.call(
        (docker) => docker.pull(tag, { abortSignal: signal, ...accountFor(image) }),
        { timeoutMs: STALL_MS, signal },
      );
      await followProgress(v.parse(answerStream, stream), { clock: this.#clock, signal });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BackendError) throw error;
      throw new BackendError(
        'ImageNotFound',
        `${canonical} could not be pulled: ${errorMessage(error)}. Does it exist, and may the account that is stored with its registry read it?`,
        { cause: error },
      );
    } finally {
      this.invalidate();
    }
  }
}
