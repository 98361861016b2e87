/**
 * Keeps what a kernel's container has in it: as an image of the daemon, or as an archive of one. What
 * is mounted into the container, its home folder above all, is no part of it.
 */
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';
import * as v from 'valibot';
import type { Clock } from '../../../common/clock.ts';
import { answerStream, type DockerEngine } from '../../../common/docker/engine.ts';
import { tagOfCanonical } from '../../../common/images/docker.ts';
import { LABEL_PREFIX } from '../../../common/images/labels.ts';
import type { CommitTarget } from '../../../common/protocol/commit.ts';
import { followProgress, STALL_MS } from './progress.ts';

/** Containers may hold tens of gigabytes. Milliseconds. */
const COMMIT_TIMEOUT_MS = 2 * 60 * 60 * 1000;
/** The time in which the daemon begins to send an archive. Milliseconds. */
const SAVE_TIMEOUT_MS = 10 * 60 * 1000;

const imageConfig = v.object({
  Config: v.nullable(
    v.object({
      Env: v.nullish(v.array(v.string()), []),
      Cmd: v.nullish(v.array(v.string()), []),
      Entrypoint: v.nullish(v.array(v.string()), []),
      WorkingDir: v.optional(v.string(), ''),
      User: v.optional(v.string(), ''),
      Labels: v.nullish(v.record(v.string(), v.string()), {}),
    }),
  ),
});
const containerConfig = v.object({
  Image: v.string(),
  Config: v.object({
    Env: v.nullish(v.array(v.string()), []),
    Labels: v.nullish(v.record(v.string(), v.string()), {}),
  }),
});
type Config = NonNullable<v.InferOutput<typeof imageConfig>['Config']>;

/** An empty one would stay the container's; this runs whatever it is given. */
const NO_ENTRYPOINT = ['env'];

const nameOf = (variable: string): string => variable.slice(0, Math.max(0, variable.indexOf('=')));

/**
 * What makes the new image start as the one below it does. A commit takes over the container's own
 * configuration, and lets nothing be removed: variables of the session, which may be secret, and
 * labels by which the agent finds its kernels are emptied.
 */
export function changesOf(
  base: Config,
  container: { readonly Env: readonly string[]; readonly Labels: Readonly<Record<string, string>> },
  labels: Readonly<Record<string, string>>,
): string[] {
  // Empty, it would find no program; unset, as below, containers have a usual one.
  const kept = new Set([...base.Env.map(nameOf), 'PATH']);
  const emptied = container.Env.map(nameOf).filter((name) => /^\w+$/.test(name) && !kept.has(name));
  const allLabels = new Map([
    ...Object.keys(container.Labels).map((name) => [name, ''] as const),
    ...Object.entries(base.Labels),
    ...Object.entries(labels),
  ]);
  return [
    `ENTRYPOINT ${JSON.stringify(base.Entrypoint.length > 0 ? base.Entrypoint : NO_ENTRYPOINT)}`,
    `CMD ${JSON.stringify(base.Cmd)}`,
    `WORKDIR ${base.WorkingDir || '/'}`,
    `USER ${base.User || '0'}`,
    ...base.Env.map(
      (variable) =>
        `ENV ${nameOf(variable)}=${quoted(variable.slice(nameOf(variable).length + 1))}`,
    ),
    ...emptied.map((name) => `ENV ${name}=""`),
    ...[...allLabels].map(([name, value]) => `LABEL ${quoted(name)}=${quoted(value)}`),
  ];
}

/** A word of a Dockerfile that stands for exactly this text. */
const quoted = (text: string): string =>
  `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('$', '\\$').replaceAll('\n', ' ')}"`;

/**
 * Makes /tmp of the container's own file system as it has to be. Where its image has none, the daemon
 * made it to mount one over it, and images made of that would give sessions one they cannot write to.
 */
async function mendTemporaryFolder(engine: DockerEngine, containerId: string): Promise<void> {
  const archive = pack();
  archive.entry({ name: 'tmp', type: 'directory', mode: 0o1777 });
  archive.finalize();
  const bytes = await buffer(archive);
  await engine.call((docker) => docker.getContainer(containerId).putArchive(bytes, { path: '/' }));
}

