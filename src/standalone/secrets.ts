/** Secrets between the parts of the cluster, made once and kept in its folder for the owner's eyes. */
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { UserError } from '../common/errors.ts';
import { type Random, randomString } from '../common/random.ts';

const SECRET_LENGTH = 48;

/**
 * @param file name of the file in `folder`; names → secrets as JSON.
 * @param loss what a new one would cost, for the hint when it cannot be read.
 * @throws UserError when it is there and cannot be read.
 */
export async function loadOrCreateSecrets<Name extends string>(
  folder: string,
  file: string,
  names: readonly [Name, ...Name[]],
  { random, loss }: { random: Random; loss: string },
): Promise<Record<Name, string>> {
  const path = join(folder, file);
  const schema = v.record(v.picklist(names), v.string());
  if (existsSync(path)) {
    try {
      const read = v.parse(schema, JSON.parse(await readFile(path, 'utf8')));
      return v.parse(
        v.pipe(
          schema,
          v.check((found) => names.every((name) => found[name])),
        ),
        read,
      );
    } catch (error) {
      throw new UserError(`${path} cannot be read.`, {
        hint: `Delete it: a new one is made, and ${loss}.`,
        cause: error,
      });
    }
  }
  const fresh = v.parse(
    schema,
    Object.fromEntries(names.map((name) => [name, randomString(random, SECRET_LENGTH)])),
  );
  await writeFile(`${path}.new`, JSON.stringify(fresh), { mode: 0o600 });
  await rename(`${path}.new`, path);
  return fresh;
}
