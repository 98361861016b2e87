/**
 * Finds the images of a Docker daemon that are made for Backend.AI, and names them as the catalogue
 * does: `registry/project/name:tag`, or `local/name:tag` when the name has no registry.
 */
import * as v from 'valibot';
import { type DockerEngine, isMissing } from '../docker/engine.ts';
import type { AgentImage } from '../protocol/manager.ts';
import { hostArchitecture, LABEL_PREFIX } from './labels.ts';

const LOCAL_PREFIX = 'local/';
const MAX_IMAGES = 1000;

const listedImages = v.array(
  v.object({
    Id: v.string(),
    RepoTags: v.nullish(v.array(v.string()), []),
    Size: v.number(),
    Labels: v.nullish(v.record(v.string(), v.string()), {}),
  }),
);
type ListedImage = v.InferOutput<typeof listedImages>[number];
const imageDetails = v.object({ Architecture: v.string() });

/** Whether the first part of a name is a registry's host, by Docker's own rule. */
const hasRegistry = (name: string): boolean =>
  name.includes('/') && /[.:]/.test(name.split('/', 1)[0] ?? '');

/** The catalogue's name of an image that the daemon calls `tag`; Podman's `localhost/` is dropped. */
export const canonicalOfTag = (tag: string): string =>
  hasRegistry(tag) ? tag : `${LOCAL_PREFIX}${tag.replace(/^localhost\//, '')}`;

/** The daemon's name of an image that the catalogue calls `canonical`. */
export const tagOfCanonical = (canonical: string): string =>
  canonical.startsWith(LOCAL_PREFIX) ? canonical.slice(LOCAL_PREFIX.length) : canonical;

const architectures: Record<string, string> = { amd64: 'x86_64', arm64: 'aarch64' };

/** `python` and `python:3.11` for `…/python:3.11-debian12`. */
function shortNames(canonical: string): string[] {
  const last = canonical.slice(canonical.lastIndexOf('/') + 1);
  const [name = '', tag = ''] = last.split(':');
  const version = tag.split('-', 1)[0] ?? '';
  return version === '' ? [name] : [name, `${name}:${version}`];
}

/**
 * Gives every image the short names that mean it alone. Tags of the same image don't compete; the
 * first by name gets the alias.
 */
export function withAliases(images: readonly Omit<AgentImage, 'aliases'>[]): AgentImage[] {
  const sorted = [...images].sort((a, b) => (a.canonical < b.canonical ? -1 : 1));
  const claims = new Map<string, { digest: string; owner: string; isContested: boolean }>();
  for (const { canonical, digest } of sorted) {
    for (const alias of shortNames(canonical)) {
      const claim = claims.get(alias);
      if (!claim) claims.set(alias, { digest, owner: canonical, isContested: false });
      else if (claim.digest !== digest) claim.isContested = true;
    }
  }
  return sorted.map((image) => ({
    ...image,
    aliases: shortNames(image.canonical).filter((alias) => {
      const claim = claims.get(alias);
      return claim?.owner === image.canonical && !claim.isContested;
    }),
  }));
}

/** Architectures never change, so each image is asked once per process. */
const knownArchitectures = new Map<string, string>();

async function architectureOf(engine: DockerEngine, id: string): Promise<string> {
  const known = knownArchitectures.get(id);
  if (known !== undefined) return known;
  const answer = await engine.call((docker) => docker.getImage(id).inspect());
  const { Architecture: name } = v.parse(imageDetails, answer);
  const architecture = name === '' ? hostArchitecture() : (architectures[name] ?? name);
  if (knownArchitectures.size >= MAX_IMAGES) knownArchitectures.clear();
  knownArchitectures.set(id, architecture);
  return architecture;
}

async function describe(engine: DockerEngine, image: ListedImage) {
  const tags = (image.RepoTags ?? []).filter((tag) => !tag.includes('<none>'));
  if (tags.length === 0) return [];
  try {
    const architecture = await architectureOf(engine, image.Id);
    return tags.map((tag) => ({
      canonical: canonicalOfTag(tag),
      architecture,
      digest: image.Id,
      sizeBytes: image.Size,
      labels: image.Labels ?? {},
    }));
  } catch (error) {
    // Deleted since it was listed.
    if (isMissing(error)) return [];
    throw error;
  }
}

/**
 * The daemon's images with the label `ai.backend.kernelspec=1`, one entry per tag; at most 1000 of
 * them. The digest is the image's id.
 * @throws BackendError ServiceUnavailable, DockerError.
 */
export async function discoverDockerImages(engine: DockerEngine): Promise<AgentImage[]> {
  const filters = { label: [`${LABEL_PREFIX}kernelspec=1`] };
  const answer = await engine.call((docker, abortSignal) =>
    docker.listImages({ filters, abortSignal }),
  );
  const listed = v.parse(listedImages, answer).slice(0, MAX_IMAGES);
  const described: Awaited<ReturnType<typeof describe>> = [];
  for (const image of listed) described.push(...(await describe(engine, image)));
  return withAliases(described);
}
