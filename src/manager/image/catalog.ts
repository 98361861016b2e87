/** Fills the catalogue of images with what agents and this host have. */
import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { dockerSocketPath } from '../../common/docker/socket.ts';
import { errorMessage } from '../../common/errors.ts';
import { discoverHostRuntimes } from '../../common/images/host-runtimes.ts';
import { LABEL_PREFIX } from '../../common/images/labels.ts';
import { type AgentImage, agentImage } from '../../common/protocol/manager.ts';
import { formatAmount, parseAmount } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import {
  ensureLocalRegistry,
  findRegistries,
  type RegistryRecord,
  registryOfProject,
} from '../registry/service.ts';
import {
  LOCAL_REGISTRY,
  normalizeArchitecture,
  parseCanonical,
  parseImageReference,
} from './reference.ts';
import * as store from './store.ts';

/** Largest number of images taken from one report. */
const MAX_IMAGES = 2000;
const MIN_PREFIX = `${LABEL_PREFIX}resource.min.`;
const MAX_PREFIX = `${LABEL_PREFIX}resource.max.`;

type Labels = Readonly<Record<string, string>>;

export function resourcesOf(labels: Labels): store.NewImage['resources'] {
  const out: Record<string, { min: string; max: string | null }> = {};
  for (const [key, text] of Object.entries(labels)) {
    if (!key.startsWith(MIN_PREFIX)) continue;
    const slot = key.slice(MIN_PREFIX.length);
    const min = parseAmount(text);
    const max = parseAmount(labels[`${MAX_PREFIX}${slot}`] ?? '');
    if (min === null) continue;
    out[slot] = { min: formatAmount(min), max: max === null ? null : formatAmount(max) };
  }
  return out;
}

/** Label `role` in upper case; upstream's older name for SERVICE is INFERENCE. */
function typeOf(labels: Labels): store.NewImage['type'] {
  switch ((labels[`${LABEL_PREFIX}role`] ?? '').toUpperCase()) {
    case 'SYSTEM':
      return 'SYSTEM';
    case 'SERVICE':
    case 'INFERENCE':
      return 'SERVICE';
    default:
      return 'COMPUTE';
  }
}

function toRow(image: AgentImage, registries: readonly RegistryRecord[]): store.NewImage | null {
  const parts = parseCanonical(image.canonical);
  if (parts === null) return null;
  const isLocal = parts.registry === LOCAL_REGISTRY;
  const named = registries.filter((row) => row.registry_name === parts.registry);
  const registry = isLocal ? named[0] : registryOfProject(named, parts.project);
  if (!registry) return null;
  return {
    name: image.canonical,
    ...parts,
    registry_id: registry.id,
    architecture: normalizeArchitecture(image.architecture),
    config_digest: image.digest,
    size_bytes: image.sizeBytes,
    is_local: isLocal,
    type: typeOf(image.labels),
    accelerators: image.labels[`${LABEL_PREFIX}accelerators`] || null,
    labels: image.labels,
    resources: resourcesOf(image.labels),
  };
}

const MAX_DIGEST = 72;
const report = v.array(agentImage);

/** Whether every value fits its column: one bad image must not keep out the others. */
function isStorable({ digest, sizeBytes, labels, architecture }: AgentImage): boolean {
  return (
    digest.length <= MAX_DIGEST &&
    Number.isSafeInteger(sizeBytes) &&
    sizeBytes >= 0 &&
    // PostgreSQL stores no NUL characters.
    !JSON.stringify([digest, labels, architecture]).includes('\\u0000')
  );
}

export interface UpsertResult {
  /** Rows inserted or changed. */
  readonly written: number;
  /** Aliases newly registered. */
  readonly aliased: number;
  /**
   * Images left out: of a registry or project nobody has configured, with no proper name or values
   * that can't be stored, or beyond the first 2000.
   */
  readonly skipped: readonly string[];
}

/**
 * Registers the images an agent reports, with their aliases. An alias that is already in use keeps
 * its meaning. Images of registries other than `local` need a row in `container_registries`.
 * Nothing is written where nothing changed.
 * @param options.revive also brings back images that were forgotten.
 */
export async function upsertImages(
  sql: Db,
  images: readonly AgentImage[],
  options: { readonly revive?: boolean } = {},
): Promise<UpsertResult> {
  const all = v.parse(report, images);
  const reported = all.slice(0, MAX_IMAGES);
  const names = new Set(reported.map((image) => parseCanonical(image.canonical)?.registry));
  const registries: RegistryRecord[] = [];
  if (names.delete(LOCAL_REGISTRY)) registries.push(await ensureLocalRegistry(sql));
  const remote = [...names].filter((name) => name != null);
  if (remote.length > 0) registries.push(...(await findRegistries(sql, remote)));

  const rows = new Map<string, store.NewImage>();
  const aliases: { alias: string; name: string; architecture: string }[] = [];
  const skipped = all.slice(MAX_IMAGES).map((image) => image.canonical);
  for (const image of reported) {
    const row = isStorable(image) ? toRow(image, registries) : null;
    if (row === null) {
      skipped.push(image.canonical);
      continue;
    }
    rows.set(`${row.name} ${row.architecture}`, row);
    for (const alias of image.aliases) {
      if (parseImageReference(alias) === null) continue;
      aliases.push({ alias, name: row.name, architecture: row.architecture });
    }
  }
  const written =
    rows.size > 0 ? await store.upsert(sql, [...rows.values()], options.revive ?? false) : 0;
  const aliased = aliases.length > 0 ? await store.insertAliases(sql, aliases) : 0;
  return { written, aliased, skipped };
}

export interface RescanResult extends UpsertResult {
  readonly found: readonly string[];
  /** Sources that could not be asked, in plain words. */
  readonly problems: readonly string[];
}

/** Where images of this host come from: its installed runtimes, and its Docker daemon if it has one. */
export function localSources(
  env: Readonly<Record<string, string | undefined>>,
): (() => Promise<AgentImage[]>)[] {
  const sources = [() => discoverHostRuntimes()];
  const socketPath = dockerSocketPath(env);
  // A daemon that is named must be there; the usual one need not.
  if (env.DOCKER_HOST || existsSync(socketPath)) {
    sources.push(async () => {
      // Loaded when it is used: the Docker library is large.
      const [{ DockerEngine }, { discoverDockerImages }] = await Promise.all([
        import('../../common/docker/engine.ts'),
        import('../../common/images/docker.ts'),
      ]);
      return await discoverDockerImages(new DockerEngine(socketPath));
    });
  }
  return sources;
}

/** Looks for images on this very host and registers them; needs no agent. */
export async function rescanLocal(
  sql: Db,
  sources: readonly (() => Promise<AgentImage[]>)[] = localSources(process.env),
): Promise<RescanResult> {
  const problems: string[] = [];
  const images: AgentImage[] = [];
  for (const source of sources) {
    try {
      images.push(...(await source()));
    } catch (error) {
      problems.push(errorMessage(error));
    }
  }
  const result = await upsertImages(sql, images, { revive: true });
  return { ...result, found: images.map((image) => image.canonical), problems };
}
