/**
 * Images of those parts of halfstack/observability.yaml that Debian has: Prometheus and the exporters,
 * under the names that the file uses. They are started as the public ones are.
 */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import observabilityText from '../../../halfstack/observability.yaml' with { type: 'text' };
import { type FilesRecipe, importImage, tagImage } from '../images.ts';

/** Services of the file, and the package that each is made of. */
const PACKAGES = {
  prometheus: 'prometheus',
  'postgres-exporter': 'prometheus-postgres-exporter',
  'redis-exporter': 'prometheus-redis-exporter',
  'node-exporter': 'prometheus-node-exporter',
} as const;

export const watcherServices = Object.keys(PACKAGES);

const recipeOf = (name: string): FilesRecipe => ({
  tag: `testing/${name}:1`,
  packages: [name, 'libc6'],
  // What the package needs to be a service of Debian's, and to show pages.
  unneeded: /^(?!prometheus|libc6$)/,
  async complete(root) {
    for (const folder of ['prometheus', 'tmp']) {
      await mkdir(join(root, folder), { recursive: true });
      // The public image's belongs to its user.
      await chmod(join(root, folder), 0o1777);
    }
  },
});

const compose = v.object({
  services: v.record(v.string(), v.looseObject({ image: v.string() })),
});

/** Gives the daemon the images that the compose file names for `watcherServices`. */
export async function importWatcherImages(socketPath: string): Promise<void> {
  const { services } = v.parse(compose, Bun.YAML.parse(observabilityText));
  for (const [service, name] of Object.entries(PACKAGES)) {
    const recipe = recipeOf(name);
    await importImage(socketPath, recipe, [
      `ENTRYPOINT ["/usr/bin/${name}"]`,
      'WORKDIR /prometheus',
      'USER 65534',
    ]);
    await tagImage(socketPath, recipe.tag, services[service]?.image ?? '');
  }
}
