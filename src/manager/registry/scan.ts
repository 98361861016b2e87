/** Finds the images of a registry on the network, with what their configurations say about them. */
import * as v from 'valibot';
import { errorMessage } from '../../common/errors.ts';
import { pooled } from '../../common/pooled.ts';
import type { AgentImage } from '../../common/protocol/manager.ts';
import { type OciClient, RegistryFailure } from './oci-client.ts';
import { repositoriesOf } from './repositories.ts';

/** Tags that are read at a time. */
const CONCURRENCY = 8;
const MAX_TAGS = 20_000;
const MAX_PLATFORMS = 32;

const descriptor = v.object({ digest: v.string(), size: v.number() });
const manifest = v.object({ config: descriptor, layers: v.array(v.object({ size: v.number() })) });
const index = v.object({
  manifests: v.array(
    v.object({
      digest: v.string(),
      annotations: v.optional(v.record(v.string(), v.string())),
      platform: v.optional(v.object({ architecture: v.string(), os: v.optional(v.string()) })),
    }),
  ),
});
const labels = v.nullish(v.record(v.string(), v.string()), {});
const configuration = v.object({
  architecture: v.optional(v.string(), 'amd64'),
  config: v.nullish(v.object({ Labels: labels })),
  container_config: v.nullish(v.object({ Labels: labels })),
});

export interface ScanTarget {
  readonly type: string;
  /** The name that images of it carry. */
  readonly registryName: string;
  /** Only repositories below this are looked at; empty: all. */
  readonly project: string;
}

export interface ScanResult {
  readonly images: readonly AgentImage[];
  /** What could not be read, in plain words. */
  readonly problems: readonly string[];
}

/** Told how many tags there are and have been read, and the one that is next. */
export type ScanProgress = (done: number, total: number, image: string) => Promise<void>;

/** The configurations behind a tag: one, or one per platform of an index. */
async function manifestsOf(client: OciClient, repository: string, tag: string) {
  const found = await client.manifest(repository, tag);
  const single = v.safeParse(manifest, found);
  if (single.success) return [single.output];
  const list = v.safeParse(index, found);
  if (!list.success)
    throw new RegistryFailure(`${repository}:${tag} has a manifest of no known kind.`);
  const platforms = list.output.manifests.filter(
    // Attestations are listed beside the platforms, but are no images.
    ({ annotations, platform }) =>
      annotations === undefined && platform?.architecture !== 'unknown',
  );
  const out: v.InferOutput<typeof manifest>[] = [];
  for (const { digest } of platforms.slice(0, MAX_PLATFORMS)) {
    out.push(v.parse(manifest, await client.manifest(repository, digest)));
  }
  return out;
}

/** The image behind a tag, once per architecture. */
export async function readTag(
  client: OciClient,
  registryName: string,
  repository: string,
  tag: string,
): Promise<AgentImage[]> {
  const images: AgentImage[] = [];
  for (const { config, layers } of await manifestsOf(client, repository, tag)) {
    const details = v.parse(configuration, await client.blob(repository, config.digest));
    images.push({
      canonical: `${registryName}/${repository}:${tag}`,
      architecture: details.architecture,
      digest: config.digest,
      sizeBytes: layers.reduce((sum, { size }) => sum + size, config.size),
      labels: details.config?.Labels ?? details.container_config?.Labels ?? {},
      aliases: [],
    });
  }
  return images;
}

/**
 * Reads every tag of every repository of the target; what fails is told and does not end the scan.
 * @throws RegistryFailure when not even the repositories can be listed.
 */
export async function scanRegistry(
  client: OciClient,
  target: ScanTarget,
  onProgress: ScanProgress = async () => {},
): Promise<ScanResult> {
  const problems: string[] = [];
  const tags: { repository: string; tag: string }[] = [];
  const repositories = await repositoriesOf(client, target.type, target.project);
  await pooled(repositories, CONCURRENCY, async (repository) => {
    try {
      for (const tag of await client.tags(repository)) tags.push({ repository, tag });
    } catch (error) {
      problems.push(`${repository}: ${errorMessage(error)}`);
    }
  });
  if (tags.length > MAX_TAGS) {
    problems.push(`There are ${tags.length} tags; only the first ${MAX_TAGS} were read.`);
  }
  const images: AgentImage[] = [];
  let done = 0;
  const wanted = tags.slice(0, MAX_TAGS);
  await pooled(wanted, CONCURRENCY, async ({ repository, tag }) => {
    try {
      images.push(...(await readTag(client, target.registryName, repository, tag)));
    } catch (error) {
      problems.push(`${repository}:${tag}: ${errorMessage(error)}`);
    }
    done += 1;
    await onProgress(done, wanted.length, `${target.registryName}/${repository}:${tag}`);
  });
  return { images, problems };
}
