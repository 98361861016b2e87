/**
 * Service definitions of an image: `/etc/backend.ai/service-defs/<name>.json` says how a service is
 * started. A file that can't be used is left out with a complaint; the others still work.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { errorMessage } from '../../common/errors.ts';
import type { ServiceOffer } from '../../common/protocol/service.ts';

export const DEFINITIONS_FOLDER = '/etc/backend.ai/service-defs';
const MAX_DEFINITIONS = 200;
const MAX_FILE_BYTES = 256 * 1024;

const lines = v.array(v.string());
const mode = v.optional(v.pipe(v.string(), v.regex(/^0?[0-7]{3}$/)), '644');
const ref = v.optional(v.nullable(v.string()), null);

/** What happens before the command is run; a `ref` names the result for later use. */
const action = v.variant('action', [
  v.object({
    action: v.literal('write_file'),
    args: v.object({
      filename: v.string(),
      body: lines,
      mode,
      append: v.optional(v.boolean(), false),
    }),
    ref,
  }),
  v.object({ action: v.literal('write_tempfile'), args: v.object({ body: lines, mode }), ref }),
  v.object({
    action: v.literal('run_command'),
    args: v.object({ command: v.array(v.string()), echo: v.optional(v.boolean(), false) }),
    ref,
  }),
  v.object({ action: v.literal('mkdir'), args: v.object({ path: v.string() }), ref }),
  v.object({
    action: v.literal('log'),
    args: v.object({ message: v.string(), debug: v.optional(v.boolean(), false) }),
    ref,
  }),
]);
export type PrestartAction = v.InferOutput<typeof action>;

const argument = v.nullable(v.union([v.string(), v.array(v.string())]));

export const serviceDefinition = v.object({
  /** A script for `shell`, or the words of a command. */
  command: v.union([v.string(), v.array(v.string())]),
  shell: v.optional(v.nullable(v.string()), 'bash'),
  /** Something else starts it. */
  noop: v.optional(v.boolean(), false),
  url_template: v.optional(v.string(), ''),
  prestart: v.optional(v.array(action), []),
  env: v.optional(v.record(v.string(), v.string()), {}),
  allowed_envs: v.optional(v.array(v.string()), []),
  allowed_arguments: v.optional(v.array(v.string()), []),
  default_arguments: v.optional(v.record(v.string(), argument), {}),
});
export type ServiceDefinition = v.InferOutput<typeof serviceDefinition>;

/** Service name → definition. */
export type Definitions = ReadonlyMap<string, ServiceDefinition>;

/**
 * Reads the definitions of a folder; none when there is no such folder.
 * @param complain told of each file that can't be used.
 */
export async function readDefinitions(
  folder: string,
  complain: (message: string) => void,
): Promise<Definitions> {
  const names = await readdir(folder).catch((): string[] => []);
  const found = new Map<string, ServiceDefinition>();
  const files = names.filter((name) => name.endsWith('.json')).sort();
  for (const file of files.slice(0, MAX_DEFINITIONS)) {
    try {
      const text = await readFile(join(folder, file), 'utf8');
      if (text.length > MAX_FILE_BYTES) throw new Error(`it is over ${MAX_FILE_BYTES} bytes long`);
      found.set(file.slice(0, -'.json'.length), v.parse(serviceDefinition, JSON.parse(text)));
    } catch (error) {
      complain(`The service definition ${file} can't be used: ${errorMessage(error)}`);
    }
  }
  return found;
}

/** What clients are told of a definition; what it leaves out is absent. */
export function offerOf(definition: ServiceDefinition): ServiceOffer {
  const { url_template, allowed_arguments, allowed_envs } = definition;
  return {
    ...(url_template === '' ? {} : { url_template }),
    ...(allowed_arguments.length === 0 ? {} : { allowed_arguments }),
    ...(allowed_envs.length === 0 ? {} : { allowed_envs }),
  };
}
