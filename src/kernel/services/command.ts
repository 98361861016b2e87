/** The command line and environment of a service, from its definition and what the user added. */
import type { ServiceOptions } from '../../common/protocol/service.ts';
import { RunnerError } from '../errors.ts';
import type { ServiceDefinition } from './definition.ts';
import { interpolate, type Variables } from './variables.ts';

function refuseUnlisted(kind: string, given: object, allowed: readonly string[]): void {
  const wrong = Object.keys(given).filter((name) => !allowed.includes(name));
  if (wrong.length === 0) return;
  const list = allowed.length === 0 ? 'none' : allowed.join(', ');
  throw new RunnerError(
    'bad-request',
    `The service takes no ${kind} called ${wrong.join(', ')}; allowed: ${list}.`,
  );
}

/** The words of the command before the user's arguments. */
function baseCommand({ command, shell }: ServiceDefinition): string[] {
  if (typeof command !== 'string') return [...command];
  return shell === null || shell === ''
    ? command.split(/\s+/).filter((word) => word !== '')
    : [shell, '-c', command];
}

/**
 * @param environment what the service would run with.
 * @throws RunnerError for arguments and variables that the definition does not allow.
 */
export function serviceCommand(
  definition: ServiceDefinition,
  options: ServiceOptions,
  variables: Variables,
  environment: Readonly<Record<string, string>>,
): { command: string[]; env: Record<string, string> } {
  refuseUnlisted('argument', options.arguments, definition.allowed_arguments);
  refuseUnlisted('environment variable', options.envs, definition.allowed_envs);
  const frozen = Object.keys(options.envs).filter((name) => name in environment);
  if (frozen.length > 0) {
    throw new RunnerError(
      'bad-request',
      `The session sets ${frozen.join(', ')} itself; that can't be changed for one service.`,
    );
  }
  const words = baseCommand(definition);
  for (const [name, value] of Object.entries({
    ...definition.default_arguments,
    ...options.arguments,
  })) {
    words.push(name, ...(value === null ? [] : [value].flat()));
  }
  const fill = (text: string) => interpolate(text, variables);
  const own = Object.entries(definition.env).map(([name, value]) => [fill(name), fill(value)]);
  return {
    command: words.map(fill),
    env: { ...environment, ...options.envs, ...Object.fromEntries(own) },
  };
}
