/** Which languages this image offers in query mode, and which one is meant by default. */
import type { Random } from '../../common/random.ts';
import { type Environment, findProgram } from '../environment.ts';
import { DriverSession } from './driver-session.ts';
import { javascriptDriver } from './javascript/javascript.ts';
import {
  type IdleOutput,
  type LanguageName,
  type LanguageSession,
  languageNames,
  type Workplace,
} from './language.ts';
import { pythonDriver } from './python/python.ts';
import { ShellSession } from './shell/shell.ts';

/** Programs tried for each language, in order. */
const INTERPRETERS: Record<LanguageName, readonly string[]> = {
  python: ['python3', 'python'],
  javascript: ['node', 'nodejs'],
  shell: ['bash', 'sh', '/bin/sh'],
};

const RUNTIME_TYPES: Readonly<Record<string, LanguageName>> = {
  python: 'python',
  node: 'javascript',
  nodejs: 'javascript',
  javascript: 'javascript',
  bash: 'shell',
  sh: 'shell',
  shell: 'shell',
};

export interface OfferedLanguage {
  readonly name: LanguageName;
  readonly interpreter: string;
}

/**
 * The languages of this image, the default first. A runtime type that names a language whose
 * interpreter is missing offers none: code meant for it must not reach another interpreter.
 * @param runtimeType the image's runtime-type label.
 * @param runtimePath the image's runtime-path label; may be empty.
 */
export function offeredLanguages(
  runtimeType: string,
  runtimePath: string,
  env: Environment,
): OfferedLanguage[] {
  const preferred = RUNTIME_TYPES[runtimeType];
  const offered: OfferedLanguage[] = [];
  for (const name of languageNames) {
    const own = name === preferred && runtimePath !== '' ? [runtimePath] : [];
    const interpreter = [...own, ...INTERPRETERS[name]]
      .map((candidate) => findProgram(candidate, env.PATH ?? ''))
      .find((found) => found !== null);
    if (interpreter) offered.push({ name, interpreter });
  }
  if (preferred === undefined) return offered;
  const first = offered.filter((language) => language.name === preferred);
  if (first.length === 0) return [];
  return [...first, ...offered.filter((language) => language.name !== preferred)];
}

/** Opens a session of a language; its process starts when it is first needed. */
export function openLanguage(
  language: OfferedLanguage,
  workplace: Workplace,
  idle: IdleOutput,
  random: Random,
): LanguageSession {
  const { interpreter } = language;
  switch (language.name) {
    case 'python':
      return new DriverSession('Python', pythonDriver(interpreter), workplace, idle, random);
    case 'javascript':
      return new DriverSession('Node', javascriptDriver(interpreter), workplace, idle, random);
    case 'shell':
      return new ShellSession(interpreter, workplace, idle, random);
  }
}
