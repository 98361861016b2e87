/**
 * Images of those parts of halfstack/observability.yaml that Debian has: Prometheus, Alertmanager and the
 * exporters, under the names that the file uses. They are started as the public ones are. And stand-ins
 * for the others, which can only be started.
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import observabilityText from '../../../halfstack/observability.yaml' with { type: 'text' };
import { addBusybox, type FilesRecipe, importImage, tagImage } from '../images.ts';

/** Services of the file, and the package that each is made of. */
const PACKAGES = {
  prometheus: 'prometheus',
  scraper: 'prometheus',
  alertmanager: 'prometheus-alertmanager',
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
    for (const folder of ['prometheus', 'alertmanager', 'tmp']) {
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

/** Ends unless it can read what it is told to and what is mounted; then answers at the ports of all four. */
const STAND_IN = `#!/bin/sh
set -eu
for option in "$@"; do
  case $option in
    *config*=*) cat "\${option#*=}" >/dev/null ;;
  esac
done
for folder in /etc/grafana /var/lib/grafana/dashboards /logs; do
  if [ -d $folder ]; then find $folder -type f -exec cat {} + >/dev/null; fi
done
for port in 3000 3100 3200 4317 4318; do busybox httpd -p $port -h /tmp; done
# The first process of a container hears of no signal that it does not name.
trap 'exit 0' TERM
sleep infinity &
wait
`;

const standIn: FilesRecipe = {
  tag: 'testing/stand-in:3',
  packages: [],
  async complete(root) {
    await addBusybox(root, 'bin');
    for (const folder of ['tmp', 'loki', 'var/lib/grafana']) {
      await mkdir(join(root, folder), { recursive: true });
      await chmod(join(root, folder), 0o1777);
    }
    await writeFile(join(root, 'stand-in.sh'), STAND_IN, { mode: 0o755 });
  },
};

/** The names of the images of `grafana`, `loki`, `tempo` and `otel-collector`. */
export function standInNames(): string[] {
  const { services } = v.parse(compose, Bun.YAML.parse(observabilityText));
  const known: readonly string[] = watcherServices;
  return Object.entries(services).flatMap(([name, { image }]) =>
    known.includes(name) ? [] : [image],
  );
}

/** Gives the daemon something under the names of those that Debian lacks. */
export async function importStandInImages(socketPath: string): Promise<void> {
  // As users without rights, which the public ones of Grafana and Loki are.
  await importImage(socketPath, standIn, ['ENTRYPOINT ["/stand-in.sh"]', 'USER 10001']);
  for (const name of standInNames()) await tagImage(socketPath, standIn.tag, name);
}
