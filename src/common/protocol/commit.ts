/** Keeping what a kernel's container has in it. */
import * as v from 'valibot';
import { agentImage } from './manager.ts';

/** One part of a path: neither empty nor a way out. */
const segment = v.pipe(
  v.string(),
  v.maxLength(255),
  v.check((text) => /^[^/\0]+$/.test(text) && text !== '.' && text !== '..', 'not a file name'),
);

export const commitTarget = v.variant('kind', [
  /** A compressed archive below the agent's `image-commit-path`. */
  v.object({ kind: v.literal('archive'), folder: segment, fileName: segment }),
  /** An image of the agent's daemon, by its catalogue name. */
  v.object({
    kind: v.literal('image'),
    canonical: v.string(),
    labels: v.record(v.string(), v.string()),
    /** The account with which it is pushed to its registry; null: it stays with the daemon. */
    push: v.nullable(v.object({ username: v.string(), password: v.string() })),
  }),
]);
export type CommitTarget = v.InferOutput<typeof commitTarget>;

export const commitState = v.object({
  /** `none`: nothing was asked for since the agent started. */
  state: v.picklist(['none', 'ongoing', 'done', 'failed']),
  /** What it is at, or why it failed. */
  message: v.string(),
  /** The image that it made. */
  image: v.nullable(agentImage),
});
export type CommitState = v.InferOutput<typeof commitState>;
