/** Names of images: `registry/project/name:tag`, with upstream's defaults for missing parts. */
import { BackendError } from '../../common/errors.ts';
import { editDistance } from '../../common/spelling.ts';

/** Registry of images that live on the hosts themselves. */
export const LOCAL_REGISTRY = 'local';
const DEFAULT_REGISTRY = 'index.docker.io';
const DEFAULT_PROJECT = 'lablup';
const DEFAULT_TAG = 'latest';
const MAX_LENGTH = 512;

export interface ImageReference {
  /** null: not named. */
  readonly registry: string | null;
  /** Path without registry and tag, such as `stable/python`. */
  readonly path: string;
  /** null: not named. */
  readonly tag: string | null;
}

const PATH = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/i;
const TAG = /^\w[\w.+-]{0,127}$/;

const isRegistry = (part: string): boolean =>
  part === LOCAL_REGISTRY || part === 'localhost' || part.includes('.') || part.includes(':');

/**
 * Takes a reference apart. The first component is a registry if it has a dot or a port, or is
 * `localhost` or `local`.
 * @returns null when the text is not a well-formed name.
 */
export function parseImageReference(text: string): ImageReference | null {
  if (text.length === 0 || text.length > MAX_LENGTH) return null;
  const slash = text.indexOf('/');
  const head = slash > 0 ? text.slice(0, slash) : '';
  const registry = isRegistry(head) ? head : null;
  const rest = registry === null ? text : text.slice(slash + 1);
  const colon = rest.lastIndexOf(':');
  const tag = colon < 0 ? null : rest.slice(colon + 1);
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (!PATH.test(path) || (tag !== null && !TAG.test(tag))) return null;
  return { registry, path, tag };
}

/** @throws BackendError InvalidAPIParameters for an alias that could not be asked for. */
export function checkAlias(alias: string): void {
  if (parseImageReference(alias) !== null) return;
  throw new BackendError(
    'InvalidAPIParameters',
    `'${alias.slice(0, 100)}' can't be an alias: use letters, digits, '.', '_', '-', '/' and one ':'.`,
  );
}

export interface CanonicalParts {
  readonly registry: string;
  /** Everything between registry and last component; empty when there is nothing. */
  readonly project: string;
  /** `project/name`. */
  readonly image: string;
  readonly tag: string;
}

/** Takes a complete name apart, as agents report it. @returns null when registry or tag is missing. */
export function parseCanonical(canonical: string): CanonicalParts | null {
  const parsed = parseImageReference(canonical);
  if (parsed?.registry == null || parsed.tag === null) return null;
  const cut = parsed.path.lastIndexOf('/');
  return {
    registry: parsed.registry,
    project: cut < 0 ? '' : parsed.path.slice(0, cut),
    image: parsed.path,
    tag: parsed.tag,
  };
}

/**
 * The complete names that a reference may stand for, in the order in which they are tried: itself,
 * then this cluster's own images, then upstream's default registry and project.
 */
export function candidateNames(reference: ImageReference): string[] {
  const { registry, path, tag } = reference;
  const suffix = `${path}:${tag ?? DEFAULT_TAG}`;
  if (registry !== null) return [`${registry}/${suffix}`];
  const remote = path.includes('/') ? suffix : `${DEFAULT_PROJECT}/${suffix}`;
  return [`${LOCAL_REGISTRY}/${suffix}`, `${DEFAULT_REGISTRY}/${remote}`];
}

/** Upstream's spelling of a processor architecture; what can't be one becomes `unknown`. */
export function normalizeArchitecture(name: string): string {
  const lower = name.toLowerCase();
  if (!/^[\w.-]{1,64}$/.test(lower)) return 'unknown';
  if (lower === 'amd64' || lower === 'x64') return 'x86_64';
  if (lower === 'arm64') return 'aarch64';
  return lower;
}

/** The names most like `wanted`, best first; all of them when few enough are known. */
export function closeNames(wanted: string, known: readonly string[], limit: number): string[] {
  const scored = known.map((name) => {
    const short = name.replace(/^.*\//, '');
    const base = short.replace(/:.*$/, '');
    const wantedBase = wanted.replace(/^.*\//, '').replace(/:.*$/, '');
    const distance = Math.min(
      editDistance(wanted, name, 20),
      editDistance(wanted, short, 20),
      editDistance(wantedBase, base, 20),
    );
    return { name, distance };
  });
  const near = scored.filter(({ distance }) => distance <= Math.max(2, wanted.length / 3));
  return (near.length > 0 || known.length > limit ? near : scored)
    .sort(
      (a, b) =>
        a.distance - b.distance || a.name.length - b.name.length || (a.name < b.name ? -1 : 1),
    )
    .slice(0, limit)
    .map(({ name }) => name);
}
