/**
 * The resource group of this agent: the one in agent.toml until an administrator assigns another,
 * which is kept on disk. When the name in agent.toml changes later, that counts again.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { errorCode } from '../common/errors.ts';

const record = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ assigned: v.string(), inPlaceOf: v.string() }),
);

export class GroupAssignment {
  readonly #path: string;
  readonly #configured: string;
  #current: string;

  private constructor(path: string, configured: string, current: string) {
    this.#path = path;
    this.#configured = configured;
    this.#current = current;
  }

  /** @param configured what agent.toml says. @throws Error when the record can't be read. */
  static async load(stateDir: string, configured: string): Promise<GroupAssignment> {
    const path = join(stateDir, 'resource-group.json');
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return null;
      throw error;
    });
    const kept = text === null ? null : v.parse(record, text);
    const current = kept?.inPlaceOf === configured ? kept.assigned : configured;
    return new GroupAssignment(path, configured, current);
  }

  get current(): string {
    return this.#current;
  }

  /** @throws Error when it can't be kept. */
  async assign(name: string): Promise<void> {
    const text = JSON.stringify({ assigned: name, inPlaceOf: this.#configured });
    await writeFile(`${this.#path}.new`, text, { mode: 0o600 });
    await rename(`${this.#path}.new`, this.#path);
    this.#current = name;
  }
}
