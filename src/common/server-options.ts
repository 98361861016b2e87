/** Options that the groups of server components take before the name of a command. */
import { flag, type OptionSpecs, option } from './command.ts';

/** By the keys under which the commands themselves have them. */
export const serverGroupOptions = {
  config: option(
    ['-f', '--config-path', '--config'],
    'FILE',
    'Configuration of the component. [default: looked for in the usual places]',
  ),
  debug: flag(['--debug'], 'Log more.'),
  logLevel: option(['--log-level'], 'LEVEL', 'Least severe records to log.'),
} satisfies OptionSpecs;
