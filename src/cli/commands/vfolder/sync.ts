/** `vfolder sync DIR NAME`: makes a directory of this machine and a folder the same. */
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Client } from '../../../client/index.ts';
import { argument, choice, defineCommand, flag, option } from '../../../common/command.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';
import { rememberSync, type SyncState, syncedState } from '../../state.ts';
import { downloadFiles, remoteTree, uploadEntries } from '../../vfolder/copy.ts';
import { localEntries } from '../../vfolder/local.ts';
import { nameArgument, transferOptions, transferSettings } from '../../vfolder/shared.ts';
import { type FileVersion, planSync } from '../../vfolder/sync-plan.ts';
import { isPartial } from '../../vfolder/transfer.ts';

/** Files that one request deletes. */
const MAX_DELETED = 1000;

type Versions = Map<string, FileVersion>;

function localVersions(directory: string): Versions {
  const found: Versions = new Map();
  const options = { basedir: directory, cwd: directory, recursive: true };
  for (const { path, isDirectory, size, modifiedMs } of localEntries(['.'], options)) {
    if (isDirectory || isPartial(path)) continue;
    found.set(path, { size, modifiedMs: Math.floor(modifiedMs) });
  }
  return found;
}

async function remoteVersions(
  client: Client,
  id: string,
  settings: Parameters<typeof remoteTree>[3],
): Promise<Versions> {
  const { files } = await remoteTree(client, id, '.', settings);
  return new Map(
    files.map(({ path, size, modified }) => [path, { size, modifiedMs: Date.parse(modified) }]),
  );
}

/** What is the same on both sides now, except what is left to be decided. */
function sameNow(local: Versions, remote: Versions, except: readonly string[]): SyncState {
  const left = new Set(except);
  const state: SyncState = {};
  for (const [path, here] of local) {
    const there = remote.get(path);
    if (there && !left.has(path)) state[path] = { local: here, remote: there };
  }
  return state;
}

export default defineCommand({
  help:
    'Copy what changed since the last time, in both directions. What both sides changed is left ' +
    'alone and told; what one side deleted is deleted on the other with --delete only.',
  positionals: {
    directory: argument('DIR', 'A directory of this machine; made when it is not there.'),
    name: nameArgument,
  },
  options: {
    prefer: option(
      ['--prefer'],
      '[local|remote]',
      'Which side wins where both changed.',
      choice(['local', 'remote']),
    ),
    deletes: flag(['--delete'], 'Delete on one side what was deleted on the other.'),
    chunkSize: transferOptions.chunkSize,
    addresses: transferOptions.addresses,
    maxRetries: transferOptions.maxRetries,
  },
  async run({ options, args, io, globals }) {
    const directory = resolve(io.cwd, args.directory);
    await mkdir(directory, { recursive: true });
    const client = await connect({ io, globals });
    const id = await client.folder.idOf(args.name);
    const settings = transferSettings(options);
    const known = syncedState(io.env, directory, id);
    const [local, remote] = [localVersions(directory), await remoteVersions(client, id, settings)];
    const plan = planSync(local, remote, known, options.prefer ?? null);
    const { up, down, conflicts } = plan;
    if (up.length > 0) {
      const place = { basedir: directory, cwd: directory, recursive: false };
      await uploadEntries({ client, io }, id, localEntries(up, place), '', settings);
    }
    const wanted = down.map((path) => ({ path, size: remote.get(path)?.size ?? 0 }));
    if (down.length > 0) await downloadFiles({ client, io }, id, wanted, directory, settings);
    if (options.deletes) {
      for (const path of plan.deleteLocal) await rm(join(directory, path), { force: true });
      const { deleteRemote } = plan;
      for (let at = 0; at < deleteRemote.length; at += MAX_DELETED) {
        await client.folder.deleteFiles(id, deleteRemote.slice(at, at + MAX_DELETED), false);
      }
    }
    const isSame = up.length + down.length + (options.deletes ? plan.deleteLocal.length : 0) === 0;
    const isAsItWas = isSame && (!options.deletes || plan.deleteRemote.length === 0);
    const after = isAsItWas
      ? sameNow(local, remote, conflicts)
      : sameNow(localVersions(directory), await remoteVersions(client, id, settings), conflicts);
    // What was deleted on one side only stays known as it was, for a later --delete.
    for (const path of [...plan.deleteLocal, ...plan.deleteRemote]) {
      const before = known[path];
      if (before && !options.deletes) after[path] = before;
    }
    rememberSync(io.env, directory, id, after);
    const deleted = options.deletes ? [...plan.deleteLocal, ...plan.deleteRemote] : [];
    if (globals.output === 'json') {
      printJson(io, { uploaded: up, downloaded: down, deleted, conflicts });
    } else {
      for (const path of conflicts) {
        printStatus(io.stderr, 'fail', `${path} changed on both sides; choose with --prefer.`);
      }
      const counts = `${up.length} up, ${down.length} down, ${deleted.length} deleted`;
      printStatus(io.stderr, 'done', `In sync: ${counts}.`);
    }
    return conflicts.length > 0 ? 1 : 0;
  },
});
