/**
 * The user `work` inside containers. Programs don't run as root, and many need their own user to have
 * a name; so the image's own lists of accounts are copied once, completed and mounted.
 */
import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extract } from 'tar-stream';
import { type DockerEngine, isMissing } from '../../../common/docker/engine.ts';
import { LABEL_PREFIX } from '../../../common/images/labels.ts';
import type { Owner } from './layout.ts';

const MAX_FILE_BYTES = 1024 * 1024;
/** Marks the containers that exist only to read files of an image; they are never started. */
export const PROBE_LABEL = `${LABEL_PREFIX}account-probe`;

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

/**
 * Adds the kernel's user to the text of a passwd file, renaming one that has the same id. Root keeps
 * its name.
 */
export function withUser(passwd: string, { uid, gid }: Owner): string {
  if (uid === 0) return `${lines(passwd).join('\n')}\n`;
  const kept = lines(passwd).filter((line) => {
    const [name, , id] = line.split(':');
    return name !== 'work' && id !== String(uid);
  });
  return `${[...kept, `work:x:${uid}:${gid}:work:/home/work:/bin/sh`].join('\n')}\n`;
}

/** Adds the kernel's group unless its id has a name already. */
export function withGroup(group: string, gid: number): string {
  const known = lines(group);
  if (known.some((line) => line.split(':')[2] === String(gid))) return `${known.join('\n')}\n`;
  const others = known.filter((line) => line.split(':')[0] !== 'work');
  return `${[...others, `work:x:${gid}:`].join('\n')}\n`;
}

/** The first regular file of a tar; empty when there is none. */
function firstFile(archive: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = extract();
    const chunks: Uint8Array[] = [];
    let size = 0;
    reader.on('entry', (header, stream, next) => {
      stream.on('data', (chunk) => {
        if (!(chunk instanceof Uint8Array)) return;
        size += chunk.length;
        if (size > MAX_FILE_BYTES) reader.destroy(new Error(`${header.name} is too large`));
        else if (header.type === 'file') chunks.push(chunk);
      });
      stream.on('end', next);
      stream.resume();
    });
    reader.on('finish', () => resolve(Buffer.concat(chunks).toString('utf8')));
    reader.on('error', reject);
    archive.on('error', reject);
    archive.pipe(reader);
  });
}

async function readFiles(
  engine: DockerEngine,
  instance: string,
  image: string,
  paths: readonly string[],
): Promise<string[]> {
  const id = await engine.call(async (docker, abortSignal) => {
    const Labels = { [PROBE_LABEL]: instance };
    const made = await docker.createContainer({
      Image: image,
      Entrypoint: ['/unused'],
      Labels,
      abortSignal,
    });
    return made.id;
  });
  try {
    const texts: string[] = [];
    for (const path of paths) {
      try {
        const text = await engine.call(async (docker, abortSignal) =>
          firstFile(await docker.getContainer(id).getArchive({ path, abortSignal })),
        );
        texts.push(text);
      } catch (error) {
        // An image need not have any accounts.
        if (!isMissing(error)) throw error;
        texts.push('');
      }
    }
    return texts;
  } finally {
    await engine.call((docker) => docker.getContainer(id).remove({ force: true, v: true }));
  }
}

const DEFAULT_PASSWD = 'root:x:0:0:root:/root:/bin/sh\n';
const DEFAULT_GROUP = 'root:x:0:\n';

export interface AccountRequest {
  readonly instance: string;
  readonly stateDir: string;
  /** The image's id, which names its content. */
  readonly imageId: string;
  readonly owner: Owner;
}

export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

/**
 * Paths on the host of the files to mount at /etc/passwd and /etc/group. They are made once per image.
 */
export async function accountFiles(
  engine: DockerEngine,
  { instance, stateDir, imageId, owner }: AccountRequest,
): Promise<AccountFiles> {
  const name = `${imageId.replace(/^sha256:/, '')}-${owner.uid}-${owner.gid}`;
  const folder = join(stateDir, 'image-accounts', name);
  const files = { passwd: join(folder, 'passwd'), group: join(folder, 'group') };
  if ((await stat(folder).catch(() => null)) !== null) return files;
  const [passwd, group] = await readFiles(engine, instance, imageId, ['/etc/passwd', '/etc/group']);
  const draft = `${folder}.${process.pid}.${performance.now()}`;
  await mkdir(draft, { recursive: true });
  await writeFile(join(draft, 'passwd'), withUser(passwd || DEFAULT_PASSWD, owner));
  await writeFile(join(draft, 'group'), withGroup(group || DEFAULT_GROUP, owner.gid));
  await rename(draft, folder).catch((error: NodeJS.ErrnoException) => {
    // Another kernel of the same image was faster; its files are the same.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
  return files;
}
