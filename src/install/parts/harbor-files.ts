/** The files of Harbor: its offline installer, from the network or at hand, unpacked into the installation. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../common/clock.ts';
import { UserError } from '../../common/errors.ts';
import { type Layout, writeOwnFile } from '../layout.ts';
import type { HarborWish } from '../request.ts';
import { runCommand } from '../shell.ts';
import type { Check, Step, StepContext } from '../step.ts';
import { checkSum, fetchFile } from './download.ts';

/** Upstream's. */
export const DEFAULT_ARCHIVE =
  'https://github.com/goharbor/harbor/releases/download/v2.11.0/harbor-offline-installer-v2.11.0.tgz';
const OPTIONS = { url: '--harbor-download-uri', sha256: '--harbor-download-sha256' } as const;
const GIB = 1024 ** 3;
/** Twice what version 2.11 has with everything. */
const MAX_ARCHIVE_BYTES = 2 * GIB;
const SILENCE_MS = 60_000;
const UNPACK_TIMEOUT_MS = 10 * 60_000;
/** What of an installer is used. */
const NEEDED = ['install.sh', 'prepare', 'harbor.yml.tmpl'];

export const harborFolder = (layout: Layout): string => join(layout.root, 'harbor');
/** From which archive the files are. */
const sourcePath = (layout: Layout): string => join(harborFolder(layout), '.unpacked-from');
const downloadFolder = (layout: Layout): string => join(layout.root, 'harbor-download');

/** The path of an archive that is at hand; null when it is fetched. */
function localArchive({ archive }: HarborWish): string | null {
  if (archive.startsWith('file://')) return Bun.fileURLToPath(archive);
  return /^https?:/.test(archive) ? null : archive;
}

const sourceOf = ({ archive, sha256 }: HarborWish): string => `${archive} ${sha256 ?? ''}\n`;

/** Named after its source: one that a killed installer fetched from elsewhere is not taken for it. */
const archivePath = (wish: HarborWish, layout: Layout): string =>
  localArchive(wish) ??
  join(downloadFolder(layout), `harbor-${Bun.hash(sourceOf(wish)).toString(16)}.tgz`);

const isUnpacked = (wish: HarborWish, layout: Layout): boolean =>
  existsSync(sourcePath(layout)) && readFileSync(sourcePath(layout), 'utf8') === sourceOf(wish);

/** That an archive which is said to be at hand is there. */
export function archiveCheck(wish: HarborWish, layout: Layout): Check {
  return {
    title: "Harbor's offline installer",
    async run() {
      const path = localArchive(wish);
      if (path === null || isUnpacked(wish, layout)) return null;
      try {
        accessSync(path, constants.R_OK);
        return null;
      } catch {
        return {
          problem: `${path} is not there, or not to be read.`,
          remedy: `Name the file harbor-offline-installer-….tgz, or its address, with ${OPTIONS.url}.`,
        };
      }
    },
  };
}

async function unpack(wish: HarborWish, layout: Layout, context: StepContext): Promise<void> {
  const fresh = `${harborFolder(layout)}.new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { recursive: true });
  const archive = archivePath(wish, layout);
  try {
    await runCommand(['tar', '-xzf', archive, '-C', fresh, '--no-same-owner'], context, {
      timeoutMs: UNPACK_TIMEOUT_MS,
    });
    const missing = NEEDED.filter((name) => !existsSync(join(fresh, 'harbor', name)));
    if (missing.length > 0) {
      throw new UserError(`${archive} is no installer of Harbor: harbor/${missing[0]} is missing.`);
    }
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    if (!(error instanceof UserError)) throw error;
    // A download that cannot be unpacked is fetched anew.
    if (localArchive(wish) === null) await rm(archive, { force: true });
    throw new UserError(error.message, {
      hint: `Name the file harbor-offline-installer-….tgz, or its address, with ${OPTIONS.url}.`,
      cause: error,
    });
  }
  await rm(harborFolder(layout), { recursive: true, force: true });
  await rename(join(fresh, 'harbor'), harborFolder(layout));
  await rm(fresh, { recursive: true, force: true });
  writeOwnFile(sourcePath(layout), sourceOf(wish));
  await rm(downloadFolder(layout), { recursive: true, force: true });
}

/** Fetches and unpacks, each once. */
export function harborFileSteps(wish: HarborWish, layout: Layout, clock: Clock): Step[] {
  const path = archivePath(wish, layout);
  const isLocal = localArchive(wish) !== null;
  return [
    {
      id: 'harbor-archive',
      title: isLocal ? `Look at Harbor's installer ${path}` : `Fetch Harbor from ${wish.archive}`,
      isDone: async () => isUnpacked(wish, layout) || (!isLocal && existsSync(path)),
      async run(context) {
        if (isLocal) {
          await checkSum(path, wish.sha256, OPTIONS.sha256);
        } else {
          const { archive: url, sha256 } = wish;
          const bounds = { maxBytes: MAX_ARCHIVE_BYTES, silenceMs: SILENCE_MS };
          await fetchFile({ url, path, sha256, options: OPTIONS, ...bounds }, clock, context);
        }
        if (wish.sha256 === null) {
          context.log(`nobody said its SHA-256 (${OPTIONS.sha256}), so it was not compared`);
        }
      },
    },
    {
      id: 'harbor-files',
      title: `Unpack Harbor to ${harborFolder(layout)}`,
      isDone: async () => isUnpacked(wish, layout),
      run: (context) => unpack(wish, layout, context),
    },
  ];
}
