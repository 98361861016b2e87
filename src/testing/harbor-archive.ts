/**
 * A stand-in for Harbor's offline installer, laid out and started as the real one: `install.sh` loads the images
 * of the archive, has `prepare` make the configuration of `harbor.yml` in a container, and calls compose. What
 * runs is Debian's registry with as much of Harbor's API as a scan uses. As the real one, it refuses 127.0.0.1;
 * unlike it, nothing is privileged, which the tests' machines do not let containers be.
 */
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from './bench/measure.ts';
import { addBusybox, type FilesRecipe, importImage, tagImage } from './images.ts';
import { missingTool } from './services.ts';

const VERSION = 'v0.1';
const CORE = `goharbor/harbor-core:${VERSION}`;
const PREPARE = `goharbor/prepare:${VERSION}`;
/** All images that the archive brings. */
export const HARBOR_IMAGES = [CORE, PREPARE];
/** The name that a container of every Harbor has. */
export const HARBOR_CONTAINER = 'harbor-core';

/** Read by those who do not need YAML: each key of the template has one place. */
const READ = `value() { busybox sed -n "s/^ *$1: *//p" /input/harbor.yml | busybox head -n 1 | busybox tr -d '"'; }`;

/** In the container of its image: from `/input/harbor.yml` to what compose and the server read. */
const PREPARE_PROGRAM = `#!/bin/sh
set -eu
${READ}
if [ "$(value hostname)" = 127.0.0.1 ]; then echo '127.0.0.1 can not be the hostname' >&2; exit 1; fi
if busybox grep -q '^https:' /input/harbor.yml; then echo 'no certificate for https' >&2; exit 1; fi
[ "$(value password)" != root123 ]
busybox mkdir -p /data/registry
printf 'admin:%s' "$(value harbor_admin_password)" | busybox base64 -w 0 >/config/administrator
busybox cat >/compose_location/docker-compose.yml <<EOF
services:
  core:
    image: ${CORE}
    container_name: ${HARBOR_CONTAINER}
    volumes:
      - $(value data_volume)/registry:/storage
      - ./common/config:/etc/harbor
    ports:
      - "$(busybox sed -n '/^http:/,/^[^ ]/s/^  port: //p' /input/harbor.yml):8080"
EOF
`;

/** The registry, and before it what answers at Harbor's port. */
const ENTRYPOINT = `#!/bin/sh
docker-registry serve /etc/registry.yml &
exec perl /front.pl 8080
`;

/** Told to close every connection, as each is one request's. */
const REGISTRY = `version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: /storage}}
http: {addr: "127.0.0.1:5000", relativeurls: true, headers: {Connection: [close]}}
`;

/** Requests of the registry are handed on; Harbor's are answered here, lists to the administrator only. */
const FRONT = `use strict;
use IO::Socket::INET;
use IO::Select;
$SIG{CHLD} = 'IGNORE';
$SIG{TERM} = sub { exit };
my $server = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 64, ReuseAddr => 1) or die $!;
while (1) {
  my $client = $server->accept or next;
  if (fork) { close $client; next }
  close $server;
  serve($client);
  exit;
}
sub registry { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => 5000) }
sub answer {
  my ($client, $status, $body) = @_;
  print $client "HTTP/1.1 $status\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\n",
    "WWW-Authenticate: Basic realm=\\"harbor\\"\\r\\nContent-Length: ", length $body, "\\r\\n\\r\\n$body";
}
sub serve {
  my $client = shift;
  my $head = '';
  while ($head !~ /\\r\\n\\r\\n/) { sysread $client, $head, 65536, length $head or return }
  return relay($client, $head) if $head =~ m{^\\w+ /v2/};
  if ($head =~ m{^GET /api/v2.0/health }) {
    my $status = registry() ? 'healthy' : 'unhealthy';
    return answer($client, '200 OK', qq({"status":"$status","components":[{"name":"registry","status":"$status"}]}));
  }
  return answer($client, '404 Not Found', '{"errors":[{"code":"NOT_FOUND"}]}')
    unless $head =~ m{^GET /api/v2.0/projects/library/repositories};
  open my $file, '<', '/etc/harbor/administrator' or die $!;
  my $known = <$file>;
  return answer($client, '401 Unauthorized', '{"errors":[{"code":"UNAUTHORIZED"}]}')
    unless $head =~ /^authorization: Basic \\Q$known\\E\\r$/im;
  my $asked = registry();
  print $asked "GET /v2/_catalog HTTP/1.0\\r\\nHost: registry\\r\\n\\r\\n";
  my $all = join '', <$asked>;
  $all =~ s/.*"repositories":\\[(.*?)\\].*/$1/s;
  $all =~ s/"([^"]*)"/{"name":"$1"}/g;
  answer($client, '200 OK', "[$all]");
}
sub relay {
  my ($client, $head) = @_;
  my $registry = registry() or return;
  syswrite $registry, $head;
  my $both = IO::Select->new($client, $registry);
  while (1) {
    for my $from ($both->can_read) {
      sysread $from, my $data, 65536 or return;
      syswrite $from == $client ? $registry : $client, $data;
    }
  }
}
`;

