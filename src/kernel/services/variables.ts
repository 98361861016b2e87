/** Variables in the texts of service definitions: `{name}`, `{ports[0]}`, `${{ name }}`. */
import { RunnerError } from '../errors.ts';

/** A plain text, several numbers, or the output of a command (`{ref[out]}`). */
export type VariableValue = string | readonly number[] | Readonly<Record<string, string>>;
export type Variables = Record<string, VariableValue>;

const TOKEN = /\$\{\{\s*([^{}]*?)\s*\}\}|\{\{|\}\}|\{\s*([^{}]*?)\s*\}/g;
const EXPRESSION = /^(\w+)(?:\[(\w+)\])?$/;

function lookUp(expression: string, variables: Variables): string {
  const [, name = '', key] = EXPRESSION.exec(expression) ?? [];
  const value = Object.hasOwn(variables, name) ? variables[name] : undefined;
  const inner = (): unknown => {
    if (key === undefined || value === undefined || typeof value === 'string') return undefined;
    return Object.entries(value).find(([candidate]) => candidate === key)?.[1];
  };
  const found = key === undefined ? value : inner();
  if (typeof found === 'string' || typeof found === 'number') return String(found);
  const known = Object.keys(variables).sort().join(', ');
  throw new RunnerError(
    'failed',
    `The service's definition refers to {${expression}}, which is no value; known: ${known}.`,
  );
}

/**
 * Puts values in place of variables; doubled braces stand for single ones.
 * @throws RunnerError for a variable that has no value.
 */
export const interpolate = (text: string, variables: Variables): string =>
  text.replace(TOKEN, (token, first: string | undefined, second: string | undefined) => {
    const expression = first ?? second;
    return expression === undefined ? token.slice(1) : lookUp(expression, variables);
  });
