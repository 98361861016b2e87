/**
 * The images that halfstack's compose files name, made from the files of this host's Debian packages,
 * so that the very files can be tried without a registry. They behave as the public ones do where the
 * files rely on it.
 */
import { chmod, copyFile, mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import composeText from '../../halfstack/compose.yaml' with { type: 'text' };
import haText from '../../halfstack/ha.yaml' with { type: 'text' };
import { addBusybox, importImage, tagImage } from './images.ts';
import { missingTool } from './services.ts';

/** As the public image of PostgreSQL: makes the database at its first start; other commands are run. */
const ENTRYPOINT = `#!/bin/sh
set -eu
if [ $# -gt 0 ]; then exec "$@"; fi
data=/var/lib/postgresql/data
as_postgres() { busybox su -s /bin/sh postgres -c "$1"; }
if [ ! -s "$data/PG_VERSION" ]; then
  : "\${POSTGRES_PASSWORD:?}"
  mkdir -p "$data" /var/run/postgresql
  busybox chown postgres "$data" /var/run/postgresql
  busybox chmod 700 "$data"
  printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
  busybox chown postgres /tmp/password
  as_postgres "initdb -D $data -U postgres --pwfile /tmp/password --auth-host scram-sha-256 --auth-local trust --no-sync"
  rm /tmp/password
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  echo "CREATE DATABASE \${POSTGRES_DB:-postgres}" >/tmp/database.sql
  as_postgres "postgres --single -D $data postgres </tmp/database.sql"
fi
exec busybox su -s /bin/sh postgres -c "exec postgres -D $data -c listen_addresses='*'"
`;

async function complete(root: string): Promise<void> {
  await addBusybox(root, 'usr/bin');
  const [version = ''] = await readdir(join(root, 'usr/lib/postgresql'));
  // Debian's own programs of these names are scripts of Perl that choose between versions.
  await mkdir(join(root, 'usr/local/bin'), { recursive: true });
  for (const name of ['initdb', 'pg_basebackup', 'pg_ctl', 'pg_isready', 'postgres', 'psql']) {
    await symlink(`/usr/lib/postgresql/${version}/bin/${name}`, join(root, 'usr/local/bin', name));
  }
  // Its compiler of queries, whose library is left out. Without this file PostgreSQL does without.
  await rm(join(root, `usr/lib/postgresql/${version}/lib/llvmjit.so`), { force: true });
  for (const name of ['server', 'cli']) {
    await symlink(`/usr/bin/redis-${name}`, join(root, `usr/local/bin/valkey-${name}`));
  }
  // The public image's folders of its user belong to it; those of an imported one all belong to root.
  for (const folder of ['tmp', 'var/run/postgresql', 'var/lib/postgresql/data', 'data']) {
    await mkdir(join(root, folder), { recursive: true });
    await chmod(join(root, folder), 0o1777);
  }
  await copyFile('/usr/bin/flock', join(root, 'usr/local/bin/flock'));
  await mkdir(join(root, 'etc'), { recursive: true });
  const accounts = 'root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/var/lib/postgresql:/bin/sh\n';
  await writeFile(join(root, 'etc/passwd'), accounts);
  await writeFile(join(root, 'etc/group'), 'root:x:0:\npostgres:x:70:\n');
  await writeFile(join(root, 'entrypoint.sh'), ENTRYPOINT, { mode: 0o755 });
  // Valkey's, which gives up root's rights where it has them.
  const asIs = '#!/bin/sh\nexec "$@"\n';
  await writeFile(join(root, 'usr/local/bin/docker-entrypoint.sh'), asIs, { mode: 0o755 });
}

/** One set of files for all three servers: it is imported once and has three names. */
const recipe = {
  tag: 'testing/halfstack:2',
  packages: ['postgresql', 'redis-server', 'redis-tools', 'etcd-server', 'etcd-client'],
  // The scripts around PostgreSQL's programs, its compiler of queries, and what services need.
  unneeded:
    /^(perl.*|lib.*-perl|libllvm.*|libz3-4|python3.*|adduser|passwd|lsb-base|locales|ssl-cert|ucf|postgresql(-client)?-common|procps|sysvinit-utils|openssl|sensible-utils|netbase)$/,
  complete,
};

const compose = v.object({
  services: v.record(v.string(), v.looseObject({ image: v.string() })),
});

/** Why the images can't be made here; null when they can. */
export const missingForHalfstackImages = (): string | null =>
  missingTool('pg_isready', 'postgresql') ??
  missingTool('redis-server', 'redis-server') ??
  missingTool('etcd', 'etcd-server') ??
  missingTool('etcdctl', 'etcd-client') ??
  missingTool('busybox', 'busybox-static');

/** Gives the daemon all images that the compose files of servers name. */
export async function importHalfstackImages(socketPath: string): Promise<void> {
  await importImage(socketPath, recipe, [
    'ENTRYPOINT ["/entrypoint.sh"]',
    'ENV PATH=/usr/local/bin:/usr/bin:/bin',
  ]);
  const images = [composeText, haText].flatMap((text) =>
    Object.values(v.parse(compose, Bun.YAML.parse(text)).services).map(({ image }) => image),
  );
  for (const image of new Set(images)) await tagImage(socketPath, recipe.tag, image);
}