async function commitContainer(
  engine: DockerEngine,
  containerId: string,
  image: { readonly repo: string; readonly tag: string },
  labels: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const container = v.parse(
    containerConfig,
    await engine.call((docker) => docker.getContainer(containerId).inspect(), { signal }),
  );
  const base = v.parse(
    imageConfig,
    await engine.call((docker) => docker.getImage(container.Image).inspect(), { signal }),
  );
  const empty = { Env: [], Cmd: [], Entrypoint: [], WorkingDir: '', User: '', Labels: {} };
  await mendTemporaryFolder(engine, containerId);
  const changes = changesOf(base.Config ?? empty, container.Config, labels);
  await engine.call(
    (docker, abortSignal) =>
      docker.getContainer(containerId).commit({ ...image, pause: true, changes, abortSignal }),
    { timeoutMs: COMMIT_TIMEOUT_MS, signal },
  );
}

/** The repository and the tag of a name; a port belongs to the repository. */
function splitTag(name: string): { repo: string; tag: string } {
  const at = name.lastIndexOf(':');
  return at > name.lastIndexOf('/')
    ? { repo: name.slice(0, at), tag: name.slice(at + 1) }
    : { repo: name, tag: 'latest' };
}

async function removeImage(engine: DockerEngine, name: string): Promise<void> {
  await engine.call((docker) => docker.getImage(name).remove({ noprune: false }));
}

async function pushImage(
  engine: DockerEngine,
  { repo, tag }: { readonly repo: string; readonly tag: string },
  account: { readonly username: string; readonly password: string },
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const authconfig = { ...account, serveraddress: repo.slice(0, repo.indexOf('/')) };
  const stream = await engine.call(
    (docker, abortSignal) => docker.getImage(repo).push({ tag, authconfig, abortSignal }),
    { timeoutMs: STALL_MS, signal: options.signal },
  );
  await followProgress(v.parse(answerStream, stream), options);
}

/** Writes an image, compressed, to where nothing or a whole file is. */
async function saveImage(
  engine: DockerEngine,
  name: string,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const partial = `${file}.partial`;
  try {
    const answer = await engine.call((docker) => docker.getImage(name).get(), {
      timeoutMs: SAVE_TIMEOUT_MS,
      signal,
    });
    const archive = v.parse(answerStream, answer);
    await pipeline(archive, createGzip(), createWriteStream(partial, { mode: 0o600 }), { signal });
    await rename(partial, file);
  } finally {
    await rm(partial, { force: true });
  }
}

/**
 * Commits a container.
 * @param folder below which archives are kept.
 * @throws DockerError, BackendError ServiceUnavailable, errors of the file system; the signal's reason.
 */
export async function commitKernel(
  engine: DockerEngine,
  kernel: { readonly kernelId: string; readonly containerId: string },
  target: CommitTarget,
  {
    folder,
    say,
    clock,
    signal,
  }: { folder: string; say: (text: string) => void; clock: Clock; signal: AbortSignal },
): Promise<void> {
  const { kernelId, containerId } = kernel;
  say('Committing the container');
  if (target.kind === 'image') {
    const image = splitTag(tagOfCanonical(target.canonical));
    await commitContainer(engine, containerId, image, target.labels, signal);
    if (target.push === null) return;
    say('Pushing the image');
    return pushImage(engine, image, target.push, { clock, signal });
  }
  const image = { repo: 'backend.ai/commit', tag: kernelId };
  const name = `${image.repo}:${image.tag}`;
  // Not one that sessions can be made of.
  const unlisted = { [`${LABEL_PREFIX}kernelspec`]: '' };
  await commitContainer(engine, containerId, image, unlisted, signal);
  try {
    say('Writing the archive');
    const place = join(folder, target.folder);
    await mkdir(place, { recursive: true, mode: 0o700 });
    await saveImage(engine, name, join(place, target.fileName), signal);
  } finally {
    await removeImage(engine, name);
  }
}
