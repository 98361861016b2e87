/** Keeping what is in a session: as an archive on its agent, or as an image to make sessions of. */
import { BackendError, errorMessage } from '../../common/errors.ts';
import type { CommitState, CommitTarget } from '../../common/protocol/commit.ts';
import type { AgentImage } from '../../common/protocol/manager.ts';
import type { TaskRun } from '../background-task/service.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import { upsertImages } from '../image/catalog.ts';
import { nameCustomizedImage } from '../image/customized.ts';
import { parseCanonical } from '../image/reference.ts';
import { type ImageKeeper, imageKeeperOf, readKeptImage } from '../registry/service.ts';
import { callKernel } from './kernel-call.ts';
import type { SessionRecord } from './service.ts';

const LOOK_MS = 1_000;
/** An agent that does not answer for this long is given up; its commit may go on. Milliseconds. */
const SILENCE_MS = 120_000;
/** Committing, then writing or pushing, done. */
const STEPS = 3;
/** A registry tells of one image within this. Milliseconds. */
const READ_TIMEOUT_MS = 60_000;

const stateOf = (ctx: ManagerContext, session: SessionRecord): Promise<CommitState> =>
  callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
    agent.commitState({ kernelId }),
  );

/** @throws BackendError when the agent cannot commit, or does already. */
async function begin(
  ctx: ManagerContext,
  session: SessionRecord,
  target: CommitTarget,
): Promise<void> {
  const { started } = await callKernel(ctx, session, session.mainKernel, ({ agent, kernelId }) =>
    agent.commit({ kernelId, target }),
  );
  if (started) return;
  throw new BackendError(
    'InvalidAPIParameters',
    `Session '${session.name}' is being committed already. Wait until that is done.`,
  );
}

/** Watches a commit to its end. @param onDone gets how it ended. @returns the last message. */
const follow =
  (
    ctx: ManagerContext,
    session: SessionRecord,
    onDone: (state: CommitState) => Promise<string>,
  ): TaskRun =>
  async (report, signal) => {
    const said: string[] = [];
    let heardMs = ctx.clock.monotonicMs();
    for (;;) {
      await ctx.clock.sleep(LOOK_MS, signal);
      let state: CommitState;
      try {
        state = await stateOf(ctx, session);
        heardMs = ctx.clock.monotonicMs();
      } catch (error) {
        if (ctx.clock.monotonicMs() - heardMs < SILENCE_MS) continue;
        throw new Error(`Its agent does not answer any more: ${errorMessage(error)}`);
      }
      if (state.state === 'failed') throw new Error(state.message);
      if (state.state === 'none') throw new Error('Its agent was restarted meanwhile.');
      if (state.state === 'done') return onDone(state);
      if (said.at(-1) === state.message) continue;
      said.push(state.message);
      const current = Math.min(said.length, STEPS) - 1;
      await report({ total: STEPS, current, message: state.message });
    }
  };

/** `2026-01-02T03.04.05_name_image.tar.gz`. */
function archiveName(ctx: ManagerContext, { name, mainKernel }: SessionRecord): string {
  const plain = (text: string) => text.replaceAll(/[^\p{L}\p{N}._-]/gu, '_').slice(0, 64);
  const time = ctx.clock.now().toISOString().slice(0, 19).replaceAll(':', '.');
  const image = mainKernel.image ?? '';
  return `${time}_${plain(name)}_${plain(image.slice(image.lastIndexOf('/') + 1))}.tar.gz`;
}

export interface StartedCommit {
  readonly taskId: string;
  /** Below the `image-commit-path` of the session's agent. */
  readonly path: string;
}

/** Begins to write a session's container into an archive; a background task tells how far it is. */
export async function commitSession(
  ctx: ManagerContext,
  caller: Caller,
  session: SessionRecord,
  fileName: string | null,
): Promise<StartedCommit> {
  const folder = caller.email.replaceAll(/[^\p{L}\p{N}.@_+-]/gu, '_');
  const file = fileName ?? archiveName(ctx, session);
  await begin(ctx, session, { kind: 'archive', folder, fileName: file });
  const path = `${folder}/${file}`;
  const run = follow(ctx, session, async () => `The archive is ${path}.`);
  const taskId = await ctx.tasks.start(caller, `Committing session ${session.name}`, run);
  return { taskId, path };
}

export async function isCommitting(ctx: ManagerContext, session: SessionRecord): Promise<boolean> {
  return (await stateOf(ctx, session)).state === 'ongoing';
}

/** What became of a commit into an image: what the catalogue is to have. */
async function madeImages(
  ctx: ManagerContext,
  projectId: string,
  canonical: string,
  keeper: ImageKeeper | null,
  { image }: CommitState,
): Promise<AgentImage[]> {
  if (keeper !== null) {
    const parts = parseCanonical(canonical);
    if (parts === null) throw new Error(`${canonical} is no name of an image.`);
    const { image: repository, tag } = parts;
    const signal = AbortSignal.timeout(READ_TIMEOUT_MS);
    return readKeptImage(ctx, projectId, { repository, tag }, signal);
  }
  if (image === null) throw new Error('The image is not among those of its agent.');
  // No short names: others' sessions could come by them.
  return [{ ...image, aliases: [] }];
}

/**
 * Begins to make an image of a session, for its maker alone; it is pushed to the registry of the
 * session's project, if that has one. @returns the background task's id.
 * @throws BackendError QuotaExceeded.
 */
export async function convertToImage(
  ctx: ManagerContext,
  caller: Caller,
  session: SessionRecord,
  name: string,
): Promise<string> {
  const base = session.mainKernel.image ?? '';
  const keeper = await imageKeeperOf(ctx.sql, session.groupId);
  const { canonical, labels } = await nameCustomizedImage(ctx, caller, name, base, keeper);
  const push = keeper && { ...keeper.account };
  await begin(ctx, session, { kind: 'image', canonical, labels: { ...labels }, push });
  const run = follow(ctx, session, async (state) => {
    const made = await madeImages(ctx, session.groupId, canonical, keeper, state);
    await upsertImages(ctx.sql, made, { revive: true });
    return `The image is ${canonical}.`;
  });
  return ctx.tasks.start(caller, `Converting session ${session.name} to image ${name}`, run);
}
