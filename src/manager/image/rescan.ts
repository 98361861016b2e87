/** Fills the catalogue with the images of container registries on the network, and of this host. */
import type { Sql } from 'postgres';
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorMessage } from '../../common/errors.ts';
import type { AgentImage } from '../../common/protocol/manager.ts';
import { readTag, type ScanResult, scanRegistry } from '../registry/scan.ts';
import {
  type ReadableRegistry,
  readableRegistries,
  registryOfProject,
} from '../registry/service.ts';
import { rescanLocal, upsertImages } from './catalog.ts';
import { LOCAL_REGISTRY, parseCanonical } from './reference.ts';

/** Images that are written at once. */
const CHUNK = 1000;

export interface RescanRequest {
  /** Name of a registry, or the full name of one image; null: every registry. */
  readonly registry: string | null;
  /** Only this project of it; null: every one that is configured. */
  readonly project: string | null;
}

export interface RescanSummary {
  readonly found: readonly string[];
  /** Rows that are new or have changed. */
  readonly written: number;
  /** What could not be read or registered, in plain words. */
  readonly problems: readonly string[];
}

type Report = (progress: { current: number; total: number; message: string }) => Promise<void>;

async function register(sql: Sql, images: readonly AgentImage[]): Promise<RescanSummary> {
  let written = 0;
  const problems: string[] = [];
  for (let start = 0; start < images.length; start += CHUNK) {
    const chunk = images.slice(start, start + CHUNK);
    const result = await upsertImages(sql, chunk, { revive: true });
    written += result.written;
    problems.push(...result.skipped.map((name) => `${name}: cannot be registered`));
  }
  return { found: images.map(({ canonical }) => canonical), written, problems };
}

async function scanOne(registry: ReadableRegistry, report: Report): Promise<ScanResult> {
  const { client, name, project, type } = registry;
  const label = project === '' ? name : `${name}/${project}`;
  try {
    return await scanRegistry(
      client,
      { type, registryName: name, project },
      (current, total, image) => report({ current, total, message: image }),
    );
  } catch (error) {
    return { images: [], problems: [`${label}: ${errorMessage(error)}`] };
  }
}

/** The image with a full name, from the registry that has its project. */
async function scanImage(
  canonical: string,
  registries: readonly ReadableRegistry[],
): Promise<ScanResult> {
  const parts = parseCanonical(canonical);
  const registry = parts === null ? undefined : registryOfProject(registries, parts.project);
  if (parts === null || !registry) {
    throw new BackendError(
      'ContainerRegistryNotFound',
      `No container registry is configured for '${canonical}'.`,
    );
  }
  return {
    images: await readTag(registry.client, registry.name, parts.image, parts.tag),
    problems: [],
  };
}

/**
 * Reads what the request names and registers its images; forgotten ones come back. What cannot be
 * read is told in the summary and does not end the scan.
 * @throws BackendError ContainerRegistryNotFound when no such registry is configured.
 */
export async function rescan(
  { sql, clock }: { readonly sql: Sql; readonly clock: Clock },
  request: RescanRequest,
  report: Report,
  signal: AbortSignal,
): Promise<RescanSummary> {
  const { registry: wanted, project } = request;
  const isLocal = wanted === LOCAL_REGISTRY;
  const image = wanted === null ? null : parseCanonical(wanted);
  const found: string[] = [];
  const problems: string[] = [];
  let written = 0;
  const add = (summary: RescanSummary) => {
    found.push(...summary.found);
    problems.push(...summary.problems);
    written += summary.written;
  };
  if (isLocal || wanted === null) add(await rescanLocal(sql));
  if (isLocal) return { found, written, problems };

  const name = image?.registry ?? wanted;
  const registries = await readableRegistries(sql, { name, project }, clock, signal);
  if (image !== null && wanted !== null) {
    const scanned = await scanImage(wanted, registries);
    add(await register(sql, scanned.images));
    return { found, written, problems };
  }
  for (const registry of registries) {
    signal.throwIfAborted();
    const scanned = await scanOne(registry, report);
    problems.push(...scanned.problems);
    add(await register(sql, scanned.images));
  }
  return { found, written, problems };
}
