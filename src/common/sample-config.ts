/** `config generate-sample`: a commented configuration file to start from. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Command, choice, defineCommand, flag, optionWithDefault } from './command.ts';
import { errorMessage, UserError } from './errors.ts';

export interface SampleConfig {
  /** Name of the component in paths: `manager`, `agent`, … */
  readonly component: string;
  /** The sample, with the addresses of a development installation. */
  readonly text: string;
  /** What stands for those addresses in production. */
  readonly production: Readonly<Record<string, string>>;
}

const SECRET = /^(\s*#?\s*(?:[\w-]*(?:password|secret|token)[\w-]*)\s*=\s*)"[^"\n]+"/gim;
const MASK = '********';

/** The sample for an environment; secrets masked unless asked for. */
export function sampleText(
  sample: SampleConfig,
  choices: { readonly environment: 'local' | 'prod'; readonly unmaskSecrets: boolean },
): string {
  let text = sample.text;
  if (choices.environment === 'prod') {
    for (const [local, production] of Object.entries(sample.production)) {
      text = text.replaceAll(local, production);
    }
  }
  return choices.unmaskSecrets ? text : text.replace(SECRET, `$1"${MASK}"`);
}

export function sampleCommand(sample: SampleConfig): Command {
  const path = `./configs/${sample.component}/sample.toml`;
  return defineCommand({
    options: {
      output: optionWithDefault(['-o', '--output'], 'PATH', 'Where to write it.', path, String),
      environment: optionWithDefault(
        ['-e', '--env'],
        'local|prod',
        'Whose addresses it names: those of a development installation or the usual ones.',
        'prod',
        choice(['local', 'prod']),
      ),
      overwrite: flag(['--overwrite'], 'Replace the file if there is one.'),
      unmaskSecrets: flag(['--unmask-secrets'], 'Show the secrets of the sample.'),
    },
    async run({ options, io }) {
      const text = sampleText(sample, options);
      const target = resolve(io.cwd, options.output);
      if (existsSync(target) && !options.overwrite) {
        throw new UserError(`${options.output} exists already.`, {
          hint: 'Name another file with -o, or replace it with --overwrite.',
        });
      }
      try {
        await mkdir(dirname(target), { recursive: true });
        await writeFile(target, text);
      } catch (error) {
        throw new UserError(`Cannot write ${options.output}: ${errorMessage(error)}`, {
          hint: 'Name a file in a folder that this user may write to.',
          cause: error,
        });
      }
      io.stdout.write(`Wrote ${options.output}.\n`);
      return 0;
    },
  });
}
