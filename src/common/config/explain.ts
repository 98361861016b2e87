/** Turns what a schema has against a configuration file into messages that say where and what. */
import type * as v from 'valibot';
import { closest } from '../spelling.ts';
import { entriesOf, schemaAt } from './normalize.ts';

/** Where a value came from: `manager.toml:12` or `environment variable BACKEND_DB_ADDR`. */
export type Locate = (path: readonly string[]) => string;

/** `[db] addr` for `db`, `addr`; `[db]` for a section itself. */
export function keyName(path: readonly string[]): string {
  if (path.length <= 1) return `[${path[0] ?? ''}]`;
  return `[${path.slice(0, -1).join('.')}] ${path.at(-1)}`;
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return 'a list';
  if (value !== null && typeof value === 'object') return 'a table';
  return String(value);
}

const SECRET = /password|secret|token|keypair/;

/** One line per issue. */
export function explainIssue(schema: object, issue: v.BaseIssue<unknown>, locate: Locate): string {
  const path = (issue.path ?? []).map((item) => String(item.key));
  const isSection = path.length === 1;
  if (issue.expected === 'never') {
    const known = entriesOf(schemaAt(schema, path.slice(0, -1)) ?? {})?.keys() ?? [];
    const guess = closest((path.at(-1) ?? '').replaceAll('_', '-'), known);
    const hint = guess ? ` (did you mean '${guess}'?)` : '';
    const what = isSection ? 'unknown section' : `[${path.slice(0, -1).join('.')}] unknown key`;
    return `${locate(path)}: ${what} '${path.at(-1)}'${hint}`;
  }
  if (issue.input === undefined) {
    return `${locate(path.slice(0, -1))}: ${keyName(path)} is missing`;
  }
  if (path.length === 0) return `${locate(path)}: ${describeExpectation(issue)}`;
  const isHidden = issue.kind === 'validation' || path.some((part) => SECRET.test(part));
  const found = isHidden ? '' : `, found ${show(issue.input)}`;
  return `${locate(path)}: ${keyName(path)}: ${describeExpectation(issue)}${found}`;
}

function describeExpectation(issue: v.BaseIssue<unknown>): string {
  if (issue.message.startsWith('expected ')) return issue.message;
  const names: Record<string, string> = {
    string: 'text',
    Object: 'a table',
    Array: 'a list',
    boolean: 'true or false',
    number: 'a number',
  };
  const expected = issue.expected ?? 'another value';
  return `expected ${names[expected] ?? expected.replaceAll(' | ', ' or ').replace(/[()]/g, '')}`;
}