/** The interpreter with what belongs to it, which every Debian has. */
async function addPerl(root: string): Promise<void> {
  const library = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/perl-base`;
  await cp('/usr/bin/perl', join(root, 'usr/bin/perl'));
  await cp(library, join(root, library), { recursive: true });
}

async function complete(root: string): Promise<void> {
  await addBusybox(root, 'usr/bin');
  await addPerl(root);
  const files = {
    'usr/bin/prepare': PREPARE_PROGRAM,
    'entrypoint.sh': ENTRYPOINT,
    'etc/registry.yml': REGISTRY,
    'front.pl': FRONT,
  };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text, { mode: 0o755 });
  }
}

const recipe: FilesRecipe = {
  tag: CORE,
  packages: ['docker-registry', 'libcrypt1'],
  unneeded: /^(adduser|lsb-base|init-system-helpers)$/,
  complete,
};

const INSTALL = `#!/bin/bash
set -e
cd "$(dirname "$0")"
docker compose version
docker load -i ./harbor*.tar.gz
./prepare
docker compose down -v
docker compose up -d
`;

const PREPARE_SCRIPT = `#!/bin/bash
set -e
here="$(cd "$(dirname "$0")"; pwd -P)"
rm -rf $here/input
mkdir -p $here/input $here/common/config
cp $here/harbor.yml $here/input/harbor.yml
data_path=$(grep '^[^#]*data_volume:' $here/input/harbor.yml | awk '{print $NF}')
docker run --rm -v $here/input:/input -v $data_path:/data -v $here:/compose_location \\
  -v $here/common/config:/config ${PREPARE} prepare
rm -rf $here/input
`;

/** The keys that are set, in the order and with the neighbours of the real one. */
export const HARBOR_TEMPLATE = `# Settings of this Harbor.
hostname: reg.mydomain.com

http:
  # of the page and of the registry
  port: 80

https:
  port: 443
  certificate: /your/certificate/path
  private_key: /your/private/key/path
  # strong_ssl_ciphers: false

# external_url: https://reg.mydomain.com:8433
harbor_admin_password: Harbor12345

database:
  password: root123
  max_idle_conns: 100

data_volume: /data

jobservice:
  max_job_workers: 10

log:
  level: info
  local:
    rotate_count: 50
    location: /var/log/harbor

_version: 2.11.0
`;

/** Why there can be no such archive here; null when there can. */
export const missingForHarbor = (): string | null =>
  missingTool('docker', 'docker.io') ??
  missingTool('docker-registry', 'docker-registry') ??
  missingTool('busybox', 'busybox-static') ??
  missingTool('perl', 'perl-base');

/**
 * Makes the archive. The daemon, which makes the images, has none of them afterwards.
 * @param folder empty.
 * @param env with which `docker` reaches the daemon.
 * @returns its path.
 */
export async function makeHarborArchive(
  folder: string,
  socketPath: string,
  env: Record<string, string>,
): Promise<string> {
  const root = join(folder, 'harbor');
  await mkdir(root, { recursive: true });
  await importImage(socketPath, recipe, ['CMD ["/entrypoint.sh"]', 'ENV PATH=/usr/bin:/bin']);
  await tagImage(socketPath, CORE, PREPARE);
  const docker = (...args: string[]) => exec(['docker', ...args], env);
  await docker('save', '-o', join(root, `harbor.${VERSION}.tar.gz`), ...HARBOR_IMAGES);
  await docker('image', 'rm', ...HARBOR_IMAGES);
  const files = {
    'install.sh': INSTALL,
    prepare: PREPARE_SCRIPT,
    'common.sh': '# Nothing is shared here.\n',
    'harbor.yml.tmpl': HARBOR_TEMPLATE,
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(root, name), text, { mode: 0o755 });
  }
  const archive = join(folder, `harbor-offline-installer-${VERSION}.tgz`);
  await exec(['tar', '-C', folder, '-I', 'gzip -1', '-cf', archive, 'harbor']);
  await rm(root, { recursive: true });
  return archive;
}
