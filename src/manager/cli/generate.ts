/** `mgr generate-*`: new keys. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { argument, defineCommand } from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { generateKeypair, systemRandom } from '../../common/random.ts';
import { generateKeys, saveKeys } from '../../common/rpc/keys.ts';

export const apiKeypair = defineCommand({
  async run({ io }) {
    const { accessKey, secretKey } = generateKeypair(systemRandom);
    io.stdout.write(`Access Key: ${accessKey} (${accessKey.length} bytes)\n`);
    io.stdout.write(`Secret Key: ${secretKey} (${secretKey.length} bytes)\n`);
    return 0;
  },
});

export const rpcKeypair = defineCommand({
  help: 'Make an Ed25519 key pair by which manager and agents know each other: NAME.key holds the public key, NAME.key_secret the private one.',
  positionals: {
    folder: argument('DST_DIR', 'The folder for the files; made if missing.'),
    name: argument('NAME', 'Their name without ending.'),
  },
  async run({ args, io }) {
    if (!/^[\w.-]+$/.test(args.name)) {
      throw new UserError(`'${args.name}' is not a plain file name.`);
    }
    const keys = generateKeys();
    const publicPath = join(resolve(io.cwd, args.folder), `${args.name}.key`);
    const secretPath = `${publicPath}_secret`;
    try {
      await saveKeys(secretPath, keys);
      await writeFile(publicPath, `${keys.publicKey}\n`);
    } catch (error) {
      throw new UserError(`Cannot write the keys to ${args.folder}: ${errorMessage(error)}`, {
        hint: 'Name a folder that this user may write to.',
        cause: error,
      });
    }
    io.stdout.write(`Public Key: ${keys.publicKey} (stored at ${publicPath})\n`);
    io.stdout.write(`Secret Key: (stored at ${secretPath})\n`);
    return 0;
  },
});
